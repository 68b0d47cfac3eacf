"""A real Ray cluster with a dashboard, of this test session alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_dashboard import Dashboard

# Ports of its own: another Ray on this machine may have the usual ones.
_CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster
folder, dashboard, agent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 1, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": dashboard,
    "dashboard_agent_listen_port": agent, "object_store_memory": 2**27, "temp_dir": folder})
print(json.dumps({"url": "http://" + cluster.webui_url}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="session")
def dashboard() -> Iterator[Dashboard]:
    # Short, because sockets live in it and their paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-")
    file = Path(folder, ".ray", "auth_token")
    file.parent.mkdir()
    file.write_text("of-this-test-session-alone-0123456789")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER, folder, *map(str, free_ports(2))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Jobs say `python`: it is this one.
        env={
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            # Jobs find the token here, and only here.
            "HOME": folder,
        },
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        yield Dashboard(json.loads(next(line for line in lines if line.startswith("{")))["url"], token)
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
