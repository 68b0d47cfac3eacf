"""The smallest effect of interest, declared beforehand: what a slope must be shown to be less than to be nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from sweep.analysis.confounding.clustered_slope import Slope
from sweep.analysis.frames import AnalysisError
from sweep.analysis.table import Option
from sweep.analysis.thresholds.equivalence import UNITS, tost


@dataclass(frozen=True)
class Sesoi:
    """``value`` per standard deviation of the measure, in units of the outcome or in its standard deviations."""

    value: float
    in_deviations: bool

    @classmethod
    def of(cls, value: float | None, unit: str) -> "Sesoi | None":
        """None where none is declared. Raises `AnalysisError` for a value that is not positive and an unknown unit."""
        if unit not in UNITS:
            raise AnalysisError(
                f"unit={unit}: must be outcome (the outcome's own units) or sd (its standard deviations)."
            )
        if value is None:
            return None
        if not value > 0 or not np.isfinite(value):
            raise AnalysisError(
                f"sesoi={value}: must be above 0, such as 0.1 with unit=sd; leave it out to declare none."
            )
        return cls(value, unit == "sd")

    def bound(self, deviation: float, own_units: bool) -> float:
        """In units of an outcome whose standard deviation is ``deviation``.

        NaN where it was declared in units of the outcome and the outcome is not in its own (``own_units``), as that of
        several environments together.
        """
        if self.in_deviations:
            return self.value * deviation
        return self.value if own_units else float("nan")


def negligible(slope: Slope | None, bound: float, confidence: float) -> bool:
    """Whether two one-sided tests at 1 - ``confidence`` both place the slope within ``bound`` of zero (`equivalence`).

    ``bound`` is in units of the slope; NaN, none declared, shows nothing.
    """
    if slope is None or not bound > 0 or not confidence > 0.5:
        return False
    if not slope.variance > 0 or not slope.contrast.freedom > 0:
        return False
    p = tost(slope.estimate, float(np.sqrt(slope.variance)), slope.contrast.freedom, bound)
    return p < 1 - confidence


SESOI: Final[Mapping[str, Option]] = {
    "sesoi": Option("number", "The smallest effect of interest, per standard deviation of the measure."),
    "unit": Option(
        "text", "Of sesoi: outcome, or sd for standard deviations of the outcome [default: outcome]."
    ),
}
