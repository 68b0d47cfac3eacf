"""What Ray Tune tells the supervisor of a run, and how a run that is to stop is ended in Tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune

from sweep.plan import PackSpec
from sweep.supervisor import Supervisor

__all__ = ["EndOfRun", "PackProcesses"]


def _nothing() -> None:
    return None


class _StaysHere:
    """Tune copies and pickles what it is given, to restore runs from, which never happens here."""

    def __deepcopy__(self, memory: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _nothing, ()


class PackProcesses(_StaysHere, tune.Callback):  # type: ignore[misc]
    """Tells the supervisor which packs have a process; `specs` are the packs by id, as a trial's config names them."""

    def __init__(self, supervisor: Supervisor, specs: Mapping[str, PackSpec]) -> None:
        self._supervisor, self._specs = supervisor, specs

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune."""
        self._supervisor.began(self._pack(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune."""
        self._supervisor.ended(self._pack(trial).pack_id)

    # A process that died, to be started again or not.
    on_trial_recover = on_trial_error = on_trial_complete

    def _pack(self, trial: Any) -> PackSpec:
        return self._specs[trial.config["pack"]]


class EndOfRun(_StaysHere, tune.Stopper):  # type: ignore[misc]
    """Ends the run once it is to stop and the packs that trained then have ended.

    Packs that Tune starts in the meantime refuse to begin, by the request in the store; they are not waited for.
    `ended_packs` are those that had not ended by themselves in the time that they get.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.ended_packs: set[str] = set()
        self._supervisor = supervisor
        self._waited_for: set[str] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is ended for itself."""
        return False

    def stop_all(self) -> bool:
        """Called by Tune after every event."""
        if self._supervisor.interrupted:
            return True
        if not self._supervisor.stopping:
            return False
        running = self._supervisor.running()
        if self._waited_for is None:
            self._waited_for = running
        self._waited_for &= running
        if self._waited_for and not self._supervisor.out_of_patience:
            return False
        self.ended_packs |= self._waited_for
        return True
