"""How sure a difference between the two sides of a threshold is, configurations being the unit of replication.

The interval is the difference's bootstrap standard error, times sqrt(G / (G - 1)) for G configurations, times
Student's t with the degrees of freedom of Welch and Satterthwaite over the configurations of each side: above the 0.95
quantile of 60 configurations there are three, and G - 1 degrees of freedom would cover 90 % where 95 % is claimed.
`docs/how-to/analysis/thresholds.md` has the simulated coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError
from sweep.analysis.intervals import NO_INTERVAL, UNDEFINED_SHARE, Interval
from sweep.analysis.samples import FEW_CONFIGURATIONS
from sweep.analysis.thresholds.split import Split

MINIMUM_SIDE: Final = 3
"""Fewest configurations on either side of a threshold that give a number."""


@dataclass(frozen=True)
class SideContrast:
    """Mean outcome above a quantile less that at or below it, and how sure it is."""

    quantile: float
    threshold: float
    """The quantile's value, in units of the measure."""
    trials: tuple[int, int]
    """Above, and at or below."""
    configurations: tuple[int, int]
    """Above, and at or below; one whose seeds fall on both sides counts on both."""
    estimate: float
    error: float
    """Standard error over configurations; NaN where the draws cannot say."""
    freedom: float
    """Degrees of freedom of Student's t; NaN where there are none."""
    undefined: float
    """Share of draws in which nothing lies above the quantile."""

    @property
    def exists(self) -> bool:
        """Whether there is a standard error to go with the estimate."""
        return bool(self.error > 0 and self.freedom > 0)

    def interval(self, confidence: float) -> Interval:
        """Bounds and two-sided p."""
        if not self.exists:
            return NO_INTERVAL
        reach = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.error
        p = 2 * float(stats.t.sf(abs(self.estimate) / self.error, self.freedom))
        return Interval(self.estimate - reach, self.estimate + reach, p)


def contrasts(split: Split, quantiles: npt.ArrayLike, drawn: Floats) -> list[SideContrast]:
    """The contrast at each of ``quantiles`` ``[Q]``, with standard errors from the draws ``[D, G]``."""
    q = np.asarray(quantiles, float)
    whole = split.differences(q, np.ones((1, split.clusters)))[0]
    draws = split.differences(q, drawn)
    return [_contrast(split, float(q[i]), float(whole[i]), draws[:, i]) for i in range(len(q))]


def refusal(contrast: SideContrast, measure: str, outcome: str, min_side: int) -> str | None:
    """Why a contrast gives no number, or None."""
    above, below = contrast.configurations
    at = f"the {contrast.quantile:g} quantile of {measure} ({contrast.threshold:.6g})"
    if min(above, below) < min_side:
        return (
            f"refused: configurations above {at}: {above}, at or below it: {below}; each side needs at least "
            f"{min_side} ({contrast.trials[0]} and {contrast.trials[1]} trials)"
        )
    if contrast.undefined > UNDEFINED_SHARE:
        return (
            f"refused: {contrast.undefined:.0%} of the draws have nothing above {at}, with which too many trials tie "
            f"({contrast.trials[0]} and {contrast.trials[1]} trials above and at or below it)"
        )
    if not contrast.exists:
        return f"refused: no spread of {outcome} on either side of {at} ({above} and {below} configurations)"
    return None


def few(contrast: SideContrast) -> str | None:
    """How far to trust a contrast of few configurations, or None."""
    if contrast.freedom >= FEW_CONFIGURATIONS - 1:
        return None
    above, below = contrast.configurations
    return (
        f"few configurations ({above} above, {below} at or below): Student's t with {contrast.freedom:.1f} degrees of "
        "freedom"
    )


def check_sides(quantiles: Sequence[float], min_side: int) -> None:
    """Raise `AnalysisError` for a quantile outside (0, 1) and a side that could not have a spread."""
    for quantile in quantiles:
        if not 0 < quantile < 1:
            raise AnalysisError(f"quantiles={quantile}: must lie between 0 and 1, such as 0.25,0.5,0.75.")
    if min_side < 2:
        raise AnalysisError(
            f"min_side={min_side}: must be at least 2, since one configuration has no spread; the default is "
            f"{MINIMUM_SIDE}."
        )


def _contrast(split: Split, quantile: float, estimate: float, drawn: Floats) -> SideContrast:
    sides = split.above(quantile), ~split.above(quantile)
    counts = [int(np.unique(split.cluster[side]).size) for side in sides]
    there = drawn[np.isfinite(drawn)]
    undefined = 1 - len(there) / len(drawn)
    error = freedom = np.nan
    if min(counts) > 1 and undefined <= UNDEFINED_SHARE:
        error = float(there.std(ddof=1)) * float(np.sqrt(split.clusters / (split.clusters - 1)))
        # Of equal outcomes rounding remains, which is not an error.
        if not error > 1e-12 * float(np.abs(split.y).max()):
            error = np.nan
        freedom = _freedom([_variance(split, side) for side in sides], counts)
    return SideContrast(
        quantile,
        split.threshold(quantile),
        (int(sides[0].sum()), int(sides[1].sum())),
        (counts[0], counts[1]),
        estimate,
        error,
        freedom,
        undefined,
    )


def _variance(split: Split, side: npt.NDArray[np.bool_]) -> float:
    """Of the mean outcome of a side, its configurations being independent."""
    left = split.y[side] - split.y[side].mean()
    sums = np.bincount(split.cluster[side], left, minlength=split.clusters)
    return float(sums @ sums) / float(side.sum()) ** 2


def _freedom(variances: list[float], counts: list[int]) -> float:
    below = sum(v**2 / (g - 1) for v, g in zip(variances, counts, strict=True))
    return sum(variances) ** 2 / below if below > 0 else np.nan
