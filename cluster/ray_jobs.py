"""Handing a study to a Ray cluster through its Jobs API."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import shlex
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster.sources import STUDY_FILE, package_study
from search_spaces import Study
from sweep.errors import SweepError, UsageError
from sweep.store.files import local_root
from sweep.store.layout import checked_name

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["Job", "follow", "submission_id", "submit_study"]

_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_CONNECT_SECONDS = 10.0
_START_SECONDS = 60.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """A job on a cluster. `started` is False where it was there already and nothing was submitted."""

    job_id: str
    address: str
    started: bool
    commit: dict[str, Any] | None = None


def submission_id(study: Study, name: str, root: str) -> str:
    """The id of the job that runs `study` as `name` under `root`: the same request has the same id."""
    content = "\0".join((study.text, name, root)).encode()
    return f"rankscope-{name.replace('.', '-')}-{hashlib.sha256(content).hexdigest()[:12]}"


def submit_study(study: Study, name: str, root: str | Path, address: str, options: Sequence[str] = ()) -> Job:
    """Submit `sweep run` with further `options`; a job of this study, name and root that runs is left alone.

    `root` is a path as the cluster's nodes see it, and all of them must: it is not looked at from here. A job
    that has ended, however it did, is followed by a new one with a number added to its id, which goes on from
    what the store has.

    Raises UsageError for a root or address that cannot be, SweepError where the cluster does not answer or
    refuses.
    """
    where = str(local_root(root).absolute())
    checked_name(name)
    with _connected(address) as client, tempfile.TemporaryDirectory(prefix="rankscope-") as folder:
        job_id, running = _free_id(client, submission_id(study, name, where))
        if running:
            return Job(job_id, address, started=False)
        commit = package_study(study, Path(folder))
        arguments = ["run", STUDY_FILE, "--name", name, "--root", where, "--address", "auto", *options]
        metadata = {"study": study.name, "sweep": name, "root": where}
        if commit is not None:
            metadata |= {"git_commit": str(commit["commit"]), "git_dirty": str(commit["dirty"]).lower()}
        started = _submit(
            client,
            # From the folder that was sent, before any Rankscope that is installed there.
            entrypoint=f"python -c 'from sweep.cli import main; main()' {shlex.join(arguments)}",
            submission_id=job_id,
            runtime_env={"working_dir": folder},
            metadata=metadata,
        )
        return Job(job_id, address, started, commit)


def follow(job: Job, write: Callable[[str], object]) -> str:
    """Give the job's output to `write` until the job ends; returns SUCCEEDED, FAILED or STOPPED.

    Leaving (Ctrl-C) leaves the job running. Raises SweepError where the cluster goes away.
    """
    with _connected(job.address) as client:

        async def stream() -> None:
            async for text in client.tail_job_logs(job.job_id):
                write(text)

        asyncio.run(stream())
        while True:
            # The output can end a moment before the status says so.
            status = str(client.get_job_status(job.job_id).value)
            if status in _ENDED:
                return status
            time.sleep(_POLL_SECONDS)


def _submit(client: JobSubmissionClient, **job: Any) -> bool:
    """Submit; False where another process has just submitted the same. Waits for a cluster that still starts."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.submit_job(**job)
        except RuntimeError as error:
            if "already exists" in str(error):
                return False
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _free_id(client: JobSubmissionClient, base: str) -> tuple[str, bool]:
    """The id to submit under and False, or the id of a job that has not ended and True."""
    pattern = re.compile(re.escape(base) + r"(?:-(\d+))?")
    found = {
        int(match[1] or 1): str(job.status.value)
        for job in client.list_jobs()
        if (match := pattern.fullmatch(job.submission_id or ""))
    }
    newest = max(found, default=0)
    running = newest > 0 and found[newest] not in _ENDED
    number = newest if running else newest + 1
    return (base if number == 1 else f"{base}-{number}"), running


@contextlib.contextmanager
def _connected(address: str) -> Iterator[JobSubmissionClient]:
    """A client of the Jobs API, whose errors inside the block become SweepErrors that name the address."""
    _check_address(address)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for module in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{module}").setLevel(logging.WARNING)
    try:
        yield JobSubmissionClient(address)
    except SweepError:
        raise
    except AuthenticationError as error:
        raise SweepError(
            f"--address {address!r}: the cluster wants its token. Put it into ~/.ray/auth_token (or into "
            "$RAY_AUTH_TOKEN), set RAY_AUTH_MODE=token, and give the same command again."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SweepError(
            f"--address {address!r}: the Jobs API there refuses or went away: {reason}. Look at the cluster's "
            "dashboard, then give the same command again."
        ) from error


def _check_address(address: str) -> None:
    """Refuse what is no URL, and say at once where nothing answers: Ray's client would wait for minutes."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise UsageError(
            f"--address {address!r}: it must be the URL of a cluster's dashboard, such as http://127.0.0.1:8265. "
            "(`sweep run --address` takes host:port of the cluster itself.)"
        )
    port = port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise SweepError(
            f"--address {address!r}: nothing answers there ({error.strerror or error}). Start the cluster (`ray "
            "start --head`), open a way to its dashboard (such as `ray dashboard` or `kubectl port-forward`), or "
            "correct the address."
        ) from error
