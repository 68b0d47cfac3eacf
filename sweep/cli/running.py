"""`sweep run`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from sweep.cli.common import RUN, Json, MlflowUri, Root, Scale, StudyName, console, print_json
from sweep.cli.limits import MaxGpuHours, MaxHours, Notify, StallMinutes, Workers, budget_of
from sweep.errors import SweepError

if TYPE_CHECKING:
    from pathlib import Path

    from search_spaces import Study
    from sweep.run import RunOptions, RunSummary

__all__ = ["Precision", "Scheduler", "Strategy", "register", "run_and_tell"]


class Scheduler(enum.StrEnum):
    """Which trials run to their end."""

    fifo = "fifo"
    asha = "asha"
    median = "median"


class Strategy(enum.StrEnum):
    """How the members of a pack are computed."""

    auto = "auto"
    fused = "fused"
    looped = "looped"


class Precision(enum.StrEnum):
    """What numbers the arithmetic is done in."""

    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("run", rich_help_panel=RUN)(run)


def run(
    study: StudyName,
    root: Root,
    scale: Scale = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The sweep's name. [default: the study's, with - for / and its scale]"
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A running Ray cluster. [default: a Ray of its own, here]"),
    ] = None,
    workers: Workers = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    notify: Notify = None,
    stall_minutes: StallMinutes = 30.0,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where packs train.")] = "auto",
    scheduler: Annotated[
        Scheduler,
        typer.Option(help="fifo for studies; the others stop trials on their return, which biases analyses."),
    ] = Scheduler.fifo,
    strategy: Annotated[
        Strategy, typer.Option(help="How members are computed; auto follows measurements.")
    ] = Strategy.auto,
    precision: Annotated[Precision, typer.Option(help="Of the arithmetic; recorded.")] = Precision.float32,
    compile_packs: Annotated[
        bool | None,
        typer.Option(
            "--compile/--eager",
            help="Compile every update (needs a C++ compiler), or none. [default: where it saves time]",
            show_default=False,
        ),
    ] = None,
    mlflow: Annotated[
        bool, typer.Option("--mlflow/--no-mlflow", help="Copy results into MLflow while training.")
    ] = True,
    mlflow_uri: MlflowUri = None,
    as_json: Json = False,
) -> None:
    """Run a study, or go on with it: what is finished is never trained again.

    Stop it at any moment, however harshly; the same command goes on from the last checkpoints. A study
    that has grown runs only its new trials. SIGTERM, `sweep stop` and a budget that is used up stop it at once
    and gently: packs checkpoint, what is left stays planned, and the exit status is 1.

    Examples:

    - `sweep run demo`

    - `sweep run gulcehre2022/bsuite-activations --scale laptop`

    - `sweep run my-study.yaml --name second-try --max-concurrent 8`

    - `sweep run demo --max-hours 3 --notify env:TEAM_CHAT` stops after three hours and says so there

    - `sweep run demo --address auto` uses the Ray cluster that this machine belongs to
    """
    from search_spaces import load_study
    from sweep.run import RunOptions

    loaded = load_study(study, scale and scale.value)
    options = RunOptions(
        address=address,
        workers=workers,
        device=device,
        scheduler=scheduler.value,
        strategy=strategy.value,
        precision=precision.value,
        compile=compile_packs,
        mirror=mlflow,
        tracking_uri=mlflow_uri,
        budget=budget_of(max_hours, max_gpu_hours),
        notify=tuple(notify or ()),
        stall_seconds=60 * stall_minutes,
    )
    run_and_tell(loaded, loaded.sweep_name if name is None else name, root, options, as_json=as_json)


def run_and_tell(
    study: Study,
    name: str,
    root: Path,
    options: RunOptions,
    *,
    only: frozenset[str] | None = None,
    as_json: bool = False,
) -> None:
    """Run a sweep, or `only` some of its packs, and say how it ended. Exits with 1 where those are not all done."""
    from rich.console import Console

    from sweep.cli.display import TerminalDisplay
    from sweep.run import run_study

    display = TerminalDisplay(Console(stderr=True) if as_json else console)
    try:
        summary = run_study(study, name, root, options, display, only)
    except KeyboardInterrupt:
        # Typer would end without a word.
        raise SweepError(
            "interrupted. What was committed is kept, and the same command goes on from there."
        ) from None
    if as_json:
        print_json(summary.__dict__)
    else:
        _print_summary(summary, root)
    chosen_are_done = only is not None and summary.trained_packs == len(only) and not summary.failures
    if not (summary.complete or chosen_are_done):
        raise typer.Exit(1)


def _print_summary(summary: RunSummary, root: Path) -> None:
    from sweep.cli.display import duration

    where = f" --root {root}" if str(root) != "sweeps" else ""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(summary.trials.items()))
    console.print(
        f"[bold]{summary.name}[/bold]: {counts or 'no trials yet'}; {summary.trained_packs} packs trained in "
        f"{duration(summary.seconds)}",
        highlight=False,
    )
    for pack, reason in summary.failures.items():
        console.print(f"[red]failed[/red] {pack}: {escape(reason)}", highlight=False)
    if summary.stopped is not None:
        console.print(
            f"[yellow]stopped:[/yellow] {escape(summary.stopped)}. Nothing is lost: the same command goes on.",
            highlight=False,
        )
    if summary.mirror_complete is False:
        console.print(f"[yellow]MLflow is not up to date; later: sweep sync {summary.name}[/yellow]")
    again = f"sweep retry {summary.name} --failed{where} · " if summary.failures else ""
    console.print(
        f"next: {again}sweep report {summary.name}{where} · sweep export {summary.name} correlation{where} · "
        f"sweep ui{where}",
        highlight=False,
    )
