"""Who owns a sweep: how a process is named in its lock or lease, and when it is certainly dead."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sweep.command_line import command_without_secrets
from sweep.errors import LockedError

__all__ = ["about_me", "alive", "is_certainly_dead", "refusal"]


def about_me() -> dict[str, Any]:
    """Host, pid, since (unix s) and command of this process, and what tells it from others of the same numbers."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.time(),
        "command": _command(),
        "machine": _machine(),
        "started": _started(os.getpid()),
    }


def is_certainly_dead(holder: Mapping[str, Any]) -> bool:
    """Whether the process ran in this very machine and container, and is there no more."""
    if holder.get("machine") != _machine() or not isinstance(pid := holder.get("pid"), int):
        return False
    return not alive(pid) or _started(pid) != holder.get("started")


def alive(pid: int) -> bool:
    """Whether this machine has such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def refusal(what: str, holder: Mapping[str, Any]) -> LockedError:
    """The error for who comes second."""
    since = holder.get("since")
    when = datetime.fromtimestamp(since).astimezone().isoformat(" ", "seconds") if since else "unknown"
    return LockedError(
        f"{what} is owned by process {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')} "
        f"since {when} ({holder.get('command', 'command unknown')}). Wait for it or stop it, then give the "
        "command again; a sweep of another --name can run beside it."
    )


def _command() -> str:
    said = command_without_secrets()[:3]
    return " ".join([Path(said[0]).name, *said[1:]]) if said else "python"


def _machine() -> str:
    """The running kernel and the name space of process numbers: containers of one name have different ones."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process began, in ticks of its kernel: numbers are given again to later processes."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
