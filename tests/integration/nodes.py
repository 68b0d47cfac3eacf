"""Several Ray nodes on this machine, real processes each, that join and are killed as pre-empted machines are."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psutil


class Nodes:
    """A Ray cluster: a head that runs no packs, and worker nodes of one processor each.

    Not connected to: whoever runs a sweep on it does so from a process of its own.
    """

    def __init__(self, environment: Mapping[str, str], workers: int = 3, **each: Any) -> None:
        from ray.cluster_utils import Cluster

        self._environment, self._each = dict(environment), each
        self.kills = 0
        with self._surroundings():
            self._cluster = Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": 0, "include_dashboard": False},
            )
        self.workers: list[Any] = []
        for _ in range(workers):
            self.add()

    @property
    def address(self) -> str:
        """What `sweep run --address` takes."""
        return str(self._cluster.address)

    def add(self, environment: Mapping[str, str] | None = None, **different: Any) -> str:
        """One more worker node, with an environment of its own if it is given; returns its id."""
        with self._surroundings(environment):
            node = self._cluster.add_node(**{"num_cpus": 1, **self._each, **different})
        self.workers.append(node)
        return str(node.node_id)

    def ids(self) -> list[str]:
        """The ids of the worker nodes that live, the oldest first."""
        return [str(node.node_id) for node in self.workers]

    def kill(self, node_id: str) -> None:
        """`kill -9` of everything on a node at once, its workers first, as a machine that loses its power."""
        (node,) = [node for node in self.workers if str(node.node_id) == node_id]
        raylets = [info.process.pid for infos in node.all_processes.values() for info in infos]
        family: list[psutil.Process] = []
        for pid in raylets:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                family += [*process.children(recursive=True), process]
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        self._cluster.remove_node(node, allow_graceful=False)
        self.workers.remove(node)
        self.kills += 1

    def kill_head(self) -> None:
        """`kill -9` of the head: the control store and all that only it knows are gone."""
        head = self._cluster.head_node
        for infos in head.all_processes.values():
            for info in infos:
                with contextlib.suppress(psutil.Error):
                    psutil.Process(info.process.pid).kill()
        self.kills += 1

    def close(self) -> None:
        """End every process of the cluster."""
        with contextlib.suppress(Exception):
            for node in list(self._cluster.worker_nodes):
                self._cluster.remove_node(node, allow_graceful=False)
            if self._cluster.head_node is not None:
                self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    @contextlib.contextmanager
    def _surroundings(self, environment: Mapping[str, str] | None = None) -> Iterator[None]:
        """The variables that the nodes and all that they start shall have."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update({**(environment or self._environment), "RAY_USAGE_STATS_ENABLED": "0"})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def several_nodes(environment: Mapping[str, str], workers: int = 3, **each: Any) -> Iterator[Nodes]:
    """A cluster that is taken down at the end, whatever happened."""
    nodes = Nodes(environment, workers, **each)
    try:
        yield nodes
    finally:
        nodes.close()


def until(happened: Any, what: str, seconds: float = 240.0) -> None:
    """Wait until `happened()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not yet after {seconds:.0f} s: {what}"
        time.sleep(0.05)
