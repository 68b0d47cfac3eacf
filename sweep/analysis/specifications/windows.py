"""A measure over the last part of training: its last value, or its mean over the last tenth, quarter, half."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import FINAL_SHARE
from sweep.analysis.frames import places_among


def lengths(trials: pd.DataFrame, metrics: pd.DataFrame) -> Floats:
    """Gradient steps of each trial's training, ``[T]``: as planned, or to its last row where that is not known."""
    if "train_steps" in trials.columns and trials["train_steps"].notna().all():
        return trials["train_steps"].to_numpy(float)
    last = metrics.groupby("trial_id", observed=True)["step"].max()
    last.index = last.index.astype(object)
    return trials["trial_id"].map(last).to_numpy(float)


def windowed(
    trials: pd.DataFrame, length: Floats, series: pd.DataFrame, measure: str, windows: Sequence[float]
) -> Floats:
    """``measure`` of each trial in each window, ``[W, T]``, NaN where it was not taken there.

    ``series`` has trial_id, step and the measure. A window is the last share of a trial's ``length`` ``[T]``,
    over which the values taken are averaged; 0 is the last value, if it was taken in the last tenth.
    """
    there = series.loc[series[measure].notna(), ["trial_id", "step", measure]]
    index = pd.Index(trials["trial_id"].astype(object))
    trial = places_among(index, there["trial_id"])
    known = trial >= 0
    trial, step = trial[known], there["step"].to_numpy(float)[known]
    value = there[measure].to_numpy(float)[known]
    return np.stack([_window(trial, step, value, length, share) for share in windows])


def _window(trial: npt.NDArray[np.intp], step: Floats, value: Floats, length: Floats, share: float) -> Floats:
    inside = step >= FINAL_SHARE * length[trial] if share == 0 else step > (1 - share) * length[trial]
    trial, step, value = trial[inside], step[inside], value[inside]
    if share == 0:
        order = np.lexsort((step, trial))
        ends = np.flatnonzero(np.diff(trial[order], append=-1))
        last: Floats = np.full(len(length), np.nan)
        last[trial[order][ends]] = value[order][ends]
        return last
    count = np.bincount(trial, minlength=len(length))
    total = np.bincount(trial, value, minlength=len(length))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count > 0, count, np.nan))


def stacked(vectors: pd.Series) -> list[tuple[npt.NDArray[np.intp], Floats]]:
    """Vectors of one length together: the rows they came from, and ``[n, K]`` float64."""
    sizes = vectors.map(len).to_numpy()
    found = []
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        values: Any = vectors.iloc[rows].tolist()
        found.append((rows, np.array(values, dtype=np.float64).reshape(len(rows), size)))
    return found
