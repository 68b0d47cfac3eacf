"""A measure and an outcome within groups of trials: their slopes, whether these are equal, how often signs flip."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.confounding.clustered_slope import Slope
from sweep.analysis.confounding.environments import standardised
from sweep.analysis.confounding.grouping import Grouping
from sweep.analysis.confounding.rank_association import Codes
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, TOGETHER, Sample

OWN_UNITS: Final = "own units"
WITHIN_ENVIRONMENT: Final = "standard deviations within its environment"
FEWEST_CONFIGURATIONS: Final = 3
"""A group of fewer has no slope of its own: its error could not be told."""


@dataclass(frozen=True)
class Points:
    """Trials: ``x``, the measure in its standard deviations, ``y``, the outcome, and their ``cluster``, all ``[T]``."""

    x: Floats
    y: Floats
    cluster: Codes
    frame: pd.DataFrame
    """The trials, row by row."""
    measure_sd: float
    """Of the measure, in its units: what x is in."""
    scale: str
    """What y is in, in words."""

    @classmethod
    def of(cls, measure: Floats, outcome: Floats, frame: pd.DataFrame, scale: str) -> "Points":
        """Of trials that have both; the others (NaN) are left out. Centred, which no slope notices."""
        there = np.isfinite(measure) & np.isfinite(outcome)
        x, y, kept = measure[there], outcome[there], frame[there]
        cluster = np.unique(kept["configuration"].to_numpy(), return_inverse=True)[1].astype(np.int64)
        sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
        return cls((x - x.mean()) / (sd or 1.0), y - y.mean(), cluster, kept, sd, scale)

    @property
    def clusters(self) -> int:
        """Number of configurations, G."""
        return int(self.cluster.max()) + 1

    @cached_property
    def pooled(self) -> Slope | None:
        """The slope over all trials."""
        return Slope.of(self.y, self.x, np.ones((len(self.x), 1)), self.cluster)

    def within(self, grouping: Grouping) -> Slope | None:
        """The slope that the groups have in common; None where the measure does not vary within them."""
        return Slope.of(self.y, self.x, one_hot(grouping), self.cluster)


@dataclass(frozen=True)
class OwnSlopes:
    """Of ``groups`` (codes) that have one: ``slopes``, and ``pieces`` ``[K, G]`` of their errors by configuration."""

    groups: list[int]
    slopes: list[Slope]
    pieces: Floats

    @classmethod
    def of(cls, points: Points, grouping: Grouping) -> "OwnSlopes":
        """Of the groups with `FEWEST_CONFIGURATIONS` in which the measure varies and the error can be told."""
        groups, slopes, pieces = [], [], []
        for code in range(len(grouping.labels)):
            members = np.flatnonzero(grouping.codes == code)
            clusters, own = np.unique(points.cluster[members], return_inverse=True)
            if len(clusters) < FEWEST_CONFIGURATIONS:
                continue
            slope = Slope.of(
                points.y[members], points.x[members], np.ones((len(members), 1)), own.astype(np.int64)
            )
            if slope is None or not slope.variance > 0 or not slope.contrast.freedom > 0:
                continue
            spread = np.zeros(points.clusters)
            spread[clusters] = slope.pieces
            groups.append(code)
            slopes.append(slope)
            pieces.append(spread)
        return cls(groups, slopes, np.array(pieces).reshape(len(groups), points.clusters))

    def equality(self) -> tuple[float, float]:
        """F and p of the test that all slopes are equal; NaN for fewer than two, or too few configurations.

        `welch` where no configuration is in two groups; else `hotelling`, on differences from the first slope.
        """
        if len(self.slopes) < 2:
            return np.nan, np.nan
        slope = np.array([s.estimate for s in self.slopes])
        if bool(((self.pieces != 0).sum(axis=0) > 1).any()):
            return hotelling(slope[1:] - slope[0], self.pieces[1:] - self.pieces[0])
        freedom = np.array([s.contrast.freedom for s in self.slopes])
        return welch(slope, (self.pieces**2).sum(axis=1), freedom)


def welch(estimates: Floats, variances: Floats, freedoms: Floats) -> tuple[float, float]:
    """F and p of the test that independent ``estimates`` ``[K]`` are equal (Welch 1951, Biometrika 38:330)."""
    k = len(estimates)
    share = 1 / variances / (1 / variances).sum()
    spread = float(((1 - share) ** 2 / freedoms).sum())
    between = float(((estimates - share @ estimates) ** 2 / variances).sum()) / (k - 1)
    f = between / (1 + 2 * (k - 2) / (k * k - 1) * spread)
    return f, float(stats.f.sf(f, k - 1, (k * k - 1) / (3 * spread)))


def hotelling(estimates: Floats, pieces: Floats) -> tuple[float, float]:
    """F and p of the test that ``estimates`` ``[K]`` are zero, whose errors have ``pieces`` ``[K, G]`` by cluster.

    NaN where there are no more clusters than estimates.
    """
    k, clusters = pieces.shape
    covariance = pieces @ pieces.T
    if clusters - k < 1 or np.linalg.matrix_rank(covariance, hermitian=True) < k:
        return np.nan, np.nan
    squared = float(estimates @ np.linalg.solve(covariance, estimates))
    f = squared * (clusters - k) / ((clusters - 1) * k)
    return f, float(stats.f.sf(f, k, clusters - k))


def one_hot(grouping: Grouping) -> Floats:
    """``[T, K]``: 1 where a trial is in a group."""
    return np.asarray(grouping.codes[:, None] == np.arange(len(grouping.labels)), dtype=np.float64)


def flip_share(points: Points, grouping: Grouping, draws: Floats) -> float:
    """Share of ``draws`` ``[D, G]`` of configurations in which pooled and within slope have opposite signs.

    Of the draws in which both exist; NaN where that is fewer than half.
    """
    k = len(grouping.labels)
    cell = points.cluster * k + grouping.codes
    x, y = points.x, points.y
    columns = [np.ones_like(x), x, y, x * x, x * y]
    sums = [np.bincount(cell, c, minlength=points.clusters * k).reshape(-1, k) for c in columns]
    n, sx, sy, sxx, sxy = np.split(draws @ np.column_stack(sums), len(sums), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        within_xx = (sxx - np.where(n > 0, sx * sx / n, 0.0)).sum(axis=1)
        within_xy = (sxy - np.where(n > 0, sx * sy / n, 0.0)).sum(axis=1)
        total = n.sum(axis=1)
        pooled_xy = sxy.sum(axis=1) - sx.sum(axis=1) * sy.sum(axis=1) / total
    there = (within_xx > 1e-9 * sxx.sum(axis=1)) & (pooled_xy != 0)
    if there.sum() < len(draws) / 2:
        return float("nan")
    return float((np.sign(within_xy) != np.sign(pooled_xy))[there].mean())


def points_of(
    sample: Sample, measure: str, outcome: str, *, own_units: bool = False
) -> tuple[Points | str, str | None]:
    """The trials of a sample, or why they are refused; and a note on what was left out of them.

    Of several environments in standard deviations within each (unless ``own_units``), where an environment in which
    measure or outcome does not vary says nothing.
    """
    x, y, frame = sample.values(measure), sample.values(outcome), sample.included
    if own_units or sample.key["env"] != TOGETHER:
        return Points.of(x, y, frame, OWN_UNITS), None
    env = frame["env"]
    points = Points.of(standardised(x, env), standardised(y, env), frame, WITHIN_ENVIRONMENT)
    flat = sorted(set(env) - set(points.frame["env"]))
    note = f"left out, as {measure} or {outcome} does not vary there: {', '.join(flat)}" if flat else None
    if not len(points.x) or points.clusters < MINIMUM_CONFIGURATIONS:
        return f"refused: {len(points.x)} trials are left; {note}", None
    return points, note
