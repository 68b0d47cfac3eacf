"""Which deaths of a pack's process count against it: those that it may have caused itself.

Tune gives a pack a few tries. On machines that can be taken away at any moment those would soon be used up by
deaths that were no fault of the pack, so a try is given back where its node died with it, and where the pack had
got on since the death before. When a machine vanishes Ray may say at first only that the process does not answer, and
some seconds later that the node is dead: then the try is given back that much later. A pack that dies again and
again at one place still comes to an end.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any

from ray import tune

from sweep.checkpoints import Checkpoints
from sweep.errors import SweepError
from sweep.plan import PackSpec
from sweep.store import SweepStore

__all__ = ["Forgiving"]

_LOOK_SECONDS = 1.0
_NODE_DIED = re.compile(
    r"\bnode\b.{0,200}\b(?:died|dead|terminated|preempted|unavailable|removed|drained)\b", re.I | re.S
)


class Forgiving(tune.Callback):  # type: ignore[misc]
    """Gives tries back to packs of `store`; `specs` are the packs by what a trial's config holds of them."""

    def __init__(self, store: SweepStore, specs: Mapping[str, PackSpec]) -> None:
        self._store, self._specs = store, specs
        self._reached: dict[str, int] = {}
        self._judged: set[tuple[str, int]] = set()
        """Attempts, by pack and number, whose death has been looked at."""
        self._doubtful: list[tuple[Any, str]] = []
        """Trials with a death that counts so far, and the node it happened on."""
        self._looked = -math.inf

    def __deepcopy__(self, memory: dict[int, Any]) -> Forgiving:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles callbacks to restore runs from, which never happens here.
        return type(None), ()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune when a process has died and is about to be started again."""
        pack_id = self._specs[trial.config["pack"]].pack_id
        before, now = self._reached.get(pack_id, -1), self._newest(pack_id)
        self._reached[pack_id] = max(before, now)
        attempt, node = self._newest_attempt(pack_id)
        known = (pack_id, attempt) in self._judged
        self._judged.add((pack_id, attempt))
        if now > before or _node_died(trial):
            _give_back(trial)
        elif node is not None and not known:
            self._doubtful.append((trial, node))

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune before it waits for the next event."""
        if not self._doubtful or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        dead = _dead_nodes()
        for trial, node in self._doubtful:
            if node in dead:
                _give_back(trial)
        self._doubtful = [(trial, node) for trial, node in self._doubtful if node not in dead]

    def _newest(self, pack_id: str) -> int:
        try:
            return Checkpoints(self._store.layout.root, self._store.name, pack_id).newest_step()
        except SweepError:
            return -1  # a store that is away tells nothing of progress

    def _newest_attempt(self, pack_id: str) -> tuple[int, str | None]:
        """Its number and its node; -1 and None where there is none, or the store is away."""
        try:
            attempts = self._store.attempts(pack_id)
        except SweepError:
            return -1, None
        return (len(attempts) - 1, attempts[-1].get("node")) if attempts else (-1, None)


def _give_back(trial: Any) -> None:
    trial.run_metadata.num_failures = max(0, trial.run_metadata.num_failures - 1)


def _dead_nodes() -> set[str]:
    import ray

    try:
        return {str(node["NodeID"]) for node in ray.nodes() if not node["Alive"]}
    except Exception:
        # A head that does not answer ends the run by itself; a look that failed must not.
        return set()


def _node_died(trial: Any) -> bool:
    from ray.exceptions import RayActorError

    error = trial.get_pickled_error()
    return isinstance(error, RayActorError) and (error.preempted or bool(_NODE_DIED.search(str(error))))
