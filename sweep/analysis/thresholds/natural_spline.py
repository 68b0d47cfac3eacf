"""A smooth curve through a measure and an outcome: a cubic between its knots, straight beyond them.

The basis is the restricted cubic spline of Harrell (2015, Regression Modeling Strategies, section 2.4.5), whose first
column is the measure itself: that the curve is a straight line is that the other coefficients are zero. It spans the
same curves as patsy's ``cr``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats

KNOT_QUANTILES: Final[Mapping[int, tuple[float, ...]]] = {
    3: (0.10, 0.50, 0.90),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.50, 0.725, 0.95),
}
"""Where the knots lie, by their number (Harrell 2015, table 2.3)."""


@dataclass(frozen=True)
class NaturalSpline:
    """Places of the ``knots``, ascending and distinct; with fewer than three it is a straight line."""

    knots: tuple[float, ...]

    @classmethod
    def through(cls, x: Floats, knots: int) -> "NaturalSpline":
        """Of ``x`` ``[T]``, with at most ``knots`` (3, 4 or 5): fewer where the measure takes few values."""
        for count in range(knots, 2, -1):
            places = np.unique(np.quantile(x, KNOT_QUANTILES[count]))
            if len(places) == count and len(np.unique(x)) >= count:
                return cls(tuple(map(float, places)))
        return cls(())

    @property
    def columns(self) -> int:
        """Of the basis: 1 for the line, and one less than there are knots for a curve."""
        return max(1, len(self.knots) - 1)

    def basis(self, x: npt.ArrayLike) -> Floats:
        """``[N, columns]`` at the points ``x`` ``[N]``; the first is x, the others are what bends it."""
        at = np.asarray(x, float)
        if len(self.knots) < 3:
            return at[:, None]
        t = np.array(self.knots)

        def cubed(knot: float) -> Floats:
            return np.maximum(at - knot, 0.0) ** 3

        last, before = t[-1], t[-2]
        bends = [
            cubed(knot)
            - cubed(before) * (last - knot) / (last - before)
            + cubed(last) * (before - knot) / (last - before)
            for knot in t[:-2]
        ]
        # In units of x, whatever those are.
        return np.column_stack([at, *(bend / (last - t[0]) ** 2 for bend in bends)])
