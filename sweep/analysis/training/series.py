"""Measurements trial by trial: whole, or as they stood at chosen steps."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.frames import places_among


class Series:
    """The rows of ``metrics`` sorted by trial, in the order of ``ids``, and by step; rows of other trials are left out.

    Sorted once: a measure is then a slice a trial.
    """

    def __init__(self, ids: pd.Series, metrics: pd.DataFrame) -> None:
        self._ids = pd.Index(ids.astype(object))
        code = self.places(metrics["trial_id"])
        step = metrics["step"].to_numpy(float)
        self._metrics = metrics
        self._order = np.lexsort((step, code))
        self._code, self._step = code[self._order], step[self._order]
        self._known: dict[str, list[tuple[Floats, Floats]]] = {}

    def places(self, ids: pd.Series) -> npt.NDArray[np.intp]:
        """Where each trial stands in the order that the series was made with; -1 where it does not."""
        return places_among(self._ids, ids)

    def of(self, name: str) -> list[tuple[Floats, Floats]]:
        """Steps and finite values of a measure, each ``[measurements]``, of every trial."""
        if name not in self._known:
            values = self._metrics[name].to_numpy(float, na_value=np.nan)[self._order]
            there = np.isfinite(values) & (self._code >= 0)
            code, step, values = self._code[there], self._step[there], values[there]
            edges = np.searchsorted(code, np.arange(len(self._ids) + 1))
            self._known[name] = [(step[a:b], values[a:b]) for a, b in pairwise(edges)]
        return self._known[name]

    def at(self, name: str, steps: Sequence[float] | Floats, places: Iterable[int]) -> Floats:
        """The last finite value of a measure at or before each of ``steps`` ``[S]``, of the trials at ``places``.

        ``[T, S]``, NaN before a trial's first value.
        """
        series = self.of(name)
        wanted = np.asarray(steps, float)
        rows = []
        for place in places:
            step, values = series[place]
            last = np.searchsorted(step, wanted, side="right") - 1
            rows.append(
                np.where(last >= 0, values[last], np.nan) if len(values) else np.full(len(wanted), np.nan)
            )
        return np.stack(rows) if rows else np.empty((0, len(wanted)))

    def evaluated(self, name: str, places: Iterable[int]) -> Floats:
        """Steps after 0, ascending, at which at least half of the trials at ``places`` have a value of their own."""
        series = self.of(name)
        steps = [series[place][0] for place in places]
        taken, times = np.unique(np.concatenate([*steps, np.zeros(0)]), return_counts=True)
        by_most: Floats = taken[(times >= len(steps) / 2) & (taken > 0)]
        return by_most
