"""Several Ray nodes on this machine, as real processes, to try things on: what `sweep cluster` starts and ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sweep.direct import open_directly
from sweep.errors import SweepError, UsageError
from sweep.ports import LOOPBACK, free_port, free_ports
from sweep.settings import cache_folder, process_environment, ray_token

__all__ = ["LocalCluster", "clusters", "ended_nodes", "start", "stop"]

MARK = "RANKSCOPE_LOCAL_CLUSTER"
"""In the environment of all that a cluster started, jobs included: so exactly those are ended, whoever killed whom."""

_START = """
from ray._private import ray_constants, services
services.resolve_ip_for_localhost = lambda host: host
ray_constants.ENABLE_RAY_CLUSTER = True
from ray.scripts.scripts import main
main()
"""
"""`ray start`, which would put the machine's address in place of the loopback's and then listen on every interface."""

LOOPBACK_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What a driver's environment needs to find such a cluster: else it looks for it at the machine's own address."""

_OBJECT_STORE_BYTES = 128 * 2**20
_START_SECONDS = 120.0
_STARTS = 3
_PORT_TAKEN = ("address already in use", "failed to start the grpc server")
"""What a node says, in whatever case, where another program took a port between our look and its own use of it."""
_END_SECONDS = 5.0


class _PortTakenError(SweepError):
    """It is worth another try, with other ports."""


@dataclass(frozen=True)
class LocalCluster:
    """One that was started here. `folder` holds its sockets, logs and what jobs sent."""

    cluster_id: str
    address: str
    """host:port, for `sweep run --address`."""
    dashboard: str
    """URL, for `sweep submit --address`."""
    folder: Path
    nodes: int
    cpus_per_node: int
    gpus_per_node: int
    started: float


def start(nodes: int, cpus_per_node: int, gpus_per_node: int, port: int | None = None) -> LocalCluster:
    """Start a head and `nodes - 1` workers and wait for all of them; they listen on loopback alone.

    GPUs are logical: tokens that packs ask for, not cards. `port` of the dashboard, None for any that is free.
    Raises UsageError for a port that is taken, SweepError where the nodes do not come up; then none is left.
    """
    ray_token(make=True)
    for start_number in range(_STARTS):
        cluster = _new_cluster(nodes, cpus_per_node, gpus_per_node, port)
        # Before anything runs: whoever is killed from here on, the next `sweep cluster down` finds it.
        _write(cluster)
        try:
            _bring_up(cluster)
        except BaseException as error:
            stop(cluster)
            if not isinstance(error, _PortTakenError) or start_number + 1 == _STARTS:
                raise
        else:
            break
    return cluster


def _new_cluster(nodes: int, cpus_per_node: int, gpus_per_node: int, port: int | None) -> LocalCluster:
    gcs, dashboard = _ports_of_head(port)
    return LocalCluster(
        cluster_id=secrets.token_hex(4),
        address=f"{LOOPBACK}:{gcs}",
        dashboard=f"http://{LOOPBACK}:{dashboard}",
        # Short, because sockets live in it and their paths may have 107 characters.
        folder=Path(tempfile.mkdtemp(prefix="ray-")),
        nodes=nodes,
        cpus_per_node=cpus_per_node,
        gpus_per_node=gpus_per_node,
        started=time.time(),
    )


def _bring_up(cluster: LocalCluster) -> None:
    client = free_port()
    head = [
        *("--head", "--port", cluster.address.rpartition(":")[2], "--ray-client-server-port", str(client)),
        *("--include-dashboard", "true"),
        *("--dashboard-host", LOOPBACK, "--dashboard-port", cluster.dashboard.rpartition(":")[2]),
    ]
    processes = [_start_node(cluster, 0, head)]
    _wait(cluster, processes, alive=1)
    for number in range(1, cluster.nodes):
        processes.append(_start_node(cluster, number, ["--address", cluster.address]))
    _wait(cluster, processes, alive=cluster.nodes)


def stop(cluster: LocalCluster) -> int:
    """End everything that the cluster started, gently and then not, and forget it; how many processes it was."""
    ended = 0
    for _ in range(3):
        # Again, because what ends may just have started something.
        found = _processes(cluster)
        if not found:
            break
        ended += len(found)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(found, _END_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, _END_SECONDS)
    shutil.rmtree(cluster.folder, ignore_errors=True)
    _record(cluster.cluster_id).unlink(missing_ok=True)
    return ended


def clusters() -> list[LocalCluster]:
    """Those that have processes, oldest first; records of others are removed."""
    found = []
    for path in sorted(_records().glob("*.json")):
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            values: dict[str, Any] = json.loads(path.read_text())
            cluster = LocalCluster(**{**values, "folder": Path(values["folder"])})
            # A moment old: the process that starts it may not have come to its first node yet.
            if _processes(cluster) or time.time() - cluster.started < _START_SECONDS / 10:
                found.append(cluster)
            else:
                stop(cluster)
    return sorted(found, key=lambda one: one.started)


def ended_nodes(cluster: LocalCluster) -> list[str]:
    """The nodes that should run and do not, such as `node-2`."""
    running = {name for process in _processes(cluster) if (name := _node_name(process))}
    return [name for name in (f"node-{number}" for number in range(cluster.nodes)) if name not in running]


def _start_node(cluster: LocalCluster, number: int, arguments: list[str]) -> subprocess.Popen[bytes]:
    agent, metrics, grpc, runtime = free_ports(4)
    environment = {
        name: value
        for name, value in process_environment().items()
        if name.startswith("RAY_AUTH_TOKEN") or not name.startswith("RAY_")
    }
    (cluster.folder / f"n{number}").mkdir()
    with open(cluster.folder / f"node-{number}.log", "wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-c", _START, "start", "--block", "--disable-usage-stats"),
                *("--node-ip-address", LOOPBACK, "--node-name", f"node-{number}"),
                *("--num-cpus", str(cluster.cpus_per_node), "--num-gpus", str(cluster.gpus_per_node)),
                *("--object-store-memory", str(_OBJECT_STORE_BYTES)),
                # Of its own: nodes unpack what a job sends, and would do so under each other's feet.
                *("--temp-dir", str(cluster.folder / f"n{number}")),
                # The usual range is one for a machine, not for a node: two nodes would take each other's ports.
                *("--min-worker-port", "0", "--max-worker-port", "0"),
                *("--dashboard-agent-listen-port", str(agent), "--metrics-export-port", str(metrics)),
                *("--dashboard-agent-grpc-port", str(grpc), "--runtime-env-agent-port", str(runtime)),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A group of its own: Ctrl-C is for us, who end the nodes in order.
            start_new_session=True,
            # Jobs say `python`: it is this one.
            env={
                **environment,
                **LOOPBACK_ENVIRONMENT,
                MARK: cluster.cluster_id,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
                "RAY_USAGE_STATS_ENABLED": "0",
                # Other users of this machine reach its loopback too, and who reaches a Ray runs code as its owner.
                "RAY_AUTH_MODE": "token",
            },
        )


def _wait(cluster: LocalCluster, processes: list[subprocess.Popen[bytes]], alive: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while _alive(cluster) < alive:
        for number, process in enumerate(processes):
            if process.poll() is not None:
                log = (cluster.folder / f"node-{number}.log").read_text(errors="replace").strip()
                taken = any(words in log.lower() for words in _PORT_TAKEN)
                raise (_PortTakenError if taken else SweepError)(
                    f"node {number} of the local cluster ended while it was starting, with status "
                    f"{process.returncode}: {log[-2000:] or 'it said nothing'}"
                )
        if time.monotonic() > deadline:
            raise SweepError(
                f"the local cluster has {_alive(cluster)} of {alive} nodes after {_START_SECONDS:g} s. Start fewer "
                "--nodes, or wait until this machine has less to do."
            )
        time.sleep(0.25)


def _alive(cluster: LocalCluster) -> int:
    """Nodes that the head knows and a job can use: it has both its raylet and the agent that starts jobs."""
    from urllib.request import Request

    asked = Request(
        f"{cluster.dashboard}/nodes?view=summary", headers={"Authorization": f"Bearer {ray_token()}"}
    )
    try:
        with open_directly(asked, 5.0) as answer:
            summary = json.loads(answer.read())["data"]["summary"]
    except (OSError, ValueError, KeyError):
        return 0
    return sum(node.get("raylet", {}).get("state") == "ALIVE" for node in summary)


def _processes(cluster: LocalCluster) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == cluster.cluster_id and process.pid != os.getpid():
                found.append(process)
    return found


def _node_name(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        line = process.cmdline()
        if _START in line and process.status() != psutil.STATUS_ZOMBIE:
            return line[line.index("--node-name") + 1]
    return None


def _ports_of_head(dashboard: int | None) -> tuple[int, int]:
    """Those of its GCS and of its dashboard."""
    if dashboard is None:
        gcs, dashboard = free_ports(2)
        return gcs, dashboard
    try:
        socket.create_server((LOOPBACK, dashboard)).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--port {dashboard}: it cannot be used ({getattr(error, 'strerror', None) or error}). Choose another, "
            "or leave --port out for any that is free; `sweep cluster list` shows what runs."
        ) from error
    return free_port(), dashboard


def _records() -> Path:
    return cache_folder() / "clusters"


def _record(cluster_id: str) -> Path:
    return _records() / f"{cluster_id}.json"


def _write(cluster: LocalCluster) -> None:
    _records().mkdir(parents=True, exist_ok=True)
    values = {**dataclasses.asdict(cluster), "folder": str(cluster.folder)}
    _record(cluster.cluster_id).write_text(json.dumps(values))
