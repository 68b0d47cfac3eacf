"""`sweep list`, `show`, `status` and `doctor`: commands that only look. They answer in under a second."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from sweep.cli.common import Json, Root, StudyName, console, print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("list")(list_studies)
    app.command("show")(show)
    app.command("status")(status)
    app.command("doctor")(doctor)


def list_studies(as_json: Json = False) -> None:
    """The named studies."""
    from search_spaces import named_studies

    found = named_studies()
    if as_json:
        print_json([study._asdict() for study in found])
        return
    table = Table("study", "title", box=None)
    for study in found:
        table.add_row(study.name, study.title)
    console.print(table)
    console.print(
        "`sweep show STUDY` previews one; a path to a YAML file works wherever a study's name does."
    )


def show(
    study: StudyName,
    root: Root,
    gpu: Annotated[
        str | None, typer.Option(help="Estimate for this card, by the name PyTorch gives it.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Packs at once; one a core, or 4 on a card.")
    ] = None,
    packs: Annotated[bool, typer.Option("--packs", help="List every pack.")] = False,
    as_json: Json = False,
) -> None:
    """Preview a study: trials, axes, packs, gradient steps, estimated time and cost. Nothing is started."""
    from search_spaces import load_study
    from sweep.cli.display import duration
    from sweep.preview import preview

    found = preview(load_study(study), root, gpu, workers)
    if as_json:
        print_json(found.as_json())
        return
    console.print(f"[bold]{found.study}[/bold]  {found.title}\n{found.question}\n", highlight=False)
    table = Table("space", "trials", "design", "seeds", "axes", box=None)
    for space in found.spaces:
        axes = "\n".join(f"{name}: {_listed(values)}" for name, values in space["axes"].items())
        table.add_row(space["name"], str(space["trials"]), space["design"], str(len(space["seeds"])), axes)
    console.print(table)
    shared = f" ({found.shared} in more than one space, run once)" if found.shared else ""
    console.print(
        f"\n{found.trials} trials{shared} in {len(found.packs)} packs, {found.gradient_steps:,} gradient steps"
    )
    for one in found.datasets:
        state = (
            f"{one['transitions']:,} transitions"
            if one["transitions"]
            else f"to collect, {one['to_collect']:,} steps"
        )
        console.print(f"dataset {one['name']}: {one['env']}, {state}", highlight=False)
    unit = "card" if gpu else "core"
    console.print(
        f"about {duration(found.seconds)} on {found.workers} worker(s) of {found.device}, "
        + (
            f"{found.worker_hours:.2f} {unit}-hours at one worker a {unit}; "
            if found.worker_hours is not None
            else ""
        )
        + f"{found.speed_source}; collecting data not counted",
        highlight=False,
    )
    if packs:
        rows = Table("pack", "trials", "size", "steps", "about", box=None)
        for pack in found.packs:
            rows.add_row(
                pack["pack_id"],
                str(pack["trials"]),
                str(pack["size"]),
                f"{pack['steps']:,}",
                duration(pack["seconds"]),
            )
        console.print(rows)


def status(
    root: Root,
    name: Annotated[str | None, typer.Argument(help="A sweep's name; all sweeps without it.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every segment in whole to find damage.")] = False,
    as_json: Json = False,
) -> None:
    """Progress per space and pack, failures with their reason, time left."""
    from sweep.status import sweep_status
    from sweep.store import Store

    store = Store(root)
    names = [name] if name else store.sweeps()
    found = [sweep_status(store.sweep(one), deep=deep) for one in names]
    if as_json:
        print_json([one.as_json() for one in found] if name is None else found[0].as_json())
        return
    if not found:
        console.print(f"no sweeps under {root} yet; `sweep run demo` makes one.")
    for one in found:
        _print_status(one, detailed=name is not None)


def doctor(root: Root, as_json: Json = False) -> None:
    """What is installed, reachable, and wrong, with the mend."""
    from sweep.doctor import examine

    findings = examine(root)
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        table = Table("", "what", "found", "mend", box=None)
        for finding in findings:
            mark = {"good": "[green]ok[/green]", "warning": "[yellow]![/yellow]", "bad": "[red]x[/red]"}[
                finding.state
            ]
            table.add_row(mark, finding.what, finding.found, finding.mend or "")
        console.print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _print_status(found: Any, *, detailed: bool) -> None:
    from sweep.cli.display import duration

    owner = found.owner
    state = f"running on {owner['host']}, process {owner['pid']}" if owner else "not running"
    counts = ", ".join(f"{number} {status}" for status, number in sorted(found.trials.items()))
    console.print(f"[bold]{found.name}[/bold] (study {found.study}): {state}", highlight=False)
    console.print(
        f"  {found.share_done:.0%} · packs {found.totals['packs_done']:.0f}/{found.totals['packs']:.0f} · "
        f"trials: {counts or 'none'}" + (f" · left {duration(found.seconds_left)}" if owner else ""),
        highlight=False,
    )
    for space, per_status in found.spaces.items():
        done = sum(per_status.get(one, 0) for one in ("finished", "diverged"))
        rest = ", ".join(f"{n} {s}" for s, n in sorted(per_status.items()) if s != "finished")
        console.print(
            f"  {space}: {done}/{sum(per_status.values())}{f' ({rest})' if rest else ''}", highlight=False
        )
    for pack in found.packs:
        if pack.state == "failed":
            console.print(
                f"  [red]failed[/red] {pack.pack_id} after {pack.attempts} attempt(s): {pack.error}",
                highlight=False,
            )
        elif detailed and pack.state in ("running", "silent"):
            console.print(
                f"  {pack.state} {pack.pack_id}: {pack.step:,}/{pack.train_steps:,}", highlight=False
            )
    for problem in found.corrupt:
        console.print(f"  [red]damaged[/red] {problem}", highlight=False)
    mirror = found.mirror
    if mirror and mirror["state"] != "complete":
        console.print(
            f"  MLflow: {mirror['state']}{': ' + mirror['message'] if mirror['message'] else ''}; "
            f"`sweep sync {found.name}` brings it up to date",
            highlight=False,
        )


def _listed(values: Any) -> str:
    if isinstance(values, dict):
        return f"{values['low']:g} … {values['high']:g} ({values['scale']})"
    return ", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
