"""Stopping a sweep wherever it runs: through its store, and through what runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from cluster.job_record import Found, read_job
from cluster.jobs_api import ENDED, connected
from sweep.errors import SweepError, UsageError
from sweep.status import read_packs
from sweep.store import Store, SweepStore

__all__ = ["ask_to_stop", "end_now", "wait_until_stopped"]

_POLL_SECONDS = 1.0


def ask_to_stop(store: SweepStore) -> None:
    """Ask through the store. Raises UsageError where nobody runs the sweep, SweepError where it just starts."""
    owner = store.owner()
    job = read_job(store.layout.root, store.name)
    if owner is None and job is not None and _job_is_on(job):
        raise SweepError(
            f"sweep {store.name!r}: its job {job.job_id} is starting, and would not see the request. Give the same "
            "command in a moment, or with --now."
        )
    if owner is None:
        raise UsageError(f"sweep {store.name!r} is not running: there is nothing to stop.")
    store.request_stop(f"asked to by sweep stop on {socket.gethostname()}")


def wait_until_stopped(store: SweepStore, say: Callable[[str], object], seconds: float) -> bool:
    """Say which packs end, and at what step, until nobody runs the sweep; False where it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    running = {pack.pack_id for pack in read_packs(store) if pack.state in ("running", "silent")}
    say(f"asked; {_count(len(running))} will write a checkpoint and end")
    while True:
        owned = store.owner() is not None
        packs = {pack.pack_id: pack for pack in read_packs(store)}
        # Without an owner no pack runs, whatever its last words were.
        ended = {one for one in running if not owned or packs[one].state not in ("running", "silent")}
        for pack_id in sorted(ended):
            pack = packs[pack_id]
            what = "is done" if pack.state == "done" else f"keeps {pack.step:,} of {pack.train_steps:,} steps"
            say(f"pack {pack_id} {what}")
        running -= ended
        if not owned:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def end_now(root: Path, name: str, address: str | None) -> str:
    """End what runs the sweep without waiting for checkpoints; returns what was ended.

    That is the job at `address` or in the store's record, else the process on this machine that owns the sweep.
    Raises UsageError where neither is to be found.
    """
    from cluster.job_record import find_job

    job = find_job(root, name, address) if address else read_job(root, name)
    if job is not None and (address or _job_is_on(job)):
        with connected(job.address) as client:
            client.stop_job(job.job_id)
            for _ in range(60):
                if str(client.get_job_status(job.job_id).value) in ENDED:
                    break
                time.sleep(_POLL_SECONDS)
        return f"job {job.job_id} at {job.address}"
    owner = Store(root).sweep(name).owner()
    if owner is None:
        raise UsageError(f"sweep {name!r} is not running: there is nothing to stop.")
    if owner.get("host") != socket.gethostname():
        raise UsageError(
            f"sweep {name!r} is run by process {owner.get('pid')} on {owner.get('host')}, and by no job of a cluster: "
            "give `sweep stop --now` there, or leave --now out."
        )
    # As Ctrl-C: it ends its workers, and its Ray with them.
    os.kill(int(owner["pid"]), signal.SIGINT)
    return f"process {owner['pid']} of this machine"


def _job_is_on(job: Found) -> bool:
    with contextlib.suppress(SweepError), connected(job.address) as client:
        return str(client.get_job_status(job.job_id).value) not in ENDED
    return False


def _count(packs: int) -> str:
    return "1 pack that trains" if packs == 1 else f"{packs} packs that train"
