"""Linear chains treatment -> mediators in order -> outcome: every path and its product, for thousands of draws at once.

Each variable is regressed on all before it in the chain and on covariates. Indirect effects are products of
coefficients along a path (Baron and Kenny 1986; Hayes, Introduction to Mediation, chapter 6, for serial mediators);
direct and indirect effects sum to the total one exactly.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats

# Of a correlation matrix: a smallest eigenvalue below this is a chain of which one variable follows from others.
_SINGULAR = 1e-9


@dataclass(frozen=True)
class Chain:
    """Sums over the trials of each cluster, from which any draw of clusters is fitted without its trials."""

    sums: Floats
    """``[G, Q * Q]`` products of the columns: intercept and covariates, then treatment, mediators, outcome."""
    covariates: int
    """How many columns stand before the treatment, the intercept among them."""
    variables: int
    """Treatment, mediators and outcome."""

    @classmethod
    def of(cls, covariates: Floats, variables: Floats, cluster: npt.NDArray[np.int64]) -> "Chain":
        """From ``covariates`` ``[T, C]`` (without an intercept), ``variables`` ``[T, V]`` in the order of the chain."""
        # Shifts and scales fall out of every coefficient; without them the sums lose digits.
        centred = np.column_stack([covariates - covariates.mean(axis=0), variables - variables.mean(axis=0)])
        z = np.column_stack([np.ones(len(variables)), centred])
        products = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
        order = np.argsort(cluster, kind="stable")
        ordered = cluster[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sums = np.add.reduceat(products[order], starts, axis=0)
        return cls(sums, 1 + covariates.shape[1], variables.shape[1])

    def scatter(self, weights: Floats) -> tuple[Floats, Floats]:
        """Sums of squares and products ``[D, V, V]`` of what the covariates leave of the variables, and of the whole.

        ``weights`` ``[D, G]`` say how often each cluster is in a draw.
        """
        size = self.covariates + self.variables
        total = (weights @ self.sums).reshape(len(weights), size, size)
        c = self.covariates
        first = total[:, :1, c:] / total[:, :1, :1]
        whole = total[:, c:, c:] - np.swapaxes(total[:, :1, c:], 1, 2) * first
        # A draw may miss a level of a covariate, which leaves a column of zeros.
        removed = np.linalg.pinv(total[:, :c, :c], hermitian=True) @ total[:, :c, c:]
        return total[:, c:, c:] - np.swapaxes(total[:, :c, c:], 1, 2) @ removed, whole


@dataclass(frozen=True)
class Paths:
    """Coefficients of each draw: ``slopes[d, i, j]``, of variable j on variable i given all others before j."""

    slopes: Floats
    """``[D, V, V]``, NaN where a draw cannot tell the variables apart."""
    total: Floats
    """``[D]`` effect of the treatment on the outcome, mediators left out."""
    scales: Floats
    """``[D, V]`` standard deviations of the variables."""

    @property
    def last(self) -> int:
        """Position of the outcome."""
        return int(self.slopes.shape[1]) - 1

    def along(self, path: tuple[int, ...]) -> Floats:
        """Product of the coefficients along ``path``, such as (0, 1, 3), ``[D]``."""
        steps = [self.slopes[:, i, j] for i, j in itertools.pairwise(path)]
        return np.asarray(np.prod(steps, axis=0))

    def indirect(self) -> list[tuple[int, ...]]:
        """Every path from treatment to outcome through one mediator or more, the shortest first."""
        between = range(1, self.last)
        return [
            (0, *middle, self.last)
            for length in range(1, self.last)
            for middle in itertools.combinations(between, length)
        ]

    def standardised(self, values: Floats, start: int, end: int) -> Floats:
        """An effect of variable ``start`` on ``end`` in standard deviations of both."""
        # A draw in which an end does not vary has no such effect; intervals leave it out.
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(values * self.scales[:, start] / self.scales[:, end])


def fit(chain: Chain, weights: Floats) -> Paths:
    """All paths of the chain, for each row of ``weights`` ``[D, G]``."""
    scatter, whole = chain.scatter(weights)
    size, draws = chain.variables, len(weights)
    spread = np.diagonal(scatter, axis1=1, axis2=2)
    around = np.maximum(np.diagonal(whole, axis1=1, axis2=2), 0.0)
    varies = spread > _SINGULAR * around
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, spread, 1.0)), np.nan)
    correlation = scatter * scale[:, :, None] * scale[:, None, :]
    fine = np.asarray(varies.all(axis=1))
    # The outcome may follow from what is before it: it is predicted, and predicts nothing.
    fine[fine] = np.linalg.eigvalsh(correlation[fine][:, :-1, :-1])[:, 0] > _SINGULAR
    slopes, total = np.full((draws, size, size), np.nan), np.full(draws, np.nan)
    for j in range(1, size):
        found = np.linalg.solve(scatter[fine][:, :j, :j], scatter[fine][:, :j, j, None])[..., 0]
        slopes[np.flatnonzero(fine)[:, None], np.arange(j), j] = found
    total[fine] = scatter[fine, 0, -1] / scatter[fine, 0, 0]
    trials = weights @ chain.sums[:, :1]
    return Paths(slopes, total, np.sqrt(around / trials))
