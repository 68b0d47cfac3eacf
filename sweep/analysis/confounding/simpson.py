"""Simpson's paradox: is the association over all trials also there among trials of one activation, learning rate …?

Gulcehre et al., section 5, ask it of effective rank and return by eye. Associational: what groups of trials show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.confounding.agreement import compare, side
from sweep.analysis.confounding.clustered_slope import Slope, difference
from sweep.analysis.confounding.environments import apart_and_together
from sweep.analysis.confounding.grouping import Grouping, groupings
from sweep.analysis.confounding.rank_association import spearman, spearman_within
from sweep.analysis.confounding.within_groups import (
    FEWEST_CONFIGURATIONS,
    OWN_UNITS,
    OwnSlopes,
    Points,
    flip_share,
    points_of,
)
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import require_columns
from sweep.analysis.intervals import NO_INTERVAL, Interval, cluster_draws
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import (
    FEW_CONFIGURATIONS,
    MINIMUM_CONFIGURATIONS,
    TOGETHER,
    Sample,
    check_bootstrap,
)
from sweep.analysis.table import BOOTSTRAP, MEASURE, SAMPLE, Option, Table, pair
from sweep.analysis.thresholds.sesoi import SESOI, Sesoi, negligible

_ESTIMATES: Final = ("pooled_slope", "within_slope", "difference", "pooled_spearman", "within_spearman")
_BOUNDED: Final = tuple(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high", "_p"))
_TESTS: Final = ("share_opposed", "interaction_f", "interaction_p", "interaction_p_holm", "flip_share")
_WHOLE: Final = ("n_groups", "smallest_group", "bins", "n_tested", "n_opposed")
SIMPSON_COLUMNS: Final = (
    *("measure", "outcome", "group", "verdict", *COUNT_COLUMNS, "n_groups", "smallest_group", "bins"),
    *("measure_sd", "outcome_scale", *_BOUNDED, "difference_p_holm", "n_tested", "n_opposed", *_TESTS),
    *("kind", "confidence", "draws", "note"),
)


def simpson(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    groups: Sequence[str] | None = None,
    within: Sequence[str] = (),
    sesoi: float | None = None,
    unit: str = "outcome",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """The association over all trials against that within groups: a row per environment x space x hyperparameter.

    After the environments apart come those of a space together (``env`` is "all"), measure and outcome in standard
    deviations within their environment; there the environment is a grouping too, of both in their own units. ``groups``
    are all hyperparameters that vary, or those named; a number of more than 12 values is cut at its quantiles into
    ``bins``. Hyperparameters that change together are one grouping, named for the first.

    Columns: `SIMPSON_COLUMNS`. Slopes are in outcome per standard deviation of the measure over all trials of the row
    (``measure_sd``, in its units; the interval takes it as given): ``pooled_slope``, ``within_slope`` (the slope that
    the groups have in common, each with an intercept of its own) and ``difference``, pooled less within, by clustered
    least squares; ``pooled_spearman``, and ``within_spearman``, the mean over groups by their trials. Each with bounds
    and a two-sided p; ``difference_p_holm`` over the hyperparameters of a sample.

    ``n_tested`` groups have a slope of their own, which takes 3 configurations; ``share_opposed`` of them have another
    sign than the pooled slope, and in ``n_opposed`` an interval says so (Holm over the groups). ``interaction_f`` and
    ``interaction_p`` test that all slopes are equal (`OwnSlopes.equality`); ``interaction_p_holm`` over the
    hyperparameters. ``flip_share`` is the share of bootstrap draws of configurations in which pooled and within slope
    have opposite signs.

    ``verdict`` is a word of `agreement`, from intervals alone; for "vanishes", ``sesoi`` declares the smallest effect
    of interest, in outcome (``unit`` "outcome") or its deviations ("sd") per standard deviation of the measure.

    Raises `AnalysisError` for a missing column, draws < 100, a confidence outside (0, 1), a sesoi that is not
    positive, and an unknown unit.
    """
    check_bootstrap(draws, confidence)
    declared = Sesoi.of(sesoi, unit)
    require_columns(trials, groups or (), "trials")
    table: list[dict[str, object]] = []
    for sample in apart_and_together(
        trials,
        metrics,
        [measure, outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        shared = sample.row() | {"measure": measure, "outcome": outcome, "kind": "associational"}
        shared |= {"confidence": confidence, "draws": draws}
        if sample.refusal is not None:
            table.append(shared)
            continue
        rows = _rows(sample, measure, outcome, groups, declared, confidence, (draws, seed))
        table.extend(shared | row for row in rows)
    keys = ["env", "space", *(name for name in within if name != "env")]
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *SIMPSON_COLUMNS))))
    numbers = (*_BOUNDED, *_TESTS, "difference_p_holm", "measure_sd")
    return frame.astype(dict.fromkeys(numbers, float) | dict.fromkeys(_WHOLE, "Int64") | {"note": object})


@dataclass(frozen=True)
class _Apart:
    """What one grouping shows; ``refusal`` where there is no slope within its groups."""

    grouping: Grouping
    points: Points
    pooled: Slope | None
    within: Slope | None
    own: OwnSlopes
    confidence: float
    flips: float
    refusal: str | None

    @classmethod
    def of(cls, grouping: Grouping, points: Points, draws: Floats, confidence: float) -> "_Apart":
        pooled, within = points.pooled, points.within(grouping)
        refusal = None
        if within is None or not within.interval(confidence).exists:
            why = "the measure does not vary" if within is None else "nothing is left to tell an error from"
            refusal = f"refused: within the {len(grouping.labels)} groups of {grouping.name} {why}"
            if grouping.sizes.max() == 1:
                refusal = (
                    f"refused: each of the {len(grouping.labels)} values of {grouping.name} has one trial"
                )
            within = None
        own = OwnSlopes.of(points, grouping)
        return cls(
            grouping, points, pooled, within, own, confidence, flip_share(points, grouping, draws), refusal
        )

    @cached_property
    def difference(self) -> tuple[float, Interval]:
        """Pooled less within."""
        if self.pooled is None or self.within is None:
            return np.nan, NO_INTERVAL
        return difference(self.pooled, self.within, self.confidence)

    @cached_property
    def equality(self) -> tuple[float, float]:
        return self.own.equality()

    def row(self, p_holm: float, sesoi: Sesoi | None) -> dict[str, object]:
        deviation, own = float(self.points.y.std(ddof=1)), self.points.scale == OWN_UNITS
        bound = np.nan if sesoi is None else sesoi.bound(deviation, own)
        pooled, within = (_interval(slope, self.confidence) for slope in (self.pooled, self.within))
        row: dict[str, object] = {
            "group": self.grouping.name,
            "verdict": compare(
                pooled,
                within,
                self.difference[0],
                bool(p_holm < 1 - self.confidence),
                first_negligible=negligible(self.pooled, bound, self.confidence),
                second_negligible=negligible(self.within, bound, self.confidence),
            ),
            "n_groups": len(self.grouping.labels),
            "smallest_group": int(self.grouping.sizes.min()),
            "bins": self.grouping.bins,
            "measure_sd": self.points.measure_sd,
            "outcome_scale": self.points.scale,
            "difference_p_holm": p_holm,
            "interaction_f": self.equality[0],
            "interaction_p": self.equality[1],
            "flip_share": self.flips,
            "note": self._note(),
        }
        row |= _bounded("pooled_slope", self.pooled.estimate if self.pooled else np.nan, pooled)
        row |= _bounded("within_slope", self.within.estimate if self.within else np.nan, within)
        row |= _bounded("difference", *self.difference)
        return row | self._ranks() | self._signs()

    def _ranks(self) -> dict[str, object]:
        x, y, cluster = self.points.x, self.points.y, self.points.cluster
        within = spearman_within(x, y, self.grouping.codes)
        row: dict[str, object] = {}
        for name, rank in (("pooled_spearman", spearman(x, y)), ("within_spearman", within)):
            bounds = NO_INTERVAL if rank is None else rank.interval(cluster, self.confidence)
            # A number without its uncertainty is what these tables exist to prevent.
            row |= _bounded(name, rank.rho if rank is not None and bounds.exists else np.nan, bounds)
        return row

    def _signs(self) -> dict[str, object]:
        slopes = self.own.slopes
        if self.pooled is None or not slopes:
            return {"n_tested": len(slopes)}
        sign = int(np.sign(self.pooled.estimate))
        intervals = [slope.interval(self.confidence) for slope in slopes]
        clear = holm([interval.p for interval in intervals]) < 1 - self.confidence
        against = [bool(c) and side(i) == -sign for c, i in zip(clear, intervals, strict=True)]
        return {
            "n_tested": len(slopes),
            "share_opposed": float(np.mean([np.sign(slope.estimate) == -sign for slope in slopes])),
            "n_opposed": sum(against),
        }

    def _note(self) -> str | None:
        notes = [self.refusal] if self.refusal else []
        if self.grouping.bins:
            notes.append(f"{self.grouping.name} cut at its quantiles: {', '.join(self.grouping.labels)}")
        if self.grouping.together:
            notes.append(f"changes together with {', '.join(self.grouping.together)}")
        if len(self.own.slopes) < 2:
            notes.append(
                f"slopes of groups not compared: {len(self.own.slopes)} of {len(self.grouping.labels)} groups have "
                f"{FEWEST_CONFIGURATIONS} configurations or more"
            )
        elif not np.isfinite(self.equality[1]):
            notes.append(
                f"{self.points.clusters} configurations cannot compare {len(self.own.slopes)} slopes"
            )
        if self.points.clusters < FEW_CONFIGURATIONS:
            notes.append(f"few configurations ({self.points.clusters})")
        return "; ".join(notes) or None


def _rows(
    sample: Sample,
    measure: str,
    outcome: str,
    groups: Sequence[str] | None,
    sesoi: Sesoi | None,
    confidence: float,
    bootstrap: tuple[int, int],
) -> list[dict[str, object]]:
    """One per grouping of a sample; one with a note where there is none."""
    points, dropped = points_of(sample, measure, outcome)
    if isinstance(points, str):
        return [{"note": points}]
    found = [(g, points) for g in groupings(points.frame, groups) if g.name != "env"]
    if sample.key["env"] == TOGETHER and (groups is None or "env" in groups):
        # In deviations from its environment an outcome has one mean everywhere: nothing could reverse.
        raw = points_of(sample, measure, outcome, own_units=True)[0]
        assert isinstance(raw, Points)
        found = [(g, raw) for g in groupings(raw.frame, ["env"])] + found
    rows: list[dict[str, object]] = [
        {"group": name, "note": f"refused: {name} is the same in all {len(points.x)} trials"}
        for name in groups or ()
        if name not in {grouping.name for grouping, _ in found} and not (name == "env" and len(found))
    ]
    if not found and not rows:
        return [{"note": "refused: no hyperparameter varies"}]
    draws, seed = bootstrap
    sizes = {p.clusters for _, p in found}
    drawn = {size: cluster_draws(size, draws, sample.stream(seed)) for size in sizes}
    apart = [_Apart.of(grouping, p, drawn[p.clusters], confidence) for grouping, p in found]
    differ = holm([one.difference[1].p for one in apart])
    equal = holm([one.equality[1] for one in apart])
    for one, p_differ, p_equal in zip(apart, differ, equal, strict=True):
        row = one.row(p_differ, sesoi) | {"interaction_p_holm": p_equal}
        notes = [n for n in (row["note"], dropped if one.points is points else None) if n]
        rows.append(row | {"note": "; ".join(map(str, notes)) or None})
    return rows


def _interval(slope: Slope | None, confidence: float) -> Interval:
    return NO_INTERVAL if slope is None else slope.interval(confidence)


def _bounded(name: str, estimate: float, bounds: Interval) -> dict[str, object]:
    return {name: estimate, f"{name}_low": bounds.low, f"{name}_high": bounds.high, f"{name}_p": bounds.p}


TABLE: Final = Table(
    "simpson",
    "a measure against an outcome over all trials and within groups of each hyperparameter, with a verdict",
    simpson,
    "last",
    pair,
    {
        **MEASURE,
        "groups": Option("names", "Hyperparameters to group by [default: all that vary]."),
        **SESOI,
        **SAMPLE,
        **BOOTSTRAP,
    },
)
