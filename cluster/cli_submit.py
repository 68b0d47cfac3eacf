"""`sweep submit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import RUN, Json, Root, Scale, StudyName, console, print_json
from sweep.cli.limits import MaxGpuHours, MaxHours, Notify, StallMinutes, Workers, budget_of
from sweep.cli.running import Precision, Scheduler, Strategy
from sweep.store.places import told_elsewhere

if TYPE_CHECKING:
    from cluster.ray_jobs import Job

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("submit", rich_help_panel=RUN)(submit)


def submit(
    study: StudyName,
    root: Root,
    address: Annotated[
        str, typer.Option(metavar="URL", help="The cluster's dashboard, such as http://127.0.0.1:8265.")
    ],
    scale: Scale = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The sweep's name. [default: the study's, with - for / and its scale]"
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show progress until the job ends; Ctrl-C leaves it running.")
    ] = False,
    workers: Workers = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    notify: Notify = None,
    stall_minutes: StallMinutes = 30.0,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where packs train.")] = "auto",
    scheduler: Annotated[Scheduler, typer.Option(help="As in `sweep run`.")] = Scheduler.fifo,
    strategy: Annotated[Strategy, typer.Option(help="As in `sweep run`.")] = Strategy.auto,
    precision: Annotated[Precision, typer.Option(help="As in `sweep run`.")] = Precision.float32,
    compile_packs: Annotated[
        bool | None, typer.Option("--compile/--eager", help="As in `sweep run`.", show_default=False)
    ] = None,
    mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="As in `sweep run`.")] = True,
    mlflow_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="An MLflow server that the cluster reaches.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hand a study to a Ray cluster through its Jobs API: `sweep run` there, with the code that is here.

    Every node is asked first whether it sees the root, has room on its disk and the dependencies; what fails
    is named and nothing is started. Then it is said how many packs the cluster takes at once, and how long that
    will take. The root is s3://bucket/folder, gs://bucket/folder, or a mount that every node has.

    The same study, name and root make the same job, so a job that still runs is not submitted twice; after one
    has ended, the same command goes on from what the store has. No secret of this machine is sent: the
    cluster's own environment has the keys of its buckets.

    Examples:

    - `sweep submit demo --address http://127.0.0.1:8265 --root /mnt/sweeps --follow`

    - `sweep submit my-study.yaml --address https://ray.example.org --root s3://bucket/sweeps`
    """
    from cluster.ray_jobs import submit_study
    from search_spaces import load_study

    loaded = load_study(study, scale and scale.value)
    sweep_name = loaded.sweep_name if name is None else name
    budget_of(max_hours, max_gpu_hours)  # refused here, not by the job
    options = [
        *(("--max-concurrent", str(workers)) if workers else ()),
        *(("--max-hours", str(max_hours)) if max_hours is not None else ()),
        *(("--max-gpu-hours", str(max_gpu_hours)) if max_gpu_hours is not None else ()),
        *(part for one in notify or () for part in ("--notify", _without_secret(one))),
        *("--stall-minutes", str(stall_minutes)),
        *("--device", device, "--scheduler", scheduler.value),
        *("--strategy", strategy.value, "--precision", precision.value),
        *(() if compile_packs is None else ("--compile",) if compile_packs else ("--eager",)),
        "--mlflow" if mlflow else "--no-mlflow",
        *(("--mlflow-uri", _without_password(mlflow_uri)) if mlflow_uri else ()),
    ]
    tell = (lambda text: typer.echo(text, err=True)) if as_json else _say
    job = submit_study(loaded, sweep_name, root, address, options, device=device, workers=workers, say=tell)
    where = told_elsewhere(root)
    if as_json:
        known = {"job_id": job.job_id, "started": job.started, "address": address, "root": where}
        print_json({**known, "commit": job.commit, "seen_here": job.seen_here, "fit": job.fit})
    else:
        _tell(job, sweep_name, where)
    if follow:
        _follow(job, sweep_name, root, as_json=as_json)


def _tell(job: Job, name: str, where: str) -> None:
    if job.fit:
        _say(job.fit)
    _say(f"{job.job_id} {'submitted to' if job.started else 'runs already on'} {job.address}")
    if not job.started:
        _say("nothing was submitted: one job at a time runs a study under a name and a root")
    elif job.commit is not None:
        _say(
            f"code    {job.commit['commit']}{', with changes that are not committed' if job.commit['dirty'] else ''}"
        )
    at = "" if job.seen_here else f" --address {job.address}"
    _say(f"root    {where}")
    _say(f"follow  sweep submit … --follow, or sweep logs {name} --root {where}{at} --follow")
    _say(f"stop    sweep stop {name} --root {where}{at}")
    if job.seen_here is False:
        _say(
            f"status  sweep status {name} --root {where}, on a machine that sees the root: this one does not"
        )
    else:
        _say(f"status  sweep status {name} --root {where}")


def _follow(job: Job, name: str, root: Path, *, as_json: bool) -> None:
    from cluster.following import follow, follow_store
    from cluster.logs import job_output, tail_of
    from sweep.store import Store

    def note(text: str) -> None:
        typer.echo(text, err=True)

    live = console.is_terminal and not as_json and (job.seen_here or _runs_here(job, name, root))
    try:
        if live:
            from sweep.cli.display import TerminalDisplay

            status = follow_store(job, Store(root).create(name), TerminalDisplay(console).following, note)
            if status == "FAILED":
                _say(tail_of(job_output(job), 20))
        else:
            status = follow(job, lambda text: typer.echo(text, nl=False, err=as_json), note)
    except KeyboardInterrupt:
        _say(f"\n{job.job_id} goes on; the same command with --follow shows it again")
        return
    if not as_json:
        _say(f"{job.job_id}: {status}")
    if status != "SUCCEEDED":
        raise typer.Exit(1)


def _runs_here(job: Job, name: str, root: Path) -> bool:
    """Whether the store under this root is the one of a job that ran before it was asked for."""
    from cluster.job_record import read_job

    try:
        found = read_job(root, name)
    except Exception:
        # A bucket that only the cluster reaches: the job's own output is followed.
        return False
    return found is not None and found.job_id == job.job_id


def _without_password(uri: str) -> str:
    from urllib.parse import urlsplit

    from sweep.errors import UsageError

    if "@" in urlsplit(uri).netloc:
        raise UsageError(
            "--mlflow-uri: it holds a user or password, which the cluster's dashboard would show to all who see "
            "it. Leave them out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the cluster."
        )
    return uri


def _without_secret(address: str) -> str:
    from sweep.errors import UsageError

    if not address.startswith("env:"):
        raise UsageError(
            "--notify: the address holds a secret, which the cluster's dashboard would show to all who see it. Set an "
            "environment variable to it on the cluster, and give --notify env:NAME."
        )
    return address


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    sys.stdout.flush()
