"""`sweep analyze`: what a sweep, or a CSV of somebody else's runs, says of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.common import RESULTS, Root, console, listed
from sweep.cli.tables import Columns, Formats, Measure, Out, Outcome, Set, pairs, say_written, table_options
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.analysis.foreign import Runs

__all__ = ["register"]

VERDICT = "audit-verdict"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("analyze", rich_help_panel=RESULTS)(analyze)


def analyze(
    root: Root,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A sweep's name; or give --from-csv.")
    ] = None,
    from_csv: Annotated[
        Path | None,
        typer.Option(
            "--from-csv",
            metavar="FILE",
            help="A row a run, or a row a run and step: W&B, Optuna, or your own.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="TABLE",
            help="A table in place of the verdict; `sweep export --tables` lists them.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename", metavar="OURS=THEIRS", help="A column of the CSV under another name; may be repeated."
        ),
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
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the whole report of the CSV there instead."),
    ] = None,
) -> None:
    """Does a measure predict an outcome, or is something else behind both? In words, with the numbers.

    Of a sweep, or with --from-csv of runs that something else trained. A run needs a configuration, an outcome, a
    measure, and better a seed. Hyperparameters of a CSV are recognised by the names of our own, and by Optuna's
    `params_`; name others with --hyperparameters. Columns that are numbers and no hyperparameters are measures.

    Examples:

    - `sweep analyze demo --measure dead_units`

    - `sweep analyze demo --set sesoi=0.1 --set unit=sd` declares what is too little to matter

    - `sweep analyze --from-csv runs.csv --rename return_mean=eval/return --hyperparameters lr,width`

    - `sweep analyze --from-csv optuna.csv --measure user_attrs_srank --outcome value --table simpson`

    - `sweep analyze --from-csv runs.csv --report runs.html`
    """
    from sweep.export import check_output, checked_options, find_table, result_table, write_table

    if (name is None) == (from_csv is None):
        raise UsageError("give the name of a sweep, or --from-csv with a file of runs: one of the two.")
    found = find_table(table or VERDICT)
    options = checked_options(found, table_options(settings, measure, outcome))
    check_output(listed(formats), out)
    if name is not None:
        if from_csv is None and (rename or hyperparameters or report):
            raise UsageError(
                "--rename, --hyperparameters and --report are for --from-csv; `sweep report NAME` writes a sweep's."
            )
        made = result_table(root, name, found.name, **options)
    else:
        assert from_csv is not None
        runs = _runs(from_csv, rename, hyperparameters)
        if report is not None:
            _write_report(from_csv, runs, report, measure, outcome)
            return
        if found.reads == "spectra":
            raise UsageError(
                f"table {found.name!r} is made of long vectors, which a CSV does not hold: choose another."
            )
        made = found.build(runs.trials, runs.metrics, **options)
    if table is None and out is None:
        for row in made.to_dict("records"):
            _say(row)
        return
    wanted = None if columns is None else listed(columns)
    say_written(write_table(made, found.name, listed(formats), out, columns=wanted))


def _runs(path: Path, rename: list[str] | None, hyperparameters: str | None) -> Runs:
    from sweep.analysis.foreign import read_csv

    named = None if hyperparameters is None else listed(hyperparameters)
    runs = read_csv(path, rename=pairs("--rename", rename), hyperparameters=named)
    for said in runs.notes:
        typer.echo(said, err=True)
    return runs


def _write_report(path: Path, runs: Runs, out: Path, measure: str | None, outcome: str | None) -> None:
    from sweep.export import write_file
    from sweep.report import SweepData, render_report

    data = SweepData(path.stem, runs.trials, runs.metrics)
    page = render_report(data, measure=measure or "srank", outcome=outcome or "return_mean")
    write_file(out, page.encode())
    say_written([out])


def _say(row: Mapping[Any, Any]) -> None:
    """One environment and space of the verdict, a paragraph for each part."""
    console.print(
        f"\n{row['env']}, {row['space']}: {row['verdict']}", style="bold", highlight=False, markup=False
    )
    for part in ("text", "sensitivity", "randomised", "caveats"):
        text = row.get(part)
        if isinstance(text, str) and text:
            console.print(text, highlight=False, markup=False, soft_wrap=True)
