"""What sets the results of two sweeps apart, trial by trial: a trial's id is its configuration, seed and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.store import Store, SweepStore
from sweep.store.schema import TRIALS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MeasureDiff", "ResultsDiff", "diff_results"]

_NOT_SETTINGS = {
    *("trial_id", "sweep", "spaces", "status", "pack_id", "scheduler", "dataset_fingerprint"),
    *("final_step", "diverged_step", "error", "wall_seconds", "attempts"),
}


@dataclass(frozen=True)
class MeasureDiff:
    """A measure's last values in trials that both sweeps have: how many are equal, and the largest difference.

    `relative` is that difference over the larger of the two values; `trial_id` is where, `a` and `b` what is there.
    """

    measure: str
    compared: int
    equal: int
    difference: float
    relative: float
    trial_id: str
    a: float
    b: float


@dataclass(frozen=True)
class ResultsDiff:
    """Trials in both and in one only, statuses that differ (`[a, b]` to how many), measures that do.

    `settings` maps each hyperparameter to the values that only trials of one of the sweeps have. `measures` has
    those with a difference, the largest relative one first; `equal_measures` counts the others.
    """

    shared: int
    only_a: int
    only_b: int
    settings: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    statuses: tuple[tuple[str, str, int], ...] = ()
    measures: tuple[MeasureDiff, ...] = ()
    equal_measures: int = 0


def diff_results(a: SweepStore, b: SweepStore) -> ResultsDiff:
    """Compare the trials of two sweeps. Damaged segments are left out."""
    one, two = a.trials().set_index("trial_id"), b.trials().set_index("trial_id")
    shared = one.index.intersection(two.index, sort=False)
    pairs = Counter(zip(one.loc[shared, "status"], two.loc[shared, "status"], strict=True))
    measures = list(_measures(_last(a, shared), _last(b, shared))) if len(shared) else []
    differing = [measure for measure in measures if measure.equal < measure.compared]
    return ResultsDiff(
        shared=len(shared),
        only_a=len(one) - len(shared),
        only_b=len(two) - len(shared),
        settings=_settings(one, two),
        statuses=tuple((x, y, n) for (x, y), n in sorted(pairs.items()) if x != y),
        measures=tuple(sorted(differing, key=lambda measure: -measure.relative)),
        equal_measures=len(measures) - len(differing),
    )


def _settings(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    found = {}
    for name in [column for column in a.columns if column not in _NOT_SETTINGS and column in b.columns]:
        one, two = (set(frame[name].dropna().map(_hashable)) for frame in (a, b))
        if one != two:
            found[name] = {"only_a": sorted(one - two, key=str), "only_b": sorted(two - one, key=str)}
    return found


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _last(store: SweepStore, trials: pd.Index[str]) -> pd.DataFrame:
    """Each trial's last value of each measure."""
    rows = Store(store.layout.root).last_metrics(store.name, skip_corrupt=True)
    rows = rows[rows["trial_id"].isin(trials)].sort_values("step")
    # `last` passes over what is missing: measures are not taken at every step.
    return (
        rows.drop(columns=["attempt", "wall_time"], errors="ignore").groupby("trial_id", observed=True).last()
    )


def _measures(a: pd.DataFrame, b: pd.DataFrame) -> Any:
    import numpy as np

    trials = a.index.intersection(b.index)
    for measure in [name for name in a.columns if name in b.columns and name not in TRIALS]:
        one, two = (frame.loc[trials, measure].to_numpy(dtype=float) for frame in (a, b))
        both = ~(np.isnan(one) & np.isnan(two))
        if not both.any():
            continue
        one, two, ids = one[both], two[both], trials[both]
        equal = one == two
        with np.errstate(invalid="ignore"):
            apart = np.where(equal, 0.0, np.abs(one - two))
        # Infinite, or there in one sweep only: as far apart as can be.
        apart = np.where(np.isnan(apart), np.inf, apart)
        worst = int(np.argmax(apart))
        scale = max(abs(one[worst]), abs(two[worst]))
        relative = (
            float(apart[worst] / scale) if apart[worst] and np.isfinite(apart[worst]) else float(apart[worst])
        )
        yield MeasureDiff(
            measure=str(measure),
            compared=len(one),
            equal=int(equal.sum()),
            difference=float(apart[worst]),
            relative=relative,
            trial_id=str(ids[worst]),
            a=float(one[worst]),
            b=float(two[worst]),
        )
