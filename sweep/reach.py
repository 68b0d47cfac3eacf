"""Whether every node of a Ray cluster can do its part, asked of each node before a sweep starts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep.capacity import Ask, Capacity, Node, capacity
from sweep.errors import UsageError
from sweep.node_report import LEAST_DISK_BYTES, LEAST_SHARED_BYTES, node_report, token_name
from sweep.plan import PackSpec
from sweep.store import files
from sweep.store.places import root_place, told_elsewhere

__all__ = [
    "REQUIREMENTS_FILE",
    "ClusterReport",
    "ask_nodes",
    "check_nodes",
    "cluster_may_grow",
    "fits",
    "main",
    "requirements",
    "tokens_folder",
]

REQUIREMENTS_FILE = "rankscope-requirements.txt"
"""Beside code that was sent to a cluster: what it needs, as its installation over here says."""

MARKER = "rankscope-nodes: "
_PATIENCE_SECONDS = 120.0
_GONE_SECONDS = 45.0
_MOST_NAMED = 10


@dataclass(frozen=True)
class ClusterReport:
    """The nodes of a cluster, and what is wrong: sentences that name the node and the remedy."""

    nodes: tuple[Node, ...]
    cards: tuple[Mapping[str, Any], ...] = ()
    """`name` and `memory` (bytes) of each card that its node told of."""
    may_grow: bool = False
    """Whether an autoscaler adds nodes; by how much, Ray does not say."""
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    outside_seen: bool = True
    """Whether what another machine had put under the root is seen from the cluster."""

    def check(self, root: object) -> None:
        """Raise UsageError where anything is wrong."""
        if self.problems:
            raise UsageError(
                f"root '{root}': not every node of the cluster can run a sweep with it. Nothing was started.\n"
                + "\n".join(f"  {line}" for line in _named(self.problems))
            )

    def about_cards(self, device: str) -> str | None:
        """What to know of `--device auto` where the cluster has no card now and may grow; else None."""
        if device != "auto" or not self.may_grow or any(node.gpus for node in self.nodes):
            return None
        return (
            "the cluster has no card now, so packs are planned for processors; if it adds machines with cards when "
            "asked, give --device cuda, which asks for one and waits for it"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, of which `from_json` makes the same again."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClusterReport:
        """See `as_json`."""
        return cls(
            nodes=tuple(Node(**node) for node in values["nodes"]),
            cards=tuple(values["cards"]),
            may_grow=values["may_grow"],
            problems=tuple(values["problems"]),
            warnings=tuple(values["warnings"]),
            outside_seen=values["outside_seen"],
        )

    @classmethod
    def parse(cls, printed: str) -> ClusterReport | None:
        """The report in what `main` printed among other things; None where it printed none."""
        lines = [line for line in printed.splitlines() if line.startswith(MARKER)]
        return cls.from_json(json.loads(lines[-1].removeprefix(MARKER))) if lines else None


def check_nodes(root: Path) -> ClusterReport:
    """Ask every node of the cluster that this process is connected to. Raises UsageError naming what fails, where."""
    report = ask_nodes(root)
    report.check(root)
    return report


def ask_nodes(
    root: Path,
    theirs: Mapping[str, str] | None = None,
    tokens: str | None = None,
    *,
    least_disk: int = LEAST_DISK_BYTES,
    least_shared: int = LEAST_SHARED_BYTES,
    patience: float = _PATIENCE_SECONDS,
) -> ClusterReport:
    """What every node says: whether it sees what this process writes under `root`, and this process what it writes.

    So all nodes that see this process's file share one root with it, and thereby with one another. `theirs` are
    files with their content that a machine outside the cluster has put into the folder `tokens` below the root, see
    `outside_seen`. Nothing that is written here stays under the root.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    alive = [node for node in ray.nodes() if node["Alive"]]
    nodes = tuple(_node(node) for node in alive)
    tokens = tokens or tokens_folder()
    place = root_place(root)
    folder = place / tokens
    mine = secrets.token_hex(16)
    names = [token_name("driver"), *(token_name(node["NodeID"]) for node in alive)]
    base = {
        "root": told_elsewhere(place),
        "tokens": tokens,
        "requirements": requirements(),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "least_disk": least_disk,
        "least_shared": least_shared,
        "theirs": {},
    }
    try:
        own = _write_token(place, folder, mine)
        if own is not None:
            return ClusterReport(nodes, problems=(own,))
        outside_seen = all(_holds(folder / name, content) for name, content in (theirs or {}).items())
        remote = ray.remote(num_cpus=0, max_retries=0)(node_report)
        base["theirs"] = {token_name("driver"): mine}
        tasks = {}
        for node, known in zip(alive, nodes, strict=True):
            chosen = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked = {**base, "me": node["NodeID"], "gpus": known.gpus}
            tasks[node["NodeID"]] = remote.options(scheduling_strategy=chosen).remote(asked)
        ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=patience)
        # A node that went away meanwhile, as machines that can be taken back do, is no reason not to start.
        left = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        pairs = [(node, known) for node, known in zip(alive, nodes, strict=True) if node["NodeID"] in left]
        nodes = tuple(known for _, known in pairs)
        cards, problems, warnings = list[dict[str, Any]](), list[str](), list[str]()
        for node, known in pairs:
            said = _answer(ray, tasks[node["NodeID"]], patience)
            if said is None:
                if _goes_away(ray, node["NodeID"]):
                    continue
                said = _unheard("its process died while it was asked; look at it, or take it out")
            if not said["problems"]:
                said["problems"] += _seen_here(folder / token_name(node["NodeID"]), node["NodeID"], root)
            cards += said["cards"]
            problems += [f"{known.name}: {one}" for one in said["problems"]]
            warnings += [f"{known.name}: {one}" for one in said["warnings"]]
    finally:
        _clean(folder, names)
    return ClusterReport(
        nodes, tuple(cards), cluster_may_grow(), tuple(problems), tuple(warnings), outside_seen
    )


def fits(
    packs: Sequence[PackSpec], report: ClusterReport, root: Path | None, limit: int | None = None
) -> Capacity:
    """How the packs fit the cluster, with the time that speeds say which were measured before, under `root` too.

    Raises UsageError for a pack that could never run.
    """
    from sweep.speeds import Speeds

    names = {str(card["name"]) for card in report.cards}
    on_cards = any(pack.gpus for pack in packs)
    # Unlike cards have unlike speeds, and which pack will be on which is not known.
    device = (names.pop() if len(names) == 1 else None) if on_cards else "cpu"
    # Nothing is measured under a root that is not seen: there is the reference table.
    speeds = Speeds(Path(os.devnull) if root is None else root, device) if device else None
    asks = []
    for pack in packs:
        estimate = speeds.estimate(pack) if speeds else None
        asks.append(Ask(pack.pack_id, pack.cpus, pack.gpus, estimate.seconds if estimate else None))
    return capacity(asks, report.nodes, limit, may_grow=report.may_grow)


def cluster_may_grow() -> bool:
    """Whether nodes of the cluster that this process is connected to come from an autoscaler's types.

    Nodes that were started by hand have a type each, of their id.
    """
    import ray

    types: list[str] = []
    # Interfaces that Ray calls its own: where they change, a sweep must still start.
    with contextlib.suppress(Exception):
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        types += [node.ray_node_type_name or "" for node in (*status.active_nodes, *status.idle_nodes)]
    with contextlib.suppress(Exception):
        # What the autoscaler before that one says.
        from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
        from ray.experimental.internal_kv import _internal_kv_get

        said = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS))
        types += list(said["autoscaler_report"]["active_nodes"])
    return any(one and not one.startswith("node_") for one in types)


def tokens_folder() -> str:
    """A name for a folder below a root, in which nodes leave a token each."""
    return f".nodes-{secrets.token_hex(6)}"


def requirements() -> list[str]:
    """What Rankscope needs, in the words of pip: as sent beside its code, else as it is installed here."""
    sent = Path(__file__).resolve().parents[1] / REQUIREMENTS_FILE
    if sent.is_file():
        return sent.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        said = metadata.requires("rankscope") or []
    except metadata.PackageNotFoundError:
        return []
    return [one for one in said if "extra ==" not in one]


def main() -> None:
    """What a job on a cluster runs to ask its nodes: `ask_nodes` of the JSON in the first argument; prints JSON."""
    import ray

    asked = json.loads(sys.argv[1])
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    report = ask_nodes(root_place(asked["root"]), asked["theirs"], asked["tokens"])
    print(MARKER + json.dumps(report.as_json()), flush=True)


def _write_token(place: Path, folder: Path, content: str) -> str | None:
    """Write the driver's token; what is wrong where that is not possible."""
    try:
        files.make_folder(place)
        files.make_folder(folder)
        files.replace(folder / token_name("driver"), content.encode())
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"the driver: the root cannot be written there: {type(error).__name__}: {first}"
    return None


def _holds(path: Path, content: str) -> bool:
    with contextlib.suppress(Exception):
        return files.read_bytes(path) == content.encode()
    return False


def _answer(ray: Any, task: Any, patience: float) -> dict[str, Any] | None:
    """What a node said; None where it, or its process there, went away."""
    try:
        said: dict[str, Any] = ray.get(task, timeout=0.1)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        return _unheard(f"it has not answered for {patience:g} s; look at it, or take it out")
    except ray.exceptions.RayTaskError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # Of a traceback from over there the last line is the reason.
        return _unheard(f"it could not be asked: {lines[-1].strip()}")
    except ray.exceptions.RayError:
        return None
    return said


def _unheard(reason: str) -> dict[str, Any]:
    return {"cards": [], "warnings": [], "problems": [reason]}


def _goes_away(ray: Any, node_id: str) -> bool:
    """Whether the cluster comes to see that a node is gone, which takes it some seconds."""
    deadline = time.monotonic() + _GONE_SECONDS
    while any(node["Alive"] and node["NodeID"] == node_id for node in ray.nodes()):
        if time.monotonic() > deadline:
            return False
        time.sleep(1.0)
    return True


def _seen_here(path: Path, content: str, root: Path) -> list[str]:
    """Whether the driver sees what the node wrote; over a network file system that may take a moment."""
    for _ in range(20):
        if _holds(path, content):
            return []
        time.sleep(0.25)
    return [f"the root {root} is not shared: what is written there is not seen by the driver"]


def _clean(folder: Path, names: Sequence[str]) -> None:
    with contextlib.suppress(Exception):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                files.remove(folder / name)
        files.remove_files(folder)


def _node(node: Mapping[str, Any]) -> Node:
    resources = node["Resources"]
    host, given = node["NodeManagerHostname"], node.get("NodeName", "")
    address = node["NodeManagerAddress"]
    name = f"{given} on {host}" if given and given not in (host, address) else f"{host} ({address})"
    return Node(
        name=f"node {name}",
        cpus=float(resources.get("CPU", 0)),
        gpus=float(resources.get("GPU", 0)),
    )


def _named(problems: Sequence[str]) -> list[str]:
    left = len(problems) - _MOST_NAMED
    return [*problems[:_MOST_NAMED], *([f"and {left} more"] if left > 0 else [])]
