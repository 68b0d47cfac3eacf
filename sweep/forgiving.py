"""Which deaths of a pack's process count against it: those that it may have caused itself.

Tune gives a pack a few tries. On machines that can be taken away at any moment those would soon be used up by
deaths that were no fault of the pack, so a try is given back where its node died with it, and where the pack had
got on since the death before. A pack that dies again and again at one place still comes to an end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ray import tune

from sweep.checkpoints import Checkpoints
from sweep.errors import SweepError
from sweep.plan import PackSpec
from sweep.store import SweepStore

__all__ = ["Forgiving"]

_NODE_DIED = re.compile(
    r"\bnode\b.{0,200}\b(?:died|dead|terminated|preempted|unavailable|removed|drained)\b", re.I | re.S
)


class Forgiving(tune.Callback):  # type: ignore[misc]
    """Gives tries back to packs of `store`; `specs` are the packs by what a trial's config holds of them."""

    def __init__(self, store: SweepStore, specs: Mapping[str, PackSpec]) -> None:
        self._store, self._specs = store, specs
        self._reached: dict[str, int] = {}

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
        if now > before or _node_died(trial):
            trial.run_metadata.num_failures = max(0, trial.run_metadata.num_failures - 1)

    def _newest(self, pack_id: str) -> int:
        try:
            return Checkpoints(self._store.layout.root, self._store.name, pack_id).newest_step()
        except SweepError:
            return -1  # a store that is away tells nothing of progress


def _node_died(trial: Any) -> bool:
    from ray.exceptions import RayActorError

    error = trial.get_pickled_error()
    return isinstance(error, RayActorError) and (error.preempted or bool(_NODE_DIED.search(str(error))))
