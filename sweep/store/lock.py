"""One owner of a sweep at a time, and the one who comes second is told who the first is.

The lock is the kernel's (`flock`), so it goes with the process however that ends: nothing stale to remove.
Who holds it is written into the locked file itself. An object store has no locks; there it is a `lease`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sweep.errors import StoreError
from sweep.store import files
from sweep.store.lease import leased
from sweep.store.lease import owner as lease_owner
from sweep.store.owners import about_me, alive, refusal
from sweep.store.places import is_local

__all__ = ["Owned", "locked", "owner"]

_held: set[int] = set()


class Owned(Protocol):
    """What is held."""

    @property
    def lost(self) -> threading.Event:
        """Set once another process has it."""
        ...

    def check(self) -> None:
        """Raise LockedError where another process has it."""
        ...


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[Owned]:
    """Hold the lock file while the block runs. Raises LockedError with the owner's host and process."""
    if not is_local(path):
        with leased(_lease(path), what) as lease:
            yield lease
        return
    files.make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        if not _try_lock(descriptor, path):
            raise refusal(what, _patient_read(path))
        with contextlib.suppress(OSError):  # a full disk must not keep a sweep from going on
            _write(descriptor, json.dumps(about_me()).encode())
        try:
            yield _Kernel()
        finally:
            if descriptor in _held:
                with contextlib.suppress(OSError):
                    _write(descriptor, b"")
    finally:
        # In a forked child it is closed already, and the number may by now be another file's.
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def owner(path: Path) -> dict[str, Any] | None:
    """Host, pid, since and command of the process that holds the lock; None where nobody does."""
    if not is_local(path):
        return lease_owner(_lease(path))
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared, and let go at once: asking must not look like owning for longer than it takes.
        return None if _try_lock(descriptor, path, fcntl.LOCK_SH) else _patient_read(path)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    # Several tries: another process that only asks for the owner holds the lock for an instant.
    for _ in range(5):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be locked: {os.strerror(error.errno or errno.EIO)}. Mount the file system "
                "with "
                "locks (NFS: without nolock), or put the root on one that has them."
            ) from error
        else:
            return True
    return False


def _patient_read(path: Path) -> dict[str, Any]:
    """The owner's words; for a moment after it got the lock they are not there, or its dead forerunner's."""
    holder: dict[str, Any] = {}
    for _ in range(20):
        with contextlib.suppress(OSError, ValueError):
            holder = json.loads(path.read_bytes())
            if holder["host"] != socket.gethostname() or alive(holder["pid"]):
                break
        time.sleep(0.025)
    return holder


def _write(descriptor: int, data: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _lease(path: Path) -> Path:
    return path.with_name(path.name.replace("lock", "lease"))


class _Kernel:
    """A lock that the kernel keeps: it goes when the process does, and not before."""

    def __init__(self) -> None:
        self.lost = threading.Event()

    def check(self) -> None:
        pass


def _let_go_in_child() -> None:
    # A forked child shares the lock and would keep it after its parent was killed.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
