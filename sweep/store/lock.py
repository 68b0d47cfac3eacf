"""One owner of a sweep at a time, and the one who comes second is told who the first is.

The lock is the kernel's (`flock`), so it goes with the process however that ends: nothing stale to remove.
Who holds it is written into the locked file itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sweep.errors import LockedError, StoreError
from sweep.store import files

__all__ = ["locked", "owner"]

_held: set[int] = set()


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file while the block runs. Raises LockedError with the owner's host and process."""
    files.make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        if not _try_lock(descriptor, path):
            holder = _patient_read(path)
            since = holder.get("since")
            when = (
                datetime.fromtimestamp(since).astimezone().isoformat(" ", "seconds") if since else "unknown"
            )
            raise LockedError(
                f"{what} is owned by process {holder.get('pid', 'unknown')} on host "
                f"{holder.get('host', 'unknown')} "
                f"since {when} ({holder.get('command', 'command unknown')}). Wait for it or stop it, then "
                "give the "
                "command again; a sweep of another --name can run beside it."
            )
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.time(),
            "command": _command(),
        }
        with contextlib.suppress(OSError):  # a full disk must not keep a sweep from going on
            _write(descriptor, json.dumps(about).encode())
        try:
            yield
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
            if holder["host"] != socket.gethostname() or _alive(holder["pid"]):
                break
        time.sleep(0.025)
    return holder


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(descriptor: int, data: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]]) if sys.argv else "python"


def _let_go_in_child() -> None:
    # A forked child shares the lock and would keep it after its parent was killed.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
