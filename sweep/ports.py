"""Ports of the loopback that a server started here can listen on."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

__all__ = ["LOOPBACK", "free_port", "free_ports"]

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 65_535
"""Above those of well-known servers and of Ray's workers (10002 to 19999)."""
_TRIES = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now, chosen at random.

    Not the ones that the system gives to connections (`ip_local_port_range`), as binding to port 0 would: between
    choosing such a port and listening on it, any connection of any program may get it.

    Raises OSError where no port is free.
    """
    connections = _of_connections()
    candidates = [port for port in range(_FIRST, _LAST + 1) if port not in connections]
    if len(candidates) < 1_000:
        # A system that gives nearly all of them to connections: any port is as good as another.
        candidates = list(range(_FIRST, _LAST + 1))
    found: list[int] = []
    for port in random.SystemRandom().sample(candidates, min(_TRIES, len(candidates))):
        with contextlib.suppress(OSError), socket.create_server((LOOPBACK, port)):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports on {LOOPBACK} from {_FIRST} to {_LAST}")


def free_port() -> int:
    """One, as by `free_ports`."""
    return free_ports(1)[0]


def _of_connections() -> range:
    try:
        first, last = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        # Not Linux: the range that IANA names.
        first, last = 49_152, 65_535
    return range(first, last + 1)
