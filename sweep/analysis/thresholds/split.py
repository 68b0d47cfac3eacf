"""Trials above a quantile of a measure against the others, for thousands of bootstrap draws at once.

A draw is a count for every configuration, and has a quantile of its own: the trials are sorted once, and cumulative
counts and sums of the outcome say for every draw where the quantile lies and what the two sides average.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats

# Trials x draws held at once: temporaries of under 1 MB stay in the processor's cache.
_CHUNK = 100_000
# 0.55 * 100 is 55.000000000000007: a quantile that is a trial's own value must be found as such.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Split:
    """Trials in ascending order of ``x`` ``[T]``: outcome ``y`` ``[T]`` and number of the configuration ``[T]``."""

    x: Floats
    y: Floats
    cluster: npt.NDArray[np.int64]

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike, cluster: npt.ArrayLike) -> "Split":
        """From anything array-like of one length, in any order; clusters are renumbered 0..G-1."""
        measure, codes = np.asarray(x, float), np.unique(np.asarray(cluster), return_inverse=True)[1]
        # By outcome within ties and by configuration last: sums must not depend on the rows' order.
        order = np.lexsort((codes, np.asarray(y, float), measure))
        return cls(measure[order], np.asarray(y, float)[order], codes[order].astype(np.int64))

    @property
    def clusters(self) -> int:
        """Number of configurations, G."""
        return int(self.cluster.max()) + 1 if len(self.cluster) else 0

    def threshold(self, quantile: float) -> float:
        """The ``quantile`` of x by linear interpolation, as `numpy.quantile`."""
        place = quantile * (len(self.x) - 1)
        k = int(_lower(np.array(place)))
        share = place - k if place - k > _ROUNDING else 0.0
        return float(self.x[k] + share * (self.x[min(k + 1, len(self.x) - 1)] - self.x[k]))

    def above(self, quantile: float) -> npt.NDArray[np.bool_]:
        """Whether each trial lies above the quantile, ``[T]``; ties with it do not."""
        k = int(_lower(np.array(quantile * (len(self.x) - 1))))
        return np.asarray(self.x > self.x[k])

    def differences(self, quantiles: npt.ArrayLike, draws: Floats) -> Floats:
        """Mean outcome above each quantile less that of the others, ``[D, Q]``, for ``draws`` ``[D, G]``.

        The quantile is that of the draw. NaN where no trial of the draw lies above it.
        """
        q = np.asarray(quantiles, float)
        # Where each trial's ties end: a threshold on a whole number has all of them below it.
        end = np.searchsorted(self.x, self.x, side="right") - 1
        middle = self.y.mean() if len(self.y) else 0.0
        y = self.y - middle
        out = np.empty((len(draws), len(q)))
        rows = max(1, _CHUNK // max(1, len(self.x)))
        for start in range(0, len(draws), rows):
            weights = np.take(draws[start : start + rows], self.cluster, axis=1)
            count = np.cumsum(weights, axis=1)
            weights *= y
            total = np.cumsum(weights, axis=1, out=weights)
            n, s = count[:, -1:], total[:, -1:]
            place = _lower(q * (n - 1))
            at = np.stack(
                [end[np.searchsorted(c, k, side="right")] for c, k in zip(count, place, strict=True)]
            )
            below_n, below_s = np.take_along_axis(count, at, axis=1), np.take_along_axis(total, at, axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[start : start + rows] = (s - below_s) / (n - below_n) - below_s / below_n
        return out


def _lower(place: Floats) -> Floats:
    return np.floor(place + _ROUNDING)
