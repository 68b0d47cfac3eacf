"""p-values of several questions at once."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values ``[K]`` of a declared family: at most 5 % of families have a false alarm at or below 0.05.

    For the few questions that were put beforehand; it holds whatever the dependence between them (Holm 1979,
    Scandinavian Journal of Statistics 6:65). NaN, a question without an answer, stays NaN and does not count.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    # Not statsmodels' `multipletests`: it collects the whole process's garbage, 0.2 s a call.
    order = np.argsort(values)[: np.count_nonzero(np.isfinite(values))]
    left = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(left * values[order]), 1.0)
    return adjusted


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values ``[K]`` of a map: of the cells at or below 0.05, 5 % are false alarms on average.

    For looking through many cells; under independence or positive dependence (Benjamini & Hochberg 1995,
    JRSS B 57:289). NaN stays NaN and does not count.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    there = np.isfinite(values)
    if there.any():
        adjusted[there] = stats.false_discovery_control(values[there])
    return adjusted
