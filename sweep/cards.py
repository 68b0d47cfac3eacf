"""The cards of the cluster, asked of the machines that have them: the one that plans need not have any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sweep.errors import UsageError

__all__ = ["Card", "PACKS_ON_A_CARD", "on_node", "share_of_card", "smallest_card", "wait_for_card"]

PACKS_ON_A_CARD = (16, 12, 10, 8, 6, 5, 4, 3, 2, 1)
"""How many packs may share a card: a share is one over such a number, so that shares fill cards without a rest."""
_WAIT_SECONDS = 300.0
_GROW_SECONDS = 1200.0
"""How long a cloud may take to bring a machine with a card, image and all."""
_GLANCE = 0.01
"""Share of a card that a look at it asks for; without one Ray hides the cards from a task."""


@dataclass(frozen=True)
class Card:
    """A card's name and memory in bytes, and the node of the cluster that has it."""

    name: str
    total_bytes: float
    node: str


def smallest_card() -> Card:
    """The card with the least memory of the Ray cluster that this process is connected to.

    Raises UsageError where a node that Ray counts cards on has none that PyTorch can use, or does not answer.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) > 0]
    if not nodes:
        raise UsageError(
            "no node of the cluster has a GPU now. Start one and give the same command again, or use --device cpu."
        )
    asked = {on_node(_look, node["NodeID"], num_gpus=_GLANCE, num_cpus=0).remote(): node for node in nodes}
    ready, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=_WAIT_SECONDS)
    if waiting:
        busy = ", ".join(_called(asked[task]) for task in waiting)
        for task in waiting:
            ray.cancel(task)
        raise UsageError(
            f"the cards of {busy} could not be asked for their memory within {_WAIT_SECONDS:.0f} s: other work of the "
            "cluster holds them. Wait for it to end, or use --device cpu."
        )
    found = []
    for task in ready:
        node, seen = asked[task], ray.get(task)
        if isinstance(seen, str):
            raise UsageError(
                f"Ray counts {node['Resources']['GPU']:g} GPU(s) on {_called(node)}, but {seen}. Install a CUDA build "
                "of PyTorch and the driver there (`sweep doctor` on it), or use --device cpu."
            )
        name, total_bytes = seen
        found.append(Card(name, total_bytes, node["NodeID"]))
    return min(found, key=lambda card: (card.total_bytes, card.name, card.node))


def wait_for_card() -> bool:
    """Whether the cluster has a card after it was asked for one, for which an autoscaler adds a machine.

    What waits for a card is what Ray's autoscalers go by.
    """
    import ray

    task = ray.remote(num_cpus=0, num_gpus=_GLANCE)(_nothing).remote()
    ready, _ = ray.wait([task], timeout=_GROW_SECONDS)
    if not ready:
        ray.cancel(task)
    return bool(ready)


def share_of_card(needed_bytes: float, total_bytes: float) -> float:
    """The smallest share that holds `needed_bytes`, of one over PACKS_ON_A_CARD; 1 where not even a card does.

    Cut to the four digits that Ray counts cards in: rounded up, six sixths would be more than a card.
    """
    packs = next((n for n in PACKS_ON_A_CARD if n * needed_bytes <= total_bytes), 1)
    return math.floor(1e4 / packs) / 1e4


def on_node(function: Any, node: str, **resources: float) -> Any:
    """`function` as a Ray task on that node, in a process of its own that gives the card's memory back at its end."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(max_calls=1, max_retries=1, scheduling_strategy=there, **resources)(function)


def _called(node: Any) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def _nothing() -> None:
    pass


def _look() -> tuple[str, float] | str:
    """The first card's name and memory; else what is in the way."""
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} there can use none"
    about = torch.cuda.get_device_properties(0)
    return about.name, float(about.total_memory)
