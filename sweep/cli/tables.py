"""`sweep export` and `sweep analyze`: result tables, of a sweep or of a CSV of somebody else's runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sweep.cli.common import RESULTS, Root, SkipCorrupt, SweepName, console, listed, say_left_out
from sweep.errors import UsageError

__all__ = ["register"]

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
    for name, command in (("export", export), ("analyze", analyze)):
        app.command(name, rich_help_panel=RESULTS)(command)


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

    options = _options(settings, measure, outcome)
    wanted = None if columns is None else listed(columns)
    paths = write(
        root, name, table, listed(formats), out, columns=wanted, skip_corrupt=skip_corrupt, **options
    )
    if skip_corrupt:
        say_left_out(root, name)
    _say_written(paths)


def analyze(
    from_csv: Annotated[
        Path,
        typer.Option(
            "--from-csv",
            metavar="FILE",
            help="A row a run, or a row a run and step: W&B, Optuna, or your own.",
        ),
    ],
    table: Annotated[
        str, typer.Option("--table", metavar="TABLE", help="`sweep export --tables` lists them.")
    ] = "audit",
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OURS=THEIRS", help="A column under another name; may be repeated."),
    ] = None,
    hyperparameters: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Columns that were set and not measured, by commas. [default: recognised]"
        ),
    ] = None,
    formats: Formats = "markdown",
    out: Out = None,
    columns: Columns = None,
    measure: Measure = None,
    outcome: Outcome = None,
    settings: Set = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the whole report there instead.")
    ] = None,
) -> None:
    """Analyse runs that something else trained, from a CSV: every table of `sweep export`, or the report.

    A run needs a configuration, an outcome, a measure, and better a seed. Hyperparameters are recognised by the
    names of our own, and by Optuna's `params_`; name others with --hyperparameters. Columns that are numbers and
    no hyperparameters are measures.

    Examples:

    - `sweep analyze --from-csv runs.csv --rename return_mean=eval/return --hyperparameters lr,width`

    - `sweep analyze --from-csv optuna.csv --measure user_attrs_srank --outcome value --table simpson`

    - `sweep analyze --from-csv runs.csv --report runs.html`
    """
    from sweep.analysis.foreign import read_csv
    from sweep.export import check_output, checked_options, find_table, write_table

    found = find_table(table)
    options = checked_options(found, _options(settings, measure, outcome))
    check_output(listed(formats), out)
    names = _pairs("--rename", rename)
    runs = read_csv(
        from_csv, rename=names, hyperparameters=None if hyperparameters is None else listed(hyperparameters)
    )
    for said in runs.notes:
        typer.echo(said, err=True)
    if report is not None:
        from sweep.export import write_file
        from sweep.report import SweepData, render_report

        data = SweepData(from_csv.stem, runs.trials, runs.metrics)
        page = render_report(data, measure=measure or "srank", outcome=outcome or "return_mean")
        write_file(report, page.encode())
        _say_written([report])
        return
    if found.reads == "spectra":
        raise UsageError(
            f"table {table!r} is made of long vectors, which a CSV does not hold: choose another."
        )
    made = found.build(runs.trials, runs.metrics, **options)
    wanted = None if columns is None else listed(columns)
    _say_written(write_table(made, table, listed(formats), out, columns=wanted))


def _options(settings: list[str] | None, measure: str | None, outcome: str | None) -> dict[str, Any]:
    return {"measure": measure, "outcome": outcome, **_pairs("--set", settings)}


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise UsageError(f"{option} {text}: give KEY=VALUE, such as {_EXAMPLES[option]}.")
        pairs[key.strip()] = value.strip()
    return pairs


_EXAMPLES = {"--set": "draws=5000", "--rename": "return_mean=eval/return"}


def _say_written(paths: list[Path]) -> None:
    for path in paths:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
