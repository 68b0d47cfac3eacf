"""Spearman's rho, over all trials or within groups, with an error from what each configuration adds to it.

The infinitesimal jackknife: rho as a function of the trials' weights has an exact derivative (average ranks for ties
included), and the squares of its sums within clusters are the variance, times G / (G - 1); on Fisher's scale, with
Student's t of clusters - 1. Simulated (6 to 60 configurations of 1 to 4 seeds, normal and lognormal), a nominal 95 %
covers 93-97 %, as the bootstrap over configurations does (94-100 %) at a thousandth of its cost.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.confounding.clustered_slope import t_interval
from sweep.analysis.intervals import NO_INTERVAL, Interval

Codes = npt.NDArray[np.int64]
_FEWEST_TRIALS = 3


@dataclass(frozen=True)
class RankCorrelation:
    """``rho`` and its derivative ``influence`` ``[T]`` in the weight of each trial; ``used`` ``[T]``: which count."""

    rho: float
    influence: Floats
    used: npt.NDArray[np.bool_]

    def interval(self, cluster: Codes, confidence: float, *, fitted: int = 0) -> Interval:
        """By Fisher's z and Student's t; none where rho is 1, or clusters are fewer than 3.

        ``fitted``: coefficients that x and y have been cleared of beforehand, which the variance makes up for.
        """
        clusters = len(np.unique(cluster[self.used]))
        trials = int(self.used.sum())
        if clusters < 3 or trials <= fitted or not abs(self.rho) < 1 - 1e-12:
            return NO_INTERVAL
        each = np.bincount(cluster, self.influence)
        variance = clusters / (clusters - 1) * float(each @ each) / (1 - self.rho**2) ** 2
        variance *= trials / (trials - fitted)
        on_z = t_interval(float(np.arctanh(self.rho)), variance, clusters - 1, confidence)
        return Interval(float(np.tanh(on_z.low)), float(np.tanh(on_z.high)), on_z.p)


def spearman(x: Floats, y: Floats) -> RankCorrelation | None:
    """Of trials ``x``, ``y`` ``[T]``; None below 3 trials and where one of them does not vary."""
    middle = (len(x) + 1) / 2
    rx, ry = stats.rankdata(x) - middle, stats.rankdata(y) - middle
    nxy, nxx, nyy = rx @ ry, rx @ rx, ry @ ry
    if len(x) < _FEWEST_TRIALS or not nxx > 0 or not nyy > 0:
        return None
    dxy = rx * ry + _above(x, ry) + _above(y, rx)
    dxx, dyy = rx * rx + 2 * _above(x, rx), ry * ry + 2 * _above(y, ry)
    norm = np.sqrt(nxx * nyy)
    rho = nxy / norm
    influence = dxy / norm - rho / 2 * (dxx / nxx + dyy / nyy)
    return RankCorrelation(float(rho), influence, np.ones(len(x), bool))


def spearman_within(x: Floats, y: Floats, group: Codes) -> RankCorrelation | None:
    """Mean of the correlations within groups, each counting by its trials; groups without a correlation left out."""
    influence, used = np.zeros(len(x)), np.zeros(len(x), bool)
    rhos = np.zeros(len(x))
    for code in np.unique(group):
        members = np.flatnonzero(group == code)
        own = spearman(x[members], y[members])
        if own is not None:
            influence[members], rhos[members], used[members] = own.influence, own.rho, True
    if not used.any():
        return None
    n, mean = used.sum(), float(rhos[used].mean())
    sizes = np.bincount(group)[group]
    influence = np.where(used, (sizes * influence + rhos - mean) / n, 0.0)
    return RankCorrelation(mean, influence, used)


def _above(values: Floats, weights: Floats) -> Floats:
    """``[T]``: the weights of trials whose value is larger, and half of those whose value is the same, summed."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    tie = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])
    per_tie = np.bincount(tie, weights[order])
    above = np.cumsum(per_tie[::-1])[::-1] - per_tie / 2
    out = np.empty(len(values))
    out[order] = above[tie]
    return out
