"""Least squares whose errors come in clusters: a configuration's seeds share what the model leaves out.

Standard errors are the bias-reduced sandwich of Bell and McCaffrey (2002, Survey Methodology 28:169), CRV2 or
HC2 where each trial is a cluster, with their Satterthwaite degrees of freedom. In a balanced two-level design
of one seed that is the classical t exactly; CRV3 with t(clusters - 1), the jackknife, is too wide there
(`docs/how-to/analysis/interventions.md` has both simulated). Both are here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.intervals import NO_INTERVAL, Interval

# Of a unit: a leverage nearer to 1 than this leaves nothing to estimate an error from.
_NOTHING = 1e-9


def rank(x: Floats) -> int:
    """How many columns of ``x`` ``[T, P]`` are linearly independent: those of its triangle, which is small."""
    triangle = np.linalg.qr(x, mode="r")
    return int(np.linalg.matrix_rank(triangle, rtol=max(x.shape) * np.finfo(np.float64).eps))


@dataclass(frozen=True)
class Contrast:
    """A linear combination of coefficients, as what it takes of the outcome.

    ``weights`` ``[T]``: the estimate is their product with the outcome. ``adjusted`` ``[T]``: its product with the
    residuals, summed within a cluster and squared, is the variance. ``freedom``: of Student's t; NaN where the
    residuals say nothing.
    """

    weights: Floats
    adjusted: Floats
    freedom: float


@dataclass(frozen=True)
class LeastSquares:
    """A design ``x`` ``[T, P]`` and the ``cluster`` ``[T]`` int64 from 0 of each trial.

    Columns may be linearly dependent; then only combinations that are `estimable` have a meaning.
    """

    x: Floats
    cluster: npt.NDArray[np.int64]

    @property
    def clusters(self) -> int:
        """Number of clusters, G."""
        return int(self.cluster.max()) + 1

    @cached_property
    def bread(self) -> Floats:
        """``(X'X)^-1``, or the generalised inverse, ``[P, P]``."""
        return np.asarray(np.linalg.pinv(self._gram, hermitian=True), dtype=np.float64)

    def estimable(self, combination: Floats) -> bool:
        """Whether the design tells this ``combination`` ``[P]`` of coefficients from all others."""
        within = combination @ self.bread @ self._gram
        return bool(
            np.linalg.norm(within - combination) < 1e-6 * max(float(np.linalg.norm(combination)), 1e-300)
        )

    def coefficients(self, y: Floats) -> Floats:
        """Of outcomes ``y`` ``[..., T]``, ``[..., P]``."""
        found: Floats = y @ self.x @ self.bread
        return found

    def contrast(self, combination: Floats, *, power: float = 0.5) -> Contrast:
        """``combination`` ``[P]`` of the coefficients.

        ``power`` 0.5 is CRV2 (Bell and McCaffrey's freedom), 1 is CRV3 (clusters - 1), 0 is CRV0 (clusters - 1).
        """
        weights = self.x @ (self.bread @ combination)
        adjusted = self._adjust(weights, power)
        if power != 0.5:
            scale = np.sqrt((self.clusters - 1) / self.clusters) if power == 1 else 1.0
            return Contrast(weights, scale * adjusted, float(self.clusters - 1))
        return Contrast(weights, adjusted, self._freedom(adjusted))

    def variance(self, contrast: Contrast, y: Floats) -> Floats:
        """Sandwich variance of a contrast for each outcome of ``y`` ``[..., T]``, ``[...]``."""
        residual = y - self.coefficients(y) @ self.x.T
        pieces = residual * contrast.adjusted
        order, starts = self._order
        sums: Floats = np.add.reduceat(pieces[..., order], starts, axis=-1)
        total: Floats = (sums**2).sum(axis=-1)
        return total

    def interval(self, contrast: Contrast, y: Floats, confidence: float) -> tuple[float, Interval]:
        """Estimate of a contrast from ``y`` ``[T]``, with bounds and two-sided p; none where nothing varies."""
        estimate, variance = float(contrast.weights @ y), float(self.variance(contrast, y))
        # Of a perfect fit rounding remains, which is not an error.
        if not variance > 1e-24 * max(float(y @ y), 1e-300) or not contrast.freedom > 0:
            return estimate, NO_INTERVAL
        error = float(np.sqrt(variance))
        reach = float(stats.t.ppf((1 + confidence) / 2, contrast.freedom)) * error
        p = 2 * float(stats.t.sf(abs(estimate) / error, contrast.freedom))
        return estimate, Interval(estimate - reach, estimate + reach, p)

    @cached_property
    def _gram(self) -> Floats:
        return self.x.T @ self.x

    @cached_property
    def _order(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        order = np.argsort(self.cluster, kind="stable")
        ordered = self.cluster[order]
        return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    @cached_property
    def _spectra(self) -> list[tuple[npt.NDArray[np.intp], Floats, Floats]]:
        """Clusters of one size together: trials ``[C, n]``, and eigenvalues and vectors of 1 - their leverage."""
        order, starts = self._order
        sizes = np.diff(np.r_[starts, len(order)])
        found = []
        for size in np.unique(sizes):
            members = order[starts[sizes == size][:, None] + np.arange(size)]
            x = self.x[members]
            values, vectors = np.linalg.eigh(np.eye(size) - x @ self.bread @ np.swapaxes(x, 1, 2))
            found.append((members, values, vectors))
        return found

    def _adjust(self, weights: Floats, power: float) -> Floats:
        """``(1 - H_gg)^-power`` times the weights of each cluster."""
        adjusted = np.zeros_like(weights)
        for members, values, vectors in self._spectra:
            # What a cluster alone decides has no residual: left out, as in a generalised inverse.
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = np.where(values > _NOTHING, np.abs(values) ** -power, 0.0)
            along = np.einsum("cij,ci->cj", vectors, weights[members])
            adjusted[members] = np.einsum("cij,cj->ci", vectors, factor * along)
        return adjusted

    def _freedom(self, adjusted: Floats) -> float:
        """``(tr M)^2 / tr M^2`` of the quadratic form M that the variance is, errors being equal and independent."""
        order, starts = self._order
        own = np.add.reduceat(adjusted[order] ** 2, starts)
        loadings = np.add.reduceat((adjusted[:, None] * self.x)[order], starts, axis=0)
        shared = loadings.T @ loadings @ self.bread
        each = (loadings @ self.bread * loadings).sum(axis=1)
        trace = float(own.sum() - each.sum())
        squares = float((own**2).sum() - 2 * (own * each).sum() + np.trace(shared @ shared))
        return trace**2 / squares if squares > _NOTHING * float((own**2).sum()) else float("nan")
