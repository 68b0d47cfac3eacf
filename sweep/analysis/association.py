"""Pearson, Spearman and least-squares line of one pair of measures, for thousands of bootstrap draws at once.

A draw is a count for every configuration; a trial counts as often as its configuration was drawn. Sums within
a configuration are taken once, so that a draw of Pearson or the line costs six multiplications a
configuration, and a draw of Spearman ranks the trials by cumulative counts instead of sorting them again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Trials x draws held at once when ranking: 32 MB of doubles a temporary.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Pair:
    """Values ``x``, ``y`` ``[T]`` float64 of trials; the configuration of each, ``cluster`` ``[T]`` int64."""

    x: Floats
    y: Floats
    cluster: npt.NDArray[np.int64]

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike, cluster: npt.ArrayLike) -> "Pair":
        """From anything array-like of one length; clusters are renumbered 0..G-1."""
        codes = np.unique(np.asarray(cluster), return_inverse=True)[1]
        return cls(np.asarray(x, float), np.asarray(y, float), codes.astype(np.int64))

    @property
    def clusters(self) -> int:
        """Number of configurations, G."""
        return int(self.cluster.max()) + 1 if len(self.cluster) else 0

    def pearson(self, draws: Floats) -> Floats:
        """Pearson's r for each row of ``draws`` ``[D, G]``; NaN where a measure is constant in a draw."""
        _, sxx, syy, sxy = self._moments(draws)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _bounded(sxy / np.sqrt(sxx * syy))

    def line(self, draws: Floats) -> tuple[Floats, Floats]:
        """Intercept and slope of y on x by least squares for each row of ``draws``, each ``[D]``."""
        (mx, my), sxx, _, sxy = self._moments(draws)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = sxy / sxx
        return my - slope * mx, slope

    def spearman(self, draws: Floats) -> Floats:
        """Spearman's rho (average ranks for ties) per row of ``draws``; NaN where a measure is constant."""
        x_ties, y_ties = _Ties.of(self.x), _Ties.of(self.y)
        rows = max(1, _CHUNK // max(1, len(self.x)))
        out = np.empty(len(draws))
        for start in range(0, len(draws), rows):
            weights = draws[start : start + rows][:, self.cluster]
            rx, ry = x_ties.ranks(weights), y_ties.ranks(weights)
            middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
            rx -= middle
            ry -= middle
            wx = weights * rx
            with np.errstate(invalid="ignore", divide="ignore"):
                norm = np.sqrt((wx * rx).sum(axis=1) * (weights * ry * ry).sum(axis=1))
                out[start : start + rows] = np.where(norm > 0, (wx * ry).sum(axis=1) / norm, np.nan)
        return _bounded(out)

    def _moments(self, draws: Floats) -> tuple[tuple[Floats, Floats], Floats, Floats, Floats]:
        # Centred and scaled first: sums of squares of a return of 10,000 +- 1 would cancel to noise.
        x0, y0 = self.x.mean(), self.y.mean()
        x, y = self.x - x0, self.y - y0
        columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
        sums = np.stack([np.bincount(self.cluster, c, minlength=self.clusters) for c in columns], axis=1)
        n, sx, sy, sxx, syy, sxy = (draws @ sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            mx, my = sx / n, sy / n
            vxx = _nonzero(sxx - mx * sx, sxx)
            vyy = _nonzero(syy - my * sy, syy)
            return (mx + x0, my + y0), vxx, vyy, sxy - mx * sy


@dataclass(frozen=True)
class _Ties:
    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    group: npt.NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats) -> "_Ties":
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]]
        group = np.empty(len(values), dtype=np.intp)
        group[order] = np.cumsum(new) - 1
        return cls(order, np.flatnonzero(new), group)

    def ranks(self, weights: Floats) -> Floats:
        """Average ranks ``[D, T]`` when trial t is there ``weights[d, t]`` times."""
        per_group = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        rank: Floats = np.cumsum(per_group, axis=1) - (per_group - 1) / 2
        return rank[:, self.group]


def _nonzero(variance: Floats, scale: Floats) -> Floats:
    # A draw of one value leaves rounding error, not zero: call it constant.
    return np.where(variance > 1e-12 * np.abs(scale), variance, np.nan)


def _bounded(correlation: Floats) -> Floats:
    return np.clip(correlation, -1.0, 1.0)
