"""Handing a study to a Ray cluster through its Jobs API, after its nodes have been asked whether they can run it."""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.asking import Here, ask_cluster
from cluster.job_record import write_job
from cluster.jobs_api import ENDED, connected, submit
from cluster.resources import fit
from cluster.sources import STUDY_FILE, package_study
from search_spaces import Study
from sweep.errors import UsageError
from sweep.store.layout import checked_name
from sweep.store.places import is_local, root_place, told_elsewhere

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["Job", "submission_id", "submit_study"]


@dataclass(frozen=True)
class Job:
    """A job on a cluster. `started` is False where it was there already and nothing was submitted.

    `seen_here`: whether this machine sees the root that the cluster writes to; None where that was not looked at.
    """

    job_id: str
    address: str
    started: bool
    commit: dict[str, Any] | None = None
    seen_here: bool | None = None
    fit: str | None = None


def submission_id(study: Study, name: str, root: str) -> str:
    """The id of the job that runs `study` as `name` under `root`: the same request has the same id."""
    content = "\0".join((study.text, name, root)).encode()
    return f"rankscope-{name.replace('.', '-')}-{hashlib.sha256(content).hexdigest()[:12]}"


def submit_study(
    study: Study,
    name: str,
    root: str | Path,
    address: str,
    options: Sequence[str] = (),
    *,
    device: str = "auto",
    workers: int | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Job:
    """Submit `sweep run` with further `options`; a job of this study, name and root that runs is left alone.

    `root` is a bucket, or a path as the cluster's nodes see it. A short job asks each node first: nothing is
    submitted where one cannot reach the root, lacks room or software, or where the plan could never run. A job that
    has ended, however it did, is followed by a new one with a number added to its id, which goes on from what the
    store has.

    Raises UsageError for a root, address or plan that cannot be, SweepError where the cluster does not answer or
    refuses.
    """
    place = root_place(root)
    where = told_elsewhere(place)
    checked_name(name)
    with connected(address) as client, tempfile.TemporaryDirectory(prefix="rankscope-") as folder:
        job_id, running = _free_id(client, submission_id(study, name, where))
        if running:
            return Job(job_id, address, started=False)
        commit = package_study(study, Path(folder))
        say("asking the cluster's nodes")
        with Here(place) as here:
            report = ask_cluster(client, folder, job_id, where, here)
        if is_local(place) and not place.is_absolute() and not report.outside_seen:
            raise UsageError(
                f"root {str(root)!r}: it is the folder {where} of this machine, which the cluster at {address} does "
                "not see. Nothing was started. Give --root a folder that this machine and every node have mounted, by "
                "its absolute path, or s3://bucket/folder."
            )
        report.check(where)
        for warning in report.warnings:
            say(f"note: {warning}")
        if caution := report.about_cards(device):
            say(f"note: {caution}")
        seen_here = here.wrote and report.outside_seen
        found = fit(study, name, place, report, device, workers, store_is_seen=seen_here)
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
        if seen_here:
            write_job(place, name, address, job_id, commit)
        return Job(job_id, address, started, commit, seen_here, found)


def _submit(client: JobSubmissionClient, **job: Any) -> bool:
    """Submit; False where another process has just submitted the same."""
    try:
        submit(client, **job)
    except RuntimeError as error:
        if "already exists" not in str(error):
            raise
        return False
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
    running = newest > 0 and found[newest] not in ENDED
    number = newest if running else newest + 1
    return (base if number == 1 else f"{base}-{number}"), running
