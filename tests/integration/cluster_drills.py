"""Sweeps on several nodes that are killed one after another, and what it cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drills import STUDY, Command, Drill
from nodes import Nodes

from sweep.pack_progress import read_progress

CHECKPOINT_EVERY = 500

LONGER_STUDY: dict[str, Any] = {
    **STUDY,
    "protocol": {
        **STUDY["protocol"],
        "log_every": 100,
        "probe_every": 500,
        "eval_every": 1000,
        "checkpoint_every_steps": CHECKPOINT_EVERY,
    },
    "base": {**STUDY["base"], "train_steps": 12000},
    "spaces": [
        {
            "name": "broad",
            "axes": {"activation": ["relu", "tanh", "elu"], "learning_rate": [1e-4, 1e-3]},
            "seeds": 2,
        }
    ],
}
"""Twelve trials in three packs, each long enough to be killed several times."""


@dataclass
class Death:
    """One kill: the pack that was at work, how far it said it was, and from where it was gone on with."""

    node: str
    pack: str
    step: int
    resumed_from: int | None = None

    @property
    def wasted_steps(self) -> int:
        """Gradient steps of each member that were done twice."""
        return 0 if self.resumed_from is None else max(0, self.step - max(self.resumed_from, 0))


@dataclass
class Record:
    """What a drill was: counts, by which it can be judged."""

    deaths: list[Death] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def resumed_packs(self) -> int:
        """Packs that went on after the kill from a checkpoint."""
        return sum(death.resumed_from is not None and death.resumed_from >= 0 for death in self.deaths)

    @property
    def most_wasted(self) -> int:
        return max((death.wasted_steps for death in self.deaths), default=0)


def preempt(
    drill: Drill,
    command: Command,
    nodes: Nodes,
    kills: int,
    rng: random.Random,
    tell: Callable[[str], object] = lambda text: None,
) -> Record:
    """Kill `kills` nodes at work one after another, each replaced by a new one, while `command` runs the sweep."""
    record, began = Record(), time.monotonic()
    while len(record.deaths) < kills:
        _settle(record, drill)
        # Only a pack that has done something since it was last started: pre-emption is a matter of minutes.
        command.until(partial(_at_work, drill, nodes), "a pack is at work")
        time.sleep(rng.uniform(0, 1.0))
        chosen = _at_work(drill, nodes)
        if not chosen:
            continue
        node, pack, step = rng.choice(chosen)
        nodes.kill(node)
        progress = read_progress(drill.store, pack)
        record.deaths.append(Death(node, pack, max(step, int(progress["step"]) if progress else 0)))
        tell(f"kill {len(record.deaths)}: node {node[:8]} with {pack} at step {record.deaths[-1].step}")
        nodes.add()
    command.wait().ok()
    _settle(record, drill)
    record.seconds = time.monotonic() - began
    return record


def _at_work(drill: Drill, nodes: Nodes) -> list[tuple[str, str, int]]:
    """Node, pack and step of the packs that have got past their checkpoint on a node that lives."""
    living, found = set(nodes.ids()), []
    packs = drill.packs()
    for pack in sorted(set(packs) - drill.store.packs_done()) if packs else ():
        attempts = drill.store.attempts(pack)
        progress = read_progress(drill.store, pack)
        if not attempts or progress is None or progress["attempt"] != attempts[-1]["attempt"]:
            continue
        newest = attempts[-1]
        if newest.get("node") in living and progress["step"] > max(newest["resume_step"], 0):
            found.append((newest["node"], pack, int(progress["step"])))
    return found


def _settle(record: Record, drill: Drill) -> None:
    """Note from where packs that were killed were gone on with, as soon as they are."""
    for number, death in enumerate(record.deaths):
        if death.resumed_from is None:
            earlier = sum(other.pack == death.pack for other in record.deaths[:number])
            attempts = drill.store.attempts(death.pack)
            if len(attempts) > earlier + 1:
                death.resumed_from = int(attempts[earlier + 1]["resume_step"])
