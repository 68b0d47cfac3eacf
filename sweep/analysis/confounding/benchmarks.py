"""What would be left of an adjusted association if something unseen were as strong as a hyperparameter that is seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq

from sweep.analysis.confounding.adjusted import fit_of, strength
from sweep.analysis.confounding.clustered_slope import Slope
from sweep.analysis.confounding.covariates import Covariates
from sweep.analysis.confounding.sensitivity import Confounder, Fit, adjusted, as_strong_as
from sweep.analysis.confounding.within_groups import Points

TIMES: Final = (1.0, 2.0, 3.0)
_MOST_TIMES: Final = 1000.0


@dataclass(frozen=True)
class Left:
    """What a confounder ``times`` as strong as the benchmark leaves; ``note`` and NaN where nothing can be said."""

    times: float
    confounder: Confounder | None
    estimate: float
    low: float
    high: float
    note: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """Hyperparameter ``name``: what is ``left`` at each multiple of its strength, and how many times take all.

    ``times_to_zero`` takes the estimate to zero, ``times_to_bound`` the nearer bound of its interval (0 where the
    interval holds zero already); infinite where a thousand times do not.
    """

    name: str
    seen: Confounder
    left: tuple[Left, ...]
    times_to_zero: float
    times_to_bound: float


def benchmarks(
    points: Points, given: Covariates, slope: Slope, confidence: float, times: Sequence[float] = TIMES
) -> list[Benchmark]:
    """One for every hyperparameter, in the units of ``slope``, which is adjusted for all of ``given``."""
    fit = fit_of(slope)
    found = []
    for name in given.blocks:
        seen = strength(points, given, name)
        left = tuple(_left(fit, seen, multiple, confidence) for multiple in times)
        to_zero, to_bound = (_times(fit, seen, confidence, bound) for bound in (False, True))
        found.append(Benchmark(name, seen, left, to_zero, to_bound))
    return found


def strongest(found: Sequence[Benchmark]) -> Benchmark | None:
    """The one that need be the fewest times as strong; None where a thousand times of none would do."""
    able = [benchmark for benchmark in found if np.isfinite(benchmark.times_to_zero)]
    return min(able, key=lambda benchmark: benchmark.times_to_zero) if able else None


def _left(fit: Fit, seen: Confounder, times: float, confidence: float) -> Left:
    bound = as_strong_as(seen, times)
    if bound is None:
        note = "refused: nothing can be so strong, it would explain all of the measure"
        return Left(times, None, np.nan, np.nan, np.nan, note)
    estimate, low, high = adjusted(fit, bound, confidence)
    if bound.outcome == 1:
        note = f"refused: so strong, it could explain all of the outcome; the estimate could be down to {estimate:.3g}"
        return Left(times, bound, np.nan, np.nan, np.nan, note)
    return Left(times, bound, estimate, low, high)


def _times(fit: Fit, seen: Confounder, confidence: float, bound: bool) -> float:
    sign = np.sign(fit.estimate)

    def left(times: float) -> float:
        confounder = as_strong_as(seen, times)
        if confounder is None:
            return -abs(fit.estimate)
        estimate, low, high = adjusted(fit, confounder, confidence)
        return float(sign * (estimate if not bound else low if sign > 0 else high))

    if left(0.0) <= 0:
        return 0.0
    upper = 1.0
    while left(upper) > 0:
        upper *= 2
        if upper > _MOST_TIMES:
            return float("inf")
    return float(brentq(left, 0.0, upper, xtol=1e-6))
