"""The slope of an outcome on a measure among trials that are alike in every hyperparameter, as far as a model can say.

Associational. It is an effect only if nothing else moves both measure and outcome, which no column can show.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sweep.analysis.confounding.clustered_slope import Slope, independent
from sweep.analysis.confounding.covariates import Covariates
from sweep.analysis.confounding.sensitivity import Confounder, Fit
from sweep.analysis.confounding.within_groups import Points

FEWEST_FREEDOM: Final = 2.0
"""Degrees of freedom (Satterthwaite's) below which an adjusted slope is refused: its interval could not be trusted."""


@dataclass(frozen=True)
class Adjusted:
    """The slope beside hyperparameters, or the ``refusal``; ``words`` on what it is adjusted for."""

    slope: Slope | None
    words: str
    refusal: str | None = None


def adjusted(points: Points, given: Covariates, *, interactions: bool = False) -> Adjusted:
    """Least squares of y on x beside all hyperparameters, their two-factor ``interactions``, and the seeds as a block.

    Refused: no hyperparameter varies; interactions would take a coefficient for more than half of the configurations;
    the hyperparameters leave nothing of the measure; fewer than 2 degrees of freedom are left.
    """
    if not given.blocks:
        return Adjusted(None, "", "refused: no hyperparameter varies")
    others = given.with_interactions() if interactions else given.main()
    if isinstance(others, str):
        return Adjusted(None, "", others)
    slope = Slope.of(points.y, points.x, others, points.cluster)
    if slope is None:
        return Adjusted(None, "", "refused: the hyperparameters decide the measure; nothing of it is left")
    words = ", ".join(f"{name} ({how})" for name, how in given.words.items())
    words += " and their two-factor interactions" if interactions else ""
    words += f"; seeds as a block ({given.seeds.shape[1] + 1})" if given.seeds.shape[1] else ""
    words += f": {slope.regressors - 1} coefficients beside the measure's, {points.clusters} configurations"
    freedom = slope.contrast.freedom
    if not freedom >= FEWEST_FREEDOM:
        left = f"{freedom:.1f}" if np.isfinite(freedom) else "no"
        return Adjusted(
            None, words, f"refused: {left} degrees of freedom are left beside the hyperparameters ({words})"
        )
    return Adjusted(slope, words)


def fit_of(slope: Slope) -> Fit:
    """The slope as the sensitivity analysis wants it: classical, with what the clusters make of its error."""
    return Fit(
        slope.estimate,
        slope.classical_error,
        len(slope.y) - slope.regressors,
        float(np.sqrt(slope.variance)) / slope.classical_error,
        slope.contrast.freedom,
    )


def strength(points: Points, given: Covariates, name: str) -> Confounder:
    """What hyperparameter ``name`` explains of the measure beside the others, and of the outcome beside the measure.

    Partial R2 of all its columns together: what a hidden confounder may be compared with.
    """
    without, whole = independent(given.main(without=name)), independent(given.main())
    measure = _share(points.x, without, whole)
    beside = [np.column_stack([points.x, columns]) for columns in (without, whole)]
    outcome = _share(points.y, *(independent(columns) for columns in beside))
    return Confounder(measure, outcome)


def _share(values: np.ndarray, fewer: np.ndarray, more: np.ndarray) -> float:
    """Of what ``fewer`` orthonormal columns leave of the values, the share that ``more`` explain."""
    before, after = (float(((values - q @ (q.T @ values)) ** 2).sum()) for q in (fewer, more))
    # Of what explains nothing, rounding may leave less than nothing.
    return min(max((before - after) / before, 0.0), 1.0) if before > 0 else 0.0
