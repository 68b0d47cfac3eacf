"""`sweep status` and `sweep doctor`: how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import AROUND, RUN, Json, Root, console, print_json

if TYPE_CHECKING:
    from sweep.status import PackStatus, SweepStatus

__all__ = ["register"]

_MARKS = {"good": "[green]ok[/green]", "warning": "[yellow]!![/yellow]", "bad": "[red]XX[/red]"}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("status", rich_help_panel=RUN)(status)
    app.command("doctor", rich_help_panel=AROUND)(doctor)


def status(
    root: Root,
    name: Annotated[
        str | None, typer.Argument(help="A sweep's name; all sweeps without it.", show_default=False)
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every row to find damage, however many there are.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Progress per space and pack, failures with their reason, damage, time left.

    Works from any machine that sees the root, while the sweep runs and afterwards.

    Examples:

    - `sweep status` shows every sweep under the root

    - `sweep status demo --json`

    - `watch sweep status demo`
    """
    from sweep.dataset_making import being_made
    from sweep.status import sweep_status
    from sweep.store import Store

    store = Store(root)
    making = being_made(root)
    names = [name] if name else store.sweeps()
    found = [sweep_status(store.sweep(one), deep=deep) for one in names]
    if as_json:
        print_json([one.as_json() for one in found] if name is None else found[0].as_json())
        return
    if not found:
        console.print(f"no sweeps under {root} yet; `sweep run demo` makes one.", markup=False)
    for one in found:
        _print_status(one, detailed=name is not None)
    for dataset, said in making.items():
        console.print(f"making dataset {dataset}: {said['text']}", highlight=False, markup=False)


def doctor(
    root: Root,
    mlflow_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="An MLflow server to ask, not the root's own database.")
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also compile, start a Ray, read every array and row; about a minute."),
    ] = False,
    as_json: Json = False,
) -> None:
    """What is installed, reachable, and wrong, with the mend. Changes nothing.

    Exit status 1 where something is wrong that would stop a sweep or has damaged one, else 0.

    Examples:

    - `sweep doctor`

    - `sweep doctor --deep --root /mnt/sweeps`

    - `sweep doctor --mlflow-uri http://mlflow.example.org:5000`
    """
    from sweep.doctor import examine

    with console.status("looking"):
        findings = examine(root, mlflow_uri, deep=deep)
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            # A long path is folded, not cut: it is there to be copied.
            table.add_column(overflow="fold")
        for finding in findings:
            mend = f"\n[bold]mend:[/bold] {escape(finding.mend)}" if finding.mend else ""
            table.add_row(_MARKS[finding.state], escape(finding.what), escape(finding.found) + mend)
        console.print(table, highlight=False)
        wrong = [sum(finding.state == state for finding in findings) for state in ("bad", "warning")]
        console.print(f"\n{wrong[0]} wrong, {wrong[1]} to know, {len(findings) - sum(wrong)} good")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _halved(pack: PackStatus) -> str:
    if pack.halved_because is None:
        return ""
    return f", {pack.members_at_once} of {pack.trials} members at once ({pack.halved_because})"


def _print_status(found: SweepStatus, *, detailed: bool) -> None:
    from sweep.cli.display import duration

    owner = found.owner
    state = f"running on {owner['host']}, process {owner['pid']}" if owner else "not running"
    if found.stop is not None:
        asked = found.stop["reason"]
        state = f"stopping: {asked}" if owner else f"stopped: {asked}; goes on with the same command"
    counts = ", ".join(f"{number} {status}" for status, number in sorted(found.trials.items()))
    console.print(f"[bold]{found.name}[/bold] (study {found.study}): {escape(state)}", highlight=False)
    _line(
        f"{found.share_done:.0%} · packs {found.totals['packs_done']:.0f}/{found.totals['packs']:.0f} · "
        f"trials: {counts or 'none'}" + (f" · left {duration(found.seconds_left)}" if owner else "")
    )
    for space, per_status in found.spaces.items():
        done = sum(per_status.get(one, 0) for one in ("finished", "diverged"))
        rest = ", ".join(f"{n} {s}" for s, n in sorted(per_status.items()) if s != "finished")
        _line(f"{space}: {done}/{sum(per_status.values())}{f' ({rest})' if rest else ''}")
    for pack in found.packs:
        if pack.state == "failed":
            _line(f"{pack.pack_id} after {pack.attempts} attempt(s): {pack.error}", "failed")
        elif detailed and pack.state in ("running", "silent"):
            _line(f"{pack.state} {pack.pack_id}: {pack.step:,}/{pack.train_steps:,}{_halved(pack)}")
    if detailed and found.seconds:
        # Packs run side by side: these are not seconds of waiting.
        spent = ", ".join(f"{what} {duration(seconds)}" for what, seconds in found.seconds.items())
        _line(f"packs spent: {spent}")
    for problem in found.corrupt:
        _line(problem, "damaged")
    mirror = found.mirror
    if mirror and mirror["state"] != "complete":
        reason = f" ({mirror['message']})" if mirror["message"] else ""
        said = "not copied yet" if mirror["state"] == "new" else mirror["state"]
        server = mirror["tracking_uri"]
        there = f" --mlflow-uri {server}" if server.startswith("http") else ""
        hint = "" if owner else f"; `sweep sync {found.name}{there}` brings it up to date"
        _line(f"MLflow: {said}{reason}{hint}")


def _line(text: str, mark: str = "") -> None:
    # Reasons are long and may hold brackets, which are no markup.
    console.print(f"  [red]{mark}[/red] " if mark else "  ", end="")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
