"""`sweep diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import RESULTS, Json, Root, console, print_json
from sweep.store.places import root_place

if TYPE_CHECKING:
    from sweep.diff import Difference, SweepDiff
    from sweep.diff_results import ResultsDiff

__all__ = ["register"]

_MOST_LINES, _MOST_MEASURES = 40, 15


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("diff", rich_help_panel=RESULTS)(diff)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A sweep's name; `sweep status` lists them.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The sweep to compare it with.")],
    root: Root,
    root_b: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=root_place, help="The root of B. [default: that of A]", show_default=False
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="All lines that differ between the two studies.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What differs between two sweeps: their studies, code, machines, data, and results trial by trial.

    A trial's id is made of its configuration, its seed and its data, so trials with one id should have the
    same results. On another machine, or in packs of another size, sums round differently: differences of
    1e-6 after some steps of training are no sign of anything. Compared are each measure's last values.

    Examples:

    - `sweep diff first second`

    - `sweep diff demo demo --root ./sweeps --root-b s3://bucket/sweeps`

    - `sweep diff first second --json`
    """
    from sweep.diff import diff_sweeps
    from sweep.store import Store

    one = Store(root).sweep(a)
    found = diff_sweeps(one, Store(root if root_b is None else root_b).sweep(b))
    if as_json:
        print_json(found.as_json())
        return
    _print(found, a, b, most=None if text else _MOST_LINES)


def _print(found: SweepDiff, a: str, b: str, most: int | None) -> None:
    for title, differences in (
        ("study", found.study),
        ("code and machine", found.code),
        ("data", found.datasets),
    ):
        _section(title, differences, a, b)
    if found.text:
        console.print("\n[bold]text of the study[/bold]", highlight=False)
        for line in found.text[:most]:
            style = {"+": "green", "-": "red"}.get(line[:1])
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
        if most is not None and len(found.text) > most:
            console.print(f"… {len(found.text) - most} more lines: --text shows all", highlight=False)
    _print_results(found.results, a, b)


def _section(title: str, differences: tuple[Difference, ...], a: str, b: str) -> None:
    if not differences:
        console.print(f"[bold]{title}[/bold]: the same", highlight=False)
        return
    console.print(f"[bold]{title}[/bold]", highlight=False)
    table = _table("what", f"A: {a}", f"B: {b}")
    for one in differences:
        table.add_row(escape(one.what), _shown(one.a), _shown(one.b))
    console.print(table, highlight=False)


def _print_results(found: ResultsDiff, a: str, b: str) -> None:
    console.print(
        f"\n[bold]results[/bold]: {found.shared:,} trials in both, {found.only_a:,} only in A, "
        f"{found.only_b:,} only in B",
        highlight=False,
    )
    if found.settings:
        table = _table("setting", "values only in A", "values only in B")
        for name, values in found.settings.items():
            table.add_row(name, *(_shown(values[side] or None) for side in ("only_a", "only_b")))
        console.print(table, highlight=False)
    for before, after, number in found.statuses:
        console.print(f"{number:,} trials are {before} in A and {after} in B", highlight=False)
    if found.measures:
        table = _table("measure", "trials", "equal", "largest difference", "relative", "A", "B", "in trial")
        for one in found.measures[:_MOST_MEASURES]:
            numbers = (f"{value:.6g}" for value in (one.difference, one.relative, one.a, one.b))
            table.add_row(one.measure, f"{one.compared:,}", f"{one.equal:,}", *numbers, one.trial_id)
        console.print(table, highlight=False)
        if len(found.measures) > _MOST_MEASURES:
            console.print(
                f"… {len(found.measures) - _MOST_MEASURES} more measures: --json has all", highlight=False
            )
    if found.shared:
        all_or_other = ("{} other" if found.measures else "all {}").format(found.equal_measures)
        console.print(f"{all_or_other} measures are equal to the last bit", highlight=False)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "is there"
    if isinstance(value, list):
        return escape(", ".join(_shown(one) for one in value))
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    return table
