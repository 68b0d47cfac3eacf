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
from sweep.store.places import root_place

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name, command in (("report", report), ("ui", ui), ("sync", sync)):
        app.command(name, rich_help_panel=RESULTS)(command)


def _out(text: str) -> Path:
    return root_place(text, "--out")


def _figures(text: str) -> Path:
    return root_place(text, "--figures")


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
        str, typer.Option(help="Address to listen on; beyond this machine everybody needs an account.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port of MLflow. [default: the first free one from 5000]"),
    ] = None,
    reports_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port of the reports. [default: the next free one]")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="MLflow's database: postgresql://USER@HOST/DATABASE, the password in PGPASSWORD or ~/.pgpass; or "
            "env:NAME, a variable that holds the address. [default: SQLite in the root]",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Folder, s3:// or gs:// of artifacts. [default: in the root]"),
    ] = None,
    auth: Annotated[
        bool | None,
        typer.Option(
            "--auth/--no-auth",
            help="Ask everybody for an account of MLflow's. [default: where --host is beyond this machine]",
            show_default=False,
        ),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES", help="Names under which browsers come, beside this machine's own; by commas."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of MLflow. [default: 1; on PostgreSQL a core each, up to 4]"),
    ] = None,
) -> None:
    """MLflow on this root or for a team, and the reports, until Ctrl-C.

    Beyond this machine it starts only with MLFLOW_AUTH_ADMIN_PASSWORD and MLFLOW_FLASK_SERVER_SECRET_KEY set.

    Examples:

    - `sweep ui`

    - `sweep ui --host 0.0.0.0 --port 8080 --allowed-hosts sweeps.example.org`

    - `sweep ui --backend postgresql://mlflow@db.lab/mlflow --artifacts s3://lab/mlflow --host 0.0.0.0`
    """
    from sweep.ui import Ui, serve

    def ready(pages: Ui) -> None:
        lines = [f"MLflow    {pages.mlflow_url}", f"reports   {pages.reports_url}"]
        if pages.beyond:
            lines.append(f"known as  {', '.join(pages.names)}")
        if pages.auth:
            lines.append(
                "accounts  MLflow's; the first is admin, with the password of MLFLOW_AUTH_ADMIN_PASSWORD"
            )
        if not pages.embedded:
            lines.append(f"mirror    sweep run STUDY --mlflow-uri {pages.mlflow_url}")
        lines.append("Ctrl-C ends both")
        console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)

    serve(
        root,
        host,
        port,
        reports_port,
        backend=backend,
        artifacts=artifacts,
        auth=auth,
        allowed_hosts=allowed_hosts or (),
        workers=workers,
        on_ready=ready,
    )


def report(
    name: SweepName,
    root: Root,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            parser=_out,
            help="A file; s3:// and gs:// too. [default: ROOT/reports/NAME.html]",
        ),
    ] = None,
    measure: Annotated[str, typer.Option(metavar="NAME", help="The measure that is to predict.")] = "srank",
    outcome: Annotated[str, typer.Option(metavar="NAME", help="What is to be predicted.")] = "return_mean",
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=_figures,
            help="Also every figure as PDF and every table as LaTeX, into this folder.",
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
