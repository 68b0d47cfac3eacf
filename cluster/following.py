"""Following a job to its end, over connections that may drop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from cluster.jobs_api import ENDED, Unreachable, connected
from cluster.ray_jobs import Job
from sweep.store import SweepStore

__all__ = ["follow", "follow_store"]

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 600.0


def follow(
    job: Job,
    write: Callable[[str], object],
    note: Callable[[str], object],
    patience: float = _PATIENCE_SECONDS,
) -> str:
    """Give the job's output to `write` until the job ends; returns SUCCEEDED, FAILED or STOPPED.

    Where the connection drops it is made again, for `patience` seconds, and what was written is not written twice;
    `note` is told. Leaving (Ctrl-C) leaves the job running. Raises SweepError where the cluster stays away.
    """
    stream = _Stream(write)
    lost: float | None = None
    while True:
        before = stream.written
        try:
            with connected(job.address) as client:

                async def tail() -> None:
                    stream.again()
                    async for text in client.tail_job_logs(job.job_id):
                        stream.take(text)

                asyncio.run(tail())
                while True:
                    # The output can end a moment before the status says so.
                    status = str(client.get_job_status(job.job_id).value)
                    if status in ENDED:
                        return status
                    time.sleep(_POLL_SECONDS)
        except Unreachable as error:
            lost = _still_patient(error, lost if stream.written == before else None, patience, note)


def follow_store(
    job: Job,
    store: SweepStore,
    shown: Callable[[SweepStore], AbstractContextManager[None]],
    note: Callable[[str], object],
    patience: float = _PATIENCE_SECONDS,
) -> str:
    """Show the sweep's progress from its store (`shown` while the block runs) until the job ends, as `follow`."""
    lost: float | None = None
    with shown(store):
        while True:
            try:
                with connected(job.address) as client:
                    while True:
                        status = str(client.get_job_status(job.job_id).value)
                        if status in ENDED:
                            return status
                        lost = None
                        time.sleep(_POLL_SECONDS)
            except Unreachable as error:
                lost = _still_patient(error, lost, patience, note)


class _Stream:
    """Output that is read again from its beginning after every connection, and written once."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self.written, self._at = write, 0, 0

    def again(self) -> None:
        self._at = 0

    def take(self, text: str) -> None:
        fresh = text[max(self.written - self._at, 0) :]
        self._at += len(text)
        if fresh:
            self.written += len(fresh)
            self._write(fresh)


def _still_patient(
    error: Unreachable, lost: float | None, patience: float, note: Callable[[str], object]
) -> float:
    """Wait a moment; returns when the connection was lost. Raises the error once patience is over."""
    now = time.monotonic()
    if lost is None:
        note("connection lost; the job goes on, trying again")
        lost = now
    elif now - lost > patience:
        raise error
    time.sleep(_POLL_SECONDS)
    return lost
