"""The outcome along a measure: a straight line, a smooth curve with its band, and whether the curve bends.

Both are least squares with errors clustered by configuration (`least_squares`: CRV2, Satterthwaite's degrees of
freedom).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.intervals import Interval
from sweep.analysis.interventions.least_squares import LeastSquares
from sweep.analysis.thresholds.natural_spline import NaturalSpline


@dataclass(frozen=True)
class ResponseCurve:
    """Outcome ``y`` ``[T]`` of trials along a measure ``x`` ``[T]``, which must vary."""

    x: Floats
    y: Floats
    spline: NaturalSpline
    """In units of standard deviations of x from its mean."""
    line: LeastSquares
    curve: LeastSquares

    @classmethod
    def of(
        cls, x: npt.ArrayLike, y: npt.ArrayLike, cluster: npt.ArrayLike, knots: int = 4
    ) -> "ResponseCurve":
        """With at most ``knots``: fewer where x takes few values, and two configurations or more a coefficient."""
        measure, outcome = np.asarray(x, float), np.asarray(y, float)
        codes = np.unique(np.asarray(cluster), return_inverse=True)[1].astype(np.int64)
        clusters = int(codes.max()) + 1
        z = (measure - measure.mean()) / measure.std()
        affordable = min(knots, clusters // 2)
        spline = NaturalSpline.through(z, affordable) if affordable > 2 else NaturalSpline(())
        one = np.ones((len(z), 1))
        return cls(
            measure,
            outcome,
            spline,
            LeastSquares(np.hstack([one, z[:, None]]), codes),
            LeastSquares(np.hstack([one, spline.basis(z)]), codes),
        )

    @property
    def knots(self) -> int:
        """Of the curve; 0 where it is the line."""
        return len(self.spline.knots)

    def slope(self, confidence: float) -> tuple[float, Interval, float]:
        """Of the line, in units of y per unit of x, with bounds and two-sided p, and its degrees of freedom."""
        contrast = self.line.contrast(np.array([0.0, 1.0]))
        estimate, bounds = self.line.interval(contrast, self.y, confidence)
        spread = float(self.x.std())
        return (
            estimate / spread,
            Interval(bounds.low / spread, bounds.high / spread, bounds.p),
            contrast.freedom,
        )

    def per_deviation(self) -> tuple[float, float, float]:
        """The line's slope per standard deviation of x: estimate, standard error and degrees of freedom."""
        contrast = self.line.contrast(np.array([0.0, 1.0]))
        variance = float(self.line.variance(contrast, self.y))
        return float(contrast.weights @ self.y), float(np.sqrt(variance)), contrast.freedom

    def refusal(self, measure: str, outcome: str) -> str | None:
        """Why there is no slope with an error, or None."""
        if self.slope(0.95)[1].exists:
            return None
        return (
            f"refused: {measure} varies in so few of {self.line.clusters} configurations, or {outcome} lies so near a "
            "line, that nothing says how sure the slope is"
        )

    def straight(self, at: npt.ArrayLike) -> Floats:
        """The line at points ``at`` ``[N]`` of the measure."""
        return np.asarray(self._rows(at, NaturalSpline(())) @ self.line.coefficients(self.y))

    def band(self, at: npt.ArrayLike, confidence: float) -> list[tuple[float, Interval]]:
        """The curve at each point of ``at`` ``[N]``, with bounds that hold there by themselves."""
        rows = self._rows(at, self.spline)
        return [self.curve.interval(self.curve.contrast(row), self.y, confidence) for row in rows]

    def bend_p(self) -> float:
        """p of a straight line against the curve; NaN where the curve is the line.

        A Wald test of all coefficients but the line's, referred to Hotelling's T² with the smallest of their degrees of
        freedom. Simulated under straight lines (8 to 200 configurations of 1 to 4 seeds; normal, t3; measures normal,
        whole and lognormal), it rejects 2-6 % at 5 %, where an F with clusters - 1 rejects 5-10 %.
        """
        bends = range(2, self.curve.x.shape[1])
        if not bends:
            return float("nan")
        contrasts = [self.curve.contrast(np.eye(self.curve.x.shape[1])[k]) for k in bends]
        estimates = np.array([contrast.weights @ self.y for contrast in contrasts])
        residual = self.y - self.curve.x @ self.curve.coefficients(self.y)
        pieces = np.stack(
            [
                np.bincount(self.curve.cluster, contrast.adjusted * residual, minlength=self.curve.clusters)
                for contrast in contrasts
            ],
            axis=1,
        )
        covariance = pieces.T @ pieces
        freedom, size = min(contrast.freedom for contrast in contrasts), len(estimates)
        if not freedom - size + 1 > 0 or not self._varies(residual) or np.linalg.cond(covariance) > 1e12:
            return float("nan")
        t2 = float(estimates @ np.linalg.solve(covariance, estimates))
        return float(stats.f.sf(t2 * (freedom - size + 1) / (freedom * size), size, freedom - size + 1))

    def explained(self, model: LeastSquares) -> float:
        """Share of the outcome's variance between trials that ``model`` (`line` or `curve`) accounts for."""
        residual = self.y - model.x @ model.coefficients(self.y)
        centred = self.y - self.y.mean()
        return 1 - float(residual @ residual) / float(centred @ centred)

    def _rows(self, at: npt.ArrayLike, spline: NaturalSpline) -> Floats:
        z = (np.asarray(at, float) - self.x.mean()) / self.x.std()
        return np.hstack([np.ones((len(z), 1)), spline.basis(z)])

    def _varies(self, residual: Floats) -> bool:
        return bool(np.abs(residual).max() > 1e-12 * np.abs(self.y).max())
