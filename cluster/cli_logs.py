"""`sweep logs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.common import RUN, Root, SweepName

if TYPE_CHECKING:
    from cluster.job_record import Found

__all__ = ["Address", "register"]

Address = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The cluster's dashboard. [default: where the sweep was submitted to]"),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("logs", rich_help_panel=RUN)(logs)


def logs(
    name: SweepName,
    root: Root,
    pack: Annotated[
        str | None, typer.Option(metavar="ID", help="Of one pack: its attempts, failures and output.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job ends.")] = False,
    tail: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="The last lines alone. [default: all; 200 of a pack's process]"
        ),
    ] = None,
    address: Address = None,
) -> None:
    """What a submitted sweep has printed; of a pack, why it failed and what its process said.

    A pack's attempts and failures come from the store, also of sweeps that run here. The output of its
    process comes from the node it was on, as long as the cluster has that.

    Examples:

    - `sweep logs demo --root s3://bucket/sweeps --tail 50`

    - `sweep logs demo --pack mlp-relu-b32-1f0c9a --root /mnt/sweeps`

    - `sweep logs demo --address http://127.0.0.1:8265 --follow` where this machine does not see the root
    """
    from cluster.job_record import find_job
    from cluster.logs import job_output, tail_of

    if pack is not None:
        _pack(name, root, pack, address, tail or 200)
        return
    job = find_job(root, name, address)
    if not follow:
        typer.echo(tail_of(job_output(job), tail), nl=False)
        return
    _follow(job)


def _follow(found: Found) -> None:
    from cluster.following import follow
    from cluster.ray_jobs import Job

    job = Job(found.job_id, found.address, started=False)
    try:
        status = follow(job, lambda text: typer.echo(text, nl=False), lambda text: typer.echo(text, err=True))
    except KeyboardInterrupt:
        return
    if status != "SUCCEEDED":
        typer.echo(f"{found.job_id}: {status}", err=True)
        raise typer.Exit(1)


def _pack(name: str, root: Path, pack_id: str, address: str | None, lines: int) -> None:
    from datetime import datetime

    from cluster.job_record import read_job
    from cluster.logs import worker_output
    from sweep.errors import SweepError, UsageError
    from sweep.store import Store

    store = Store(root).sweep(name)
    known = [one for plan in store.plans() for one in plan["packs"]]
    if pack_id not in known:
        raise UsageError(
            f"--pack {pack_id!r}: sweep {name!r} has no such pack. `sweep status {name} --json` lists its "
            f"{len(known)} packs; `sweep status {name}` names those that failed."
        )
    attempts = store.attempts(pack_id)
    failures: dict[int, list[dict[str, Any]]] = {}
    for failure in store.failures().get(pack_id, []):
        failures.setdefault(int(failure["attempt"]), []).append(failure)
    if not attempts and not failures:
        typer.echo(f"pack {pack_id} has not begun")
    job = read_job(root, name)
    at = address or (job.address if job else None)
    for attempt in attempts:
        number = int(attempt["attempt"])
        when = datetime.fromtimestamp(float(attempt.get("started", 0))).strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(
            f"attempt {number}: {when}, host {attempt.get('host')}, process {attempt.get('pid')}, from "
            f"{'the beginning' if int(attempt['resume_step']) < 0 else 'step ' + str(attempt['resume_step'])}"
        )
        _failed(failures.pop(number, []))
        if at is None:
            continue
        try:
            said = worker_output(at, attempt, lines)
        except SweepError as error:
            typer.echo(f"  its output cannot be had: {error}", err=True)
            at = None
            continue
        for file, text in said.items():
            typer.echo(f"  {file}, last {lines} lines:")
            typer.echo("".join(f"    {line}\n" for line in text.splitlines()), nl=False)
    # Of processes that could not even begin.
    for left in failures.values():
        _failed(left)
    result = store.result(pack_id)
    if result is not None:
        typer.echo(f"done, by attempt {result['attempt']}")


def _failed(failures: list[dict[str, Any]]) -> None:
    for failure in failures:
        typer.echo(f"  failed: {failure['reason']}")
        text = str(failure.get("traceback") or failure.get("error") or "")
        typer.echo("".join(f"    {line}\n" for line in text.splitlines()), nl=False)
