"""A real Ray cluster with a dashboard, of this test session alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_dashboard import Dashboard


@pytest.fixture(scope="session")
def dashboard() -> Iterator[Dashboard]:
    # Short, because sockets live in it and their paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-")
    file = Path(folder, ".ray", "auth_token")
    file.parent.mkdir()
    file.write_text("of-this-test-session-alone-0123456789")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    # Ports of its own: another Ray on this machine may have the usual ones.
    gcs, dashboard_port, agent, client = free_ports(4)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *("--temp-dir", folder, "--num-cpus", "1", "--object-store-memory", str(2**27)),
            *("--port", str(gcs), "--ray-client-server-port", str(client)),
            *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1"),
            *("--dashboard-port", str(dashboard_port), "--dashboard-agent-listen-port", str(agent)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Jobs say `python`: it is this one.
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            # Jobs find the token here, and only here.
            "HOME": folder,
        },
    )
    try:
        wait_for(dashboard_port, process)
        yield Dashboard(f"http://127.0.0.1:{dashboard_port}", token)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the cluster has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the dashboard does not answer")


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
