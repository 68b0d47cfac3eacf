"""`sweep retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.common import RUN, Json, MlflowUri, Root, SweepName, console, print_json
from sweep.cli.limits import MaxGpuHours, MaxHours, Notify, StallMinutes, Workers, budget_of
from sweep.cli.running import run_and_tell
from sweep.errors import UsageError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("retry", rich_help_panel=RUN)(retry)


def retry(
    name: SweepName,
    root: Root,
    failed: Annotated[bool, typer.Option("--failed", help="Every pack that has failed.")] = False,
    pack: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this failed pack; repeatable. `sweep status NAME` names them."),
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
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="As in `sweep run`.")] = "auto",
    mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="As in `sweep run`.")] = True,
    mlflow_uri: MlflowUri = None,
    as_json: Json = False,
) -> None:
    """Give failed packs another try, from their last checkpoints, and run nothing else.

    A pack that fails is started again three times by itself; what still failed then waits for you. `sweep run`
    tries it again too, with all else that is not done; this command needs no study, which is in the store.
    A pack trains as it was planned: its device, precision and strategy stay.

    A trial that diverged has not failed: it is a result, and is never trained again.

    Examples:

    - `sweep retry demo --failed`

    - `sweep retry demo --pack mlp-relu-b32-0a1b2c3d4e --root /mnt/sweeps`

    - `sweep retry demo --failed --address auto --root s3://bucket/sweeps` on a cluster
    """
    from sweep.retry import what_to_retry
    from sweep.run import RunOptions

    found = what_to_retry(root, name, pack or [])
    if not failed and not pack:
        said = f"{len(found.failed)} failed" if found.failed else "none has failed"
        raise UsageError(f"say which packs of {name!r}: --failed for all ({said}), or --pack ID for one.")
    if not found.failed:
        diverged = f" {found.diverged} trials diverged, which are results." if found.diverged else ""
        if as_json:
            print_json({"name": name, "failed": {}, "diverged": found.diverged})
        else:
            console.print(f"nothing of {name} has failed.{diverged}", highlight=False, markup=False)
        return
    if not as_json:
        for pack_id, reason in found.failed.items():
            console.print(f"trying again {pack_id}: {reason}", highlight=False, markup=False, soft_wrap=True)
    options = RunOptions(
        address=address,
        workers=workers,
        device=device,
        scheduler=found.scheduler,  # type: ignore[arg-type]
        # Packs have theirs from the plan; the record of this run is to say the same.
        **{
            option: found.resources[option]
            for option in ("strategy", "precision", "compile")
            if option in found.resources
        },
        mirror=mlflow,
        tracking_uri=mlflow_uri,
        budget=budget_of(max_hours, max_gpu_hours),
        notify=tuple(notify or ()),
        stall_seconds=60 * stall_minutes,
    )
    run_and_tell(found.study, name, root, options, only=frozenset(found.failed), as_json=as_json)
