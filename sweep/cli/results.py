"""`sweep sync`, `ui` and `report`: what is made from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.common import (
    RESULTS,
    Json,
    MlflowUri,
    Root,
    SkipCorrupt,
    SweepName,
    console,
    print_json,
    say_left_out,
)

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name, command in (("report", report), ("ui", ui), ("sync", sync)):
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
        say_left_out(root, name)
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


def report(
    name: SweepName,
    root: Root,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="[default: ROOT/reports/NAME.html]")
    ] = None,
    measure: Annotated[str, typer.Option(metavar="NAME", help="The measure that is to predict.")] = "srank",
    outcome: Annotated[str, typer.Option(metavar="NAME", help="What is to be predicted.")] = "return_mean",
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also every figure as PDF and every table as LaTeX, into this folder."
        ),
    ] = None,
    mlflow_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where readers find the sweep's runs. [default: the MLflow it is mirrored to, or that of `sweep ui`]",
        ),
    ] = None,
    skip_corrupt: SkipCorrupt = False,
) -> None:
    """Write the whole analysis as one HTML file, which needs nothing else to be read or sent.

    Examples:

    - `sweep report demo`

    - `sweep report demo --measure dead_units --out dead-units.html`

    - `sweep report demo --figures paper/figures`
    """
    from sweep.report import write_report

    path = write_report(
        root,
        name,
        out,
        measure=measure,
        outcome=outcome,
        skip_corrupt=skip_corrupt,
        figures=figures,
        mlflow_url=mlflow_url,
    )
    if skip_corrupt:
        say_left_out(root, name)
    if figures is not None:
        console.print(f"wrote {figures / 'report.tex'}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
