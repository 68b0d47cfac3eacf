"""Runs of several environments: aggregates that count every environment equally, and a bootstrap within each.

Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice": the interquartile mean, profiles, the
probability of improvement, and a bootstrap stratified by environment. Two kinds of draws:

- ``percentile``: as many units as there are, with replacement, and the draws' percentiles: what their library
  rliable prints. With few runs it is too narrow: of n runs, the draws' variance is (n - 1) / n of what it should be.
- ``t``: one unit less than there are (Rao & Wu 1988, JASA 83:231), whose variance is right for a mean whatever n,
  and Student's t with Satterthwaite's degrees of freedom.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError
from sweep.analysis.intervals import NO_INTERVAL, Interval

IntervalKind = Literal["t", "percentile"]
KINDS: Final = ("t", "percentile")

# Runs x draws held at once: 32 MB of doubles a temporary.
_CHUNK: Final = 4_000_000


@dataclass(frozen=True)
class Runs:
    """``scores`` ``[N]`` float64 of runs, those of an environment side by side."""

    scores: Floats
    environment: npt.NDArray[np.int64]
    """``[N]``, ascending from 0."""
    unit: npt.NDArray[np.int64]
    """``[N]``: what is drawn as a whole, numbered from 0, those of an environment side by side."""

    @classmethod
    def of(cls, scores: npt.ArrayLike, environment: npt.ArrayLike, unit: npt.ArrayLike) -> "Runs":
        """From arrays of one length, in any order. A unit of two environments is two units."""
        places = np.unique(np.asarray(environment), return_inverse=True)[1]
        units = np.unique(np.asarray(unit), return_inverse=True)[1]
        both = np.unique(np.stack([places, units]), axis=1, return_inverse=True)[1].reshape(-1)
        order = np.argsort(both, kind="stable")
        return cls(
            np.asarray(scores, float)[order],
            places[order].astype(np.int64),
            both[order].astype(np.int64),
        )

    @property
    def environments(self) -> int:
        """Number of environments, E."""
        return int(self.environment.max()) + 1

    @property
    def units(self) -> npt.NDArray[np.int64]:
        """Number of units of each environment, ``[E]``."""
        of_unit = self.environment[np.unique(self.unit, return_index=True)[1]]
        return np.bincount(of_unit, minlength=self.environments).astype(np.int64)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a mean over environments: Satterthwaite's, of the variances between units.

        From the least number of units less one to the sum of all of them; NaN where an environment has one unit.
        """
        means = np.bincount(self.unit, self.scores) / np.bincount(self.unit)
        place = self.environment[np.unique(self.unit, return_index=True)[1]]
        n = self.units
        if (n < 2).any():
            return np.nan
        middle = np.bincount(place, means) / n
        variance = np.bincount(place, (means - middle[place]) ** 2) / (n - 1) / n
        if not variance.any():
            return float((n - 1).sum())
        return float(variance.sum() ** 2 / (variance**2 / (n - 1)).sum())

    def whole(self) -> Floats:
        """The weight of each run, ``[1, N]``; those of every environment sum to N / E."""
        return self.weights(np.ones((1, int(self.units.sum()))))

    def drawn(self, draws: int, rng: np.random.Generator, kind: IntervalKind) -> Floats:
        """The weights of ``draws`` bootstrap draws, ``[draws, N]``."""
        return self.weights(np.concatenate([_counts(n, draws, rng, kind) for n in self.units], axis=1))

    def weights(self, counts: Floats) -> Floats:
        """The weight of each run ``[d, N]`` where a unit was drawn ``[d, U]`` times.

        NaN in an environment of which no unit was drawn.
        """
        weights = counts[:, self.unit]
        starts = np.searchsorted(self.environment, np.arange(self.environments))
        totals = np.add.reduceat(weights, starts, axis=1)
        weights *= (len(self.scores) / self.environments / totals)[:, self.environment]
        return weights

    def means(self, weights: Floats, scores: Floats | None = None) -> Floats:
        """Weighted mean of each environment, ``[d, E]``, of the runs' own scores or others in their order."""
        starts = np.searchsorted(self.environment, np.arange(self.environments))
        values = self.scores if scores is None else scores
        sums = np.add.reduceat(weights * values, starts, axis=1)
        return np.asarray(sums / (len(values) / self.environments))


Statistic = Callable[[Runs, Floats], Floats]
"""From runs and weights ``[d, N]`` to a number for each row, ``[d]``, or several, ``[d, K]``."""


def mean(runs: Runs, weights: Floats) -> Floats:
    """Mean over environments of the mean over runs."""
    return np.asarray(runs.means(weights).mean(axis=1))


def median(runs: Runs, weights: Floats) -> Floats:
    """Median over environments of the mean over runs."""
    return np.asarray(np.median(runs.means(weights), axis=1))


def interquartile_mean(runs: Runs, weights: Floats) -> Floats:
    """Mean of the middle half of all runs, whatever their environment.

    As `scipy.stats.trim_mean`, a quarter of the runs, rounded down, is cut off at either end.
    """
    order = np.argsort(runs.scores, kind="stable")
    total = float(len(runs.scores))
    cut = float(int(0.25 * total))
    up_to = np.cumsum(weights[:, order], axis=1)
    inside = np.diff(np.clip(up_to, cut, total - cut), axis=1, prepend=cut)
    return np.asarray(inside @ runs.scores[order] / (total - 2 * cut))


def optimality_gap(gamma: float = 1.0) -> Statistic:
    """How far runs stay below ``gamma`` on average; what is above counts as ``gamma``."""

    def gap(runs: Runs, weights: Floats) -> Floats:
        return np.asarray(gamma - runs.means(weights, np.minimum(runs.scores, gamma)).mean(axis=1))

    return gap


def share_above(taus: Floats) -> Statistic:
    """The share of runs above each of ``taus`` ``[K]``: ``[d, K]``."""

    def shares(runs: Runs, weights: Floats) -> Floats:
        return np.asarray(weights @ (runs.scores[:, None] > taus) / len(runs.scores))

    return shares


def chunks(draws: int, runs: int) -> Iterator[int]:
    """How many of ``draws`` to hold at once, time after time."""
    rows = max(1, _CHUNK // max(1, runs))
    return (min(rows, draws - start) for start in range(0, draws, rows))


def bootstrap(
    runs: Sequence[Runs],
    statistics: Sequence[Statistic],
    draws: int,
    rng: np.random.Generator,
    kind: IntervalKind,
) -> list[list[Floats]]:
    """For each of ``runs`` (the same runs, other scores) and each statistic, its draws: ``[D]`` or ``[D, K]``."""
    found: list[list[list[Floats]]] = [[[] for _ in statistics] for _ in runs]
    for some in chunks(draws, len(runs[0].scores)):
        weights = runs[0].drawn(some, rng, kind)
        for i, these in enumerate(runs):
            for j, statistic in enumerate(statistics):
                found[i][j].append(statistic(these, weights))
    return [[np.concatenate(parts) for parts in row] for row in found]


def interval_of(
    estimate: float, drawn: Floats, freedom: float, confidence: float, kind: IntervalKind
) -> Interval:
    """The interval of an estimate from its draws ``[D]``; the two-sided p of zero is of Student's t alone.

    None by Student's t where the draws do not differ: that few runs agree is no certainty.
    """
    if not np.isfinite(freedom + estimate):
        return NO_INTERVAL
    if kind == "percentile":
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(float(low), float(high), np.nan)
    error = float(drawn.std(ddof=1))
    if error <= 1e-12 * max(1.0, abs(estimate)):
        return NO_INTERVAL
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(estimate) / error, freedom))
    return Interval(estimate - reach, estimate + reach, p)


def check_kind(kind: str) -> None:
    """Raise `AnalysisError` unless ``kind`` is one of `KINDS`."""
    if kind not in KINDS:
        raise AnalysisError(
            f"interval={kind}: must be t, which holds its level with few runs, or percentile, as rliable prints."
        )


def _counts(units: int, draws: int, rng: np.random.Generator, kind: IntervalKind) -> Floats:
    size = units if kind == "percentile" else max(units - 1, 1)
    picks = rng.integers(units, size=(draws, size))
    picks += np.arange(draws)[:, None] * units
    counts = np.bincount(picks.ravel(), minlength=draws * units)
    return counts.reshape(draws, units).astype(np.float64)
