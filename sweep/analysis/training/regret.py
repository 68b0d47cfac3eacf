"""Simple regret of choosing one of several policies by a score.

As in Konyushkova et al. 2021 (Active Offline Policy Selection): the value of the best candidate less that of the chosen
one, over the value of the best less that of the worst. 0 is the best choice and 1 the worst. Gulcehre et al. 2022,
section 10, say it the other way round ("1 would mean that our offline policy selection mechanism successfully chooses
the best policy") and read their numbers this way ("good" is 0.24, "poor" 0.45).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats

# Draws x candidates held at once: 32 MB of doubles.
_CHUNK: Final = 4_000_000


def chosen_value(scores: Floats, values: Floats) -> float:
    """Value of the candidate with the highest score, both ``[V]``; ties share it equally.

    A candidate without a score or value (NaN) is never chosen; NaN where none has both.
    """
    there = np.isfinite(scores) & np.isfinite(values)
    if not there.any():
        return np.nan
    return float(values[there & (scores == scores[there].max())].mean())


def regret(value: float | Floats, values: Floats) -> float | Floats:
    """Simple regret of having chosen a candidate of ``value`` among candidates of ``values`` ``[V]``.

    NaN where they are all of one value: then nothing can be regretted.
    """
    best, worst = np.nanmax(values), np.nanmin(values)
    return (best - value) / (best - worst) if best > worst else value * np.nan


def candidate_sets(candidates: int, draws: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which of the candidates are there in each draw of as many with replacement, ``[D, V]``."""
    present = np.zeros((draws, candidates), dtype=bool)
    for row in present:
        row[rng.integers(candidates, size=candidates)] = True
    return present


def regret_of_sets(scores: Floats | None, values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    """Simple regret within each set of ``present`` ``[D, V]``, by ``scores`` ``[V]`` or (None) by chance, ``[D]``.

    Best and worst are those of the set. NaN where its candidates are all of one value, or none has a score.
    """
    there = np.isfinite(values)
    values, present = values[there], present[:, there]
    out = np.empty(len(present))
    rows = max(1, _CHUNK // max(1, len(values)))
    for start in range(0, len(present), rows):
        part = present[start : start + rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            best = np.where(part, values, -np.inf).max(axis=1, initial=-np.inf)
            worst = np.where(part, values, np.inf).min(axis=1, initial=np.inf)
            by_chance = part @ values / part.sum(axis=1)
            value = by_chance if scores is None else _chosen(scores[there], values, part)
            out[start : start + rows] = np.where(best > worst, (best - value) / (best - worst), np.nan)
    return out


def _chosen(scores: Floats, values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    scored = np.flatnonzero(np.isfinite(scores))
    if not len(scored):
        return np.full(len(present), np.nan)
    order = scored[np.argsort(-scores[scored], kind="stable")]
    ties = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    here = present[:, order]
    counts = np.add.reduceat(here.astype(float), ties, axis=1)
    sums = np.add.reduceat(here * values[order], ties, axis=1)
    first = (counts > 0).argmax(axis=1)
    draws = np.arange(len(present))
    with np.errstate(invalid="ignore"):
        return np.where(counts[draws, first] > 0, sums[draws, first] / counts[draws, first], np.nan)
