"""`sweep sync`, `ui`, `export` and `report`: what is made from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.common import RESULTS, Json, MlflowUri, Root, SweepName, console, print_json

__all__ = ["register"]

SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave damaged segments out, and say which.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name, command in (("report", report), ("export", export), ("ui", ui), ("sync", sync)):
        app.command(name, rich_help_panel=RESULTS)(command)


def sync(
    name: SweepName,
    root: Root,
    mlflow_uri: MlflowUri = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete the sweep's runs in MLflow first.")
    ] = False,
    skip_corrupt: SkipCorrupt = False,
    as_json: Json = False,
) -> None:
    """Bring MLflow up to date from the store: each trial a run, each run once.

    `sweep run` does this as it trains; afterwards it is for an MLflow that was down, or another one.

    Examples:

    - `sweep sync demo`

    - `sweep sync demo --mlflow-uri http://mlflow.example.org:5000`
    """
    from sweep.mirror import Progress
    from sweep.mirror import sync as bring_up_to_date

    with console.status("reading the store") as spinner:

        def show(progress: Progress) -> None:
            spinner.update(
                f"{progress.mirrored}/{progress.trials} trials, {progress.metrics_sent:,} metric values sent"
            )

        found = bring_up_to_date(root, name, mlflow_uri, show, rebuild=rebuild, skip_corrupt=skip_corrupt)
    if skip_corrupt:
        _say_left_out(root, name)
    if as_json:
        print_json(found.__dict__)
        return
    console.print(
        f"{found.ended}/{found.trials} trials complete in {found.tracking_uri}: {found.runs_created} runs made, "
        f"{found.metrics_sent:,} metric values sent in {found.seconds:.1f} s",
        highlight=False,
    )


def ui(
    root: Root,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback anybody there can read and write.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port of MLflow. [default: the first free one from 5000]"),
    ] = None,
    reports_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port of the reports. [default: the next free one]")
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None, typer.Option(help="DNS names under which MLflow may be asked.")
    ] = None,
) -> None:
    """MLflow on this root, and the reports, until Ctrl-C.

    Examples:

    - `sweep ui`

    - `sweep ui --host 0.0.0.0 --port 8080 --allowed-hosts sweeps.example.org`
    """
    from sweep.ui import Ui, serve

    def ready(pages: Ui) -> None:
        console.print(
            f"MLflow   {pages.mlflow_url}\nreports  {pages.reports_url}\nCtrl-C ends both", highlight=False
        )

    serve(root, host, port, reports_port, allowed_hosts=allowed_hosts or (), on_ready=ready)


def export(
    name: SweepName,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="trials, final, summary, curves or correlation.")
    ],
    root: Root,
    formats: Annotated[
        str,
        typer.Option(
            "--format", metavar="LIST", help="One or more of csv, parquet, latex, markdown, json, by commas."
        ),
    ] = "csv",
    out: Annotated[
        # Not a path yet, which would lose the slash that says that it is a folder.
        str | None, typer.Option("--out", metavar="PATH", help="File or folder/. [default: standard output]")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="LIST", help="Only these columns, in this order, by commas.")
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For correlation: the measure that predicts. [default: srank]"),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For correlation: what is predicted. [default: return_mean]"),
    ] = None,
    skip_corrupt: SkipCorrupt = False,
) -> None:
    """Write a result table: trials, final, summary, curves or correlation.

    Examples:

    - `sweep export demo final > final.csv`

    - `sweep export demo correlation --format markdown`

    - `sweep export demo curves --format csv,parquet,latex --out tables/`

    - `sweep export demo correlation --measure dead_units --outcome return_mean`
    """
    from sweep.export import export as write

    paths = write(
        root,
        name,
        table,
        _listed(formats),
        out,
        columns=None if columns is None else _listed(columns),
        skip_corrupt=skip_corrupt,
        measure=measure,
        outcome=outcome,
    )
    if skip_corrupt:
        _say_left_out(root, name)
    for path in paths:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


def report(
    name: SweepName,
    root: Root,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="[default: ROOT/reports/NAME.html]")
    ] = None,
    measure: Annotated[str, typer.Option(metavar="NAME", help="The measure that is to predict.")] = "srank",
    outcome: Annotated[str, typer.Option(metavar="NAME", help="What is to be predicted.")] = "return_mean",
    skip_corrupt: SkipCorrupt = False,
) -> None:
    """Write the whole analysis as one HTML file, which needs nothing else to be read or sent.

    Examples:

    - `sweep report demo`

    - `sweep report demo --measure dead_units --out dead-units.html`
    """
    from sweep.report import write_report

    path = write_report(root, name, out, measure=measure, outcome=outcome, skip_corrupt=skip_corrupt)
    if skip_corrupt:
        _say_left_out(root, name)
    console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


def _say_left_out(root: Path, name: str) -> None:
    """Name the damaged files, beside the output and not in it."""
    from sweep.store import Store

    for error in Store(root).sweep(name).corrupt_segments():
        typer.echo(f"left out, damaged: {error.path}", err=True)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
