"""`sweep export`: result tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sweep.cli.common import RESULTS, Root, SkipCorrupt, SweepName, console, listed, say_left_out
from sweep.errors import UsageError

__all__ = [
    "Columns",
    "Formats",
    "Measure",
    "Out",
    "Outcome",
    "Set",
    "pairs",
    "register",
    "say_written",
    "table_options",
]

Formats = Annotated[
    str,
    typer.Option(
        "--format", metavar="LIST", help="One or more of csv, parquet, latex, markdown, json, by commas."
    ),
]
Out = Annotated[
    # Not a path yet, which would lose the slash that says that it is a folder.
    str | None, typer.Option("--out", metavar="PATH", help="File or folder/. [default: standard output]")
]
Columns = Annotated[
    str | None, typer.Option(metavar="LIST", help="Only these columns, in this order, by commas.")
]
Measure = Annotated[
    str | None, typer.Option(metavar="NAME", help="The measure that is to predict. [default: srank]")
]
Outcome = Annotated[
    str | None, typer.Option(metavar="NAME", help="What is to be predicted. [default: return_mean]")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="An option of the table; may be repeated. `sweep export --tables` lists them.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("export", rich_help_panel=RESULTS)(export)


def _list_tables(wanted: bool) -> None:
    if not wanted:
        return
    from rich.table import Table as RichTable

    from sweep.analysis.catalog import TABLES

    shown = RichTable("table", "what it says", "options of --set", box=None, pad_edge=False)
    for table in TABLES.values():
        shown.add_row(table.name, table.description, ", ".join(table.options))
    console.print(shown)
    console.print("\noptions", style="bold")
    said: dict[tuple[str, str], list[str]] = {}
    for table in TABLES.values():
        for name, option in table.options.items():
            said.setdefault((name, option.words), []).append(table.name)
    shared = {name for name, _ in said if sum(name == other for other, _ in said) > 1}
    for (name, words), tables in sorted(said.items()):
        of = f" ({', '.join(tables)})" if name in shared else ""
        console.print(f"  {name}{of}: {words}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit


def export(
    name: SweepName,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Such as correlation; --tables lists them all.")
    ],
    root: Root,
    formats: Formats = "csv",
    out: Out = None,
    columns: Columns = None,
    measure: Measure = None,
    outcome: Outcome = None,
    settings: Set = None,
    skip_corrupt: SkipCorrupt = False,
    _tables: Annotated[
        bool,
        typer.Option(
            "--tables", help="List the tables with their options.", is_eager=True, callback=_list_tables
        ),
    ] = False,
) -> None:
    """Write a result table, such as correlation, audit, threshold-ate or aggregate.

    Examples:

    - `sweep export --tables`

    - `sweep export demo final > final.csv`

    - `sweep export demo correlation --format markdown`

    - `sweep export demo correlation --measure dead_units --outcome return_mean --set within=activation`

    - `sweep export demo threshold-ate --format csv,parquet,latex --out tables/`
    """
    from sweep.export import export as write

    options = table_options(settings, measure, outcome)
    wanted = None if columns is None else listed(columns)
    paths = write(
        root, name, table, listed(formats), out, columns=wanted, skip_corrupt=skip_corrupt, **options
    )
    if skip_corrupt:
        say_left_out(root, name)
    say_written(paths)


def table_options(settings: list[str] | None, measure: str | None, outcome: str | None) -> dict[str, Any]:
    """Options of a table as text: those of --set beside --measure and --outcome."""
    return {"measure": measure, "outcome": outcome, **pairs("--set", settings)}


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """What a repeated KEY=VALUE says. Raises `UsageError` for what is none."""
    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise UsageError(f"{option} {text}: give KEY=VALUE, such as {_EXAMPLES[option]}.")
        found[key.strip()] = value.strip()
    return found


_EXAMPLES = {"--set": "draws=5000", "--rename": "return_mean=eval/return"}


def say_written(paths: list[Path]) -> None:
    """A line for each file."""
    for path in paths:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
