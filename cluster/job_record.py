"""Which job of which cluster runs a sweep: kept in its store, so that any machine that sees the root knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.jobs_api import connected
from sweep.errors import UsageError
from sweep.store import Store, files
from sweep.store.layout import Layout, checked_name

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["Found", "find_job", "read_job", "write_job"]


@dataclass(frozen=True)
class Found:
    """A job: the address of its cluster's dashboard, and its id there."""

    address: str
    job_id: str


def write_job(root: Path, name: str, address: str, job_id: str, commit: dict[str, Any] | None) -> None:
    """Keep `address`, `job_id`, `submitted` (unix s) and the commit in the sweep's store, which is made if need be."""
    layout = Store(root).create(name).layout
    about = {"address": address, "job_id": job_id, "submitted": time.time(), "commit": commit}
    files.replace_json(layout.job, about)


def read_job(root: Path, name: str) -> Found | None:
    """The job that was submitted last; None where none was, or none that could write it down."""
    try:
        about = files.read_json(Layout(root, checked_name(name)).job)
    except FileNotFoundError:
        return None
    return Found(about["address"], about["job_id"])


def find_job(root: Path, name: str, address: str | None) -> Found:
    """The sweep's job: as the store says, or at `address` the newest that runs a sweep of this name.

    Raises UsageError where there is none.
    """
    if address is None:
        found = read_job(root, name)
        if found is None:
            raise UsageError(
                f"sweep {name!r}: under {root} no job of a cluster is noted for it. For a sweep that was submitted "
                "from elsewhere give --address URL; for one that runs here see `sweep status`."
            )
        return found
    with connected(address) as client:
        newest = _newest(client, checked_name(name))
    if newest is None:
        raise UsageError(
            f"sweep {name!r}: the cluster at {address} has no job for it. `ray job list --address {address}` shows "
            "its jobs; a cluster that was started again has forgotten them."
        )
    return Found(address, newest)


def _newest(client: JobSubmissionClient, name: str) -> str | None:
    jobs = [job for job in client.list_jobs() if (job.metadata or {}).get("sweep") == name]
    newest = max(jobs, key=lambda job: job.start_time or 0, default=None)
    return None if newest is None else str(newest.submission_id)
