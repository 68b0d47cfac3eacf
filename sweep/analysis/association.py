"""Pearson, Spearman and least-squares line of one pair of measures, for thousands of bootstrap draws at once.

A draw is a count for every configuration; a trial counts as often as its configuration was drawn. Sums within
a configuration are taken once, so that a draw of Pearson or the line costs six multiplications a
configuration, and a draw of Spearman ranks the trials by cumulative counts instead of sorting them again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Trials x draws ranked at once, and the fewest draws: temporaries of 1.3 MB stay in the processor's cache.
_CHUNK = 160_000
_FEWEST = 16


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
        x, y = _Ties.of(self.x), _Ties.of(self.y)
        of_x, of_y, y_of_x = self.cluster[x.order], self.cluster[y.order], y.group[x.order]
        sizes = np.bincount(self.cluster, minlength=self.clusters).astype(float)
        columns = max(_FEWEST, _CHUNK // max(1, len(self.x)))
        out = np.empty(len(draws))
        for start in range(0, len(draws), columns):
            # A draw is a column: then rows are copied whole, and everything below stays in the cache.
            counts = np.ascontiguousarray(draws[start : start + columns].T)
            weights, drawn = counts[of_x], sizes @ counts
            rx, x_norm = x.ranks(weights, drawn)
            ry, y_norm = y.ranks(counts[of_y], drawn)
            cross = ry[y_of_x]
            cross *= weights
            with np.errstate(invalid="ignore", divide="ignore"):
                norm = np.sqrt(x_norm * y_norm)
                both = np.einsum("ij,ij->j", x.sums(cross), rx)
                out[start : start + columns] = np.where(norm > 0, both / norm, np.nan)
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

    def sums(self, values: Floats) -> Floats:
        """``values`` ``[T, D]``, which are in ``order``, added up in each group of ties, ``[K, D]``."""
        return values if len(self.starts) == len(values) else np.add.reduceat(values, self.starts, axis=0)

    def ranks(self, weights: Floats, drawn: Floats) -> tuple[Floats, Floats]:
        """Average rank less the mean rank of each group ``[K, D]``, and their sum of squares ``[D]``.

        The trial at a place of ``order`` is there ``weights`` ``[T, D]`` times, of ``drawn`` ``[D]`` in all.
        """
        tied = self.sums(weights)
        rank = np.cumsum(tied, axis=0)
        rank -= (tied + drawn) / 2
        # The sum of squares of ranks with ties; whole numbers, so that it is exactly 0 where all are tied.
        return rank, (drawn * drawn * drawn - np.einsum("ij,ij,ij->j", tied, tied, tied)) / 12


def _nonzero(variance: Floats, scale: Floats) -> Floats:
    # A draw of one value leaves rounding error, not zero: call it constant.
    return np.where(variance > 1e-12 * np.abs(scale), variance, np.nan)


def _bounded(correlation: Floats) -> Floats:
    return np.clip(correlation, -1.0, 1.0)
