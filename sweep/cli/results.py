"""`sweep sync`, `ui`, `export` and `report`: what is made from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.common import Json, Root, SweepName, console, print_json

__all__ = ["register"]

SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave damaged segments out, and say which.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("sync")(sync)
    app.command("ui")(ui)
    app.command("export")(export)
    app.command("report")(report)


def sync(
    name: SweepName,
    root: Root,
    mlflow_uri: Annotated[
        str | None, typer.Option(help="An MLflow server; the root's own SQLite without it.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete the sweep's runs in MLflow first.")
    ] = False,
    skip_corrupt: SkipCorrupt = False,
    as_json: Json = False,
) -> None:
    """Bring MLflow up to date from the store."""
    from sweep.mirror import Progress
    from sweep.mirror import sync as bring_up_to_date

    with console.status("reading the store") as spinner:

        def show(progress: Progress) -> None:
            spinner.update(
                f"{progress.mirrored}/{progress.trials} trials, {progress.metrics_sent:,} metric values sent"
            )

        found = bring_up_to_date(root, name, mlflow_uri, show, rebuild=rebuild, skip_corrupt=skip_corrupt)
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
        int | None, typer.Option(help="Port of MLflow; 5000 or the next free one without it.")
    ] = None,
    reports_port: Annotated[int | None, typer.Option(help="Port of the reports.")] = None,
    allowed_hosts: Annotated[
        list[str] | None, typer.Option(help="DNS names under which MLflow may be asked.")
    ] = None,
) -> None:
    """MLflow on this root, and the reports, until Ctrl-C."""
    from sweep.ui import Ui, serve

    def ready(pages: Ui) -> None:
        console.print(
            f"MLflow   {pages.mlflow_url}\nreports  {pages.reports_url}\nCtrl-C ends both", highlight=False
        )

    serve(root, host, port, reports_port, allowed_hosts=allowed_hosts or (), on_ready=ready)


def export(
    name: SweepName,
    table: Annotated[str, typer.Argument(help="trials, final, summary, curves or correlation.")],
    root: Root,
    formats: Annotated[
        str, typer.Option("--format", help="One or more of csv, parquet, latex, markdown, json, by commas.")
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", help="File or folder; standard output without it.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Only these columns, in this order, by commas.")] = None,
    measure: Annotated[
        str | None, typer.Option(help="correlation: the measure that predicts; srank.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="correlation: what is predicted; return_mean.")] = None,
    skip_corrupt: SkipCorrupt = False,
) -> None:
    """Write a result table."""
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
    for path in paths:
        console.print(f"wrote {path}", highlight=False)


def report(
    name: SweepName,
    root: Root,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; ROOT/reports/NAME.html without it.")
    ] = None,
    measure: Annotated[str, typer.Option(help="The measure that is to predict.")] = "srank",
    outcome: Annotated[str, typer.Option(help="What is to be predicted.")] = "return_mean",
    skip_corrupt: SkipCorrupt = False,
) -> None:
    """Write the whole analysis as one HTML file."""
    from sweep.report import write_report

    path = write_report(root, name, out, measure=measure, outcome=outcome, skip_corrupt=skip_corrupt)
    console.print(f"wrote {path}", highlight=False)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
