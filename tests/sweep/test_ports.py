"""Ports to listen on: free, different, and not those that the system hands to connections."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sweep import ports
from sweep.ports import LOOPBACK, free_port, free_ports


def test_they_are_free_and_different() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    for port in found:
        socket.create_server((LOOPBACK, port)).close()


def test_a_port_that_is_taken_is_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", port)
        monkeypatch.setattr(ports, "_LAST", port)
        with pytest.raises(OSError, match=f"no 1 free ports on 127.0.0.1 from {port} to {port}"):
            free_port()


def test_connections_do_not_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "range"
    monkeypatch.setattr(ports, "_RANGE", given)
    given.write_text("21000\t64000\n")
    assert not set(free_ports(200)) & set(range(21_000, 64_001))
    given.write_text("1024\t65535\n")
    assert len(free_ports(20)) == 20, "a system that gives all of them to connections"
    given.unlink()
    assert not set(free_ports(200)) & set(range(49_152, 65_536)), "IANA's range where the system names none"
