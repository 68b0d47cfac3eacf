"""Every way of estimating one association that an audit sets side by side, for one sample."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from sweep.analysis.confounding.adjusted import Adjusted, adjusted, fit_of
from sweep.analysis.confounding.benchmarks import benchmarks, strongest
from sweep.analysis.confounding.clustered_slope import Slope, difference, independent
from sweep.analysis.confounding.covariates import Covariates, covariates
from sweep.analysis.confounding.grouping import Grouping, groupings
from sweep.analysis.confounding.rank_association import RankCorrelation, spearman
from sweep.analysis.confounding.sensitivity import partial_r2, robustness_value
from sweep.analysis.confounding.within_groups import OWN_UNITS, Points, points_of
from sweep.analysis.intervals import Interval
from sweep.analysis.samples import TOGETHER, Sample
from sweep.analysis.thresholds.sesoi import Sesoi, negligible

NAIVE: Final = "trials as independent"
POOLED: Final = "pooled"
ENVIRONMENT: Final = "within environment"
STRATIFIED: Final = "stratified"
ADJUSTED: Final = "adjusted"
INTERACTIONS: Final = "adjusted with interactions"
DOUBLY_ROBUST: Final = "doubly robust"
MEDIAN: Final = "above the median"
RANKS: Final = "rank correlation"
PARTIAL_RANKS: Final = "partial rank correlation"
FACTOR: Final = "two-level factor"
HIDDEN: Final = "hidden confounder"
APPROACHES: Final = (
    *(NAIVE, POOLED, ENVIRONMENT, STRATIFIED, ADJUSTED, INTERACTIONS, DOUBLY_ROBUST, MEDIAN, RANKS),
    *(PARTIAL_RANKS, FACTOR, HIDDEN),
)
FAMILY: Final = (
    *(POOLED, ENVIRONMENT, STRATIFIED, ADJUSTED, INTERACTIONS, DOUBLY_ROBUST, MEDIAN, RANKS, PARTIAL_RANKS),
)
"""The questions that Holm's correction is over: the association by every approach that means its interval."""

_PER_SD: Final = "outcome per standard deviation of the measure"

Row = dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """One sample's trials, with the outcome in standard deviations (`points`), and how many of its units that is."""

    sample: Sample
    measure: str
    outcome: str
    points: Points
    outcome_sd: float
    confidence: float
    bound: float
    """The smallest effect of interest, in standard deviations of the outcome; NaN where none is declared."""
    draws: int
    rng: np.random.Generator

    @classmethod
    def of(
        cls,
        sample: Sample,
        measure: str,
        outcome: str,
        confidence: float,
        sesoi: Sesoi | None,
        draws: int,
        seed: int,
    ) -> "Audit | str":
        """Or why the trials are refused."""
        points = points_of(sample, measure, outcome)[0]
        if isinstance(points, str):
            return points
        sd = float(points.y.std(ddof=1))
        scaled = replace(points, y=points.y / sd)
        bound = np.nan if sesoi is None else sesoi.bound(sd, points.scale == OWN_UNITS) / sd
        return cls(sample, measure, outcome, scaled, sd, confidence, bound, draws, sample.stream(seed))

    @property
    def together(self) -> bool:
        """Whether several environments are in it."""
        return self.sample.key["env"] == TOGETHER

    @cached_property
    def mixed(self) -> Points | None:
        """Of several environments: their trials as they stand, in standard deviations over all of them."""
        raw = points_of(self.sample, self.measure, self.outcome, own_units=True)[0]
        return None if isinstance(raw, str) else replace(raw, y=raw.y / float(raw.y.std(ddof=1)))

    @cached_property
    def groupings(self) -> list[Grouping]:
        """The groups of each hyperparameter that varies."""
        return groupings(self.points.frame)

    @cached_property
    def given(self) -> Covariates:
        """All hyperparameters that vary."""
        return covariates(self.points.frame, self.groupings)

    @cached_property
    def beside_all(self) -> Adjusted:
        """Adjusted for their main effects."""
        return adjusted(self.points, self.given)

    @cached_property
    def base(self) -> Slope | None:
        """What other approaches are compared with: pooled, within the environment."""
        return self.points.pooled

    def slopes(self) -> Iterator[Row]:
        """The approaches that are slopes: from `NAIVE` to `INTERACTIONS`."""
        yield from self._pooled()
        for grouping in self.groupings:
            if grouping.name != "env":
                row = self._slope(self.points.within(grouping), STRATIFIED, grouping.name, compared=True)
                row["estimand"] = f"{_PER_SD}, among trials of one {grouping.name}"
                if not self._exists(row):
                    row["note"] = (
                        f"refused: within the {len(grouping.labels)} groups nothing is left to compare"
                    )
                elif grouping.bins:
                    row["note"] = f"in {grouping.bins} bins of about as many configurations"
                yield row
        for approach, found in ((ADJUSTED, self.beside_all), (INTERACTIONS, self._crossed)):
            row = self._slope(found.slope, approach, None, compared=True)
            row["estimand"] = f"{_PER_SD}, among trials alike in all hyperparameters"
            yield row | {"note": found.refusal or found.words}

    @cached_property
    def _crossed(self) -> Adjusted:
        return adjusted(self.points, self.given, interactions=True)

    def _pooled(self) -> Iterator[Row]:
        points = self.mixed if self.together else self.points
        slope = None if points is None else points.pooled
        naive = self.row(NAIVE, None, f"{_PER_SD}, over all trials") | {"outcome_scale": OWN_UNITS}
        all_of_them = {} if points is None else {"n_used": len(points.x)}
        if slope is not None:
            freedom = len(slope.y) - slope.regressors
            naive |= self.numbers(slope.estimate, slope.naive_interval(self.confidence), self._unit(points))
            naive |= {
                "freedom": freedom,
                "note": "seeds of a configuration counted as independent: not to be used",
            }
        yield naive | all_of_them
        row = self._slope(slope, POOLED, None, points=points)
        row |= {"estimand": f"{_PER_SD}, over all trials", "outcome_scale": OWN_UNITS}
        if self.together:
            row["note"] = "environments mixed as they stand, in their own units"
        yield row | all_of_them
        if self.together:
            same = points is not None and len(points.x) == len(self.points.x)
            row = self._slope(self.base, ENVIRONMENT, "env", compared=True, against=slope if same else None)
            row["estimand"] = "standard deviations of the outcome per one of the measure, within environments"
            dropped = points_of(self.sample, self.measure, self.outcome)[1]
            yield row | ({"compared_with": POOLED} if "change" in row else {}) | {"note": dropped}

    def ranks(self) -> Iterator[Row]:
        """`RANKS` and `PARTIAL_RANKS`."""
        points = self.points
        yield self._correlation(
            RANKS, "Spearman's correlation, over all trials", spearman(points.x, points.y)
        )
        what = "Spearman's correlation of what all hyperparameters leave of measure and outcome"
        if self.beside_all.slope is None:
            yield self.row(PARTIAL_RANKS, None, what) | {"note": self.beside_all.refusal}
            return
        basis = independent(self.given.main())
        left = [values - basis @ (basis.T @ values) for values in (points.x, points.y)]
        yield self._correlation(PARTIAL_RANKS, what, spearman(*left), basis.shape[1])

    def _correlation(self, approach: str, what: str, found: RankCorrelation | None, fitted: int = 0) -> Row:
        row = self.row(approach, None, what)
        if found is None:
            return row | {"note": "refused: a measure does not vary"}
        bounds = found.interval(self.points.cluster, self.confidence, fitted=fitted)
        if not bounds.exists:
            return row | {"note": "refused: the orders agree in full; no interval"}
        # A correlation has no unit to be put in standard deviations of.
        return row | {
            "estimate": found.rho,
            "low": bounds.low,
            "high": bounds.high,
            "p": bounds.p,
            "outcome_scale": "correlation",
        }

    def hidden(self) -> Iterator[Row]:
        """`HIDDEN`, at each multiple of which something can be said."""
        slope = self.beside_all.slope
        if slope is None:
            return
        most = strongest(benchmarks(self.points, self.given, slope, self.confidence))
        if most is None:
            return
        shown = [left for left in most.left if left.note is None] or most.left[:1]
        for left in shown:
            what = f"adjusted, were something unseen {left.times:g} times as strong as {most.name}"
            row = self.row(HIDDEN, most.name, f"{_PER_SD}: {what}")
            row |= {"times": left.times, "times_to_zero": most.times_to_zero, "note": left.note}
            if left.confounder is not None and left.note is None:
                row |= self.numbers(left.estimate, Interval(left.low, left.high, np.nan))
                shares = f"{left.confounder.measure:.1%} of what is left of the measure"
                row["note"] = f"it explains {shares} and {left.confounder.outcome:.1%} of the outcome"
            yield row

    def _slope(
        self,
        slope: Slope | None,
        approach: str,
        variable: str | None,
        *,
        points: Points | None = None,
        compared: bool = False,
        against: Slope | None = None,
    ) -> Row:
        row = self.row(approach, variable, "")
        interval = None if slope is None else slope.interval(self.confidence)
        if slope is None or interval is None or not interval.exists:
            return row
        row |= self.numbers(slope.estimate, interval, self._unit(points))
        fit = fit_of(slope)
        row |= {
            "freedom": slope.contrast.freedom,
            "negligible": negligible(slope, self.bound, self.confidence),
            "partial_r2": partial_r2(fit),
            "robustness_value": robustness_value(fit),
            "robustness_value_bound": robustness_value(fit, self.confidence),
        }
        base = against if approach == ENVIRONMENT else self.base
        if compared and base is not None:
            change, bounds = difference(base, slope, self.confidence)
            row |= {"compared_with": ENVIRONMENT if self.together else POOLED, "change": change}
            row |= {"change_low": bounds.low, "change_high": bounds.high, "change_p": bounds.p}
        return row

    def row(self, approach: str, variable: str | None, estimand: str) -> Row:
        """The beginning of a row."""
        return {
            "approach": approach,
            "variable": variable,
            "estimand": estimand,
            "kind": "associational",
            "outcome_scale": self.points.scale,
            "n_used": len(self.points.x),
        }

    def numbers(self, standardised: float, interval: Interval, unit: float | None = None) -> Row:
        """In the outcome's units, and in its standard deviations; ``unit``: how many of the first the second is."""
        unit = self.outcome_sd if unit is None else unit
        return {
            "estimate": standardised * unit,
            "low": interval.low * unit,
            "high": interval.high * unit,
            "p": interval.p,
            "standardised": standardised,
            "standardised_low": interval.low,
            "standardised_high": interval.high,
        }

    def _unit(self, points: Points | None) -> float:
        if points is None or points is self.points or not self.together:
            return self.outcome_sd
        return float(self.sample.values(self.outcome).std(ddof=1))

    @staticmethod
    def _exists(row: Row) -> bool:
        return "estimate" in row
