"""How strong something unseen would have to be to explain an association away, hyperparameter by hyperparameter.

Associations only: the question is what a hidden confounder could have made of them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.confounding.adjusted import adjusted, fit_of
from sweep.analysis.confounding.benchmarks import benchmarks
from sweep.analysis.confounding.covariates import covariates
from sweep.analysis.confounding.environments import apart_and_together
from sweep.analysis.confounding.sensitivity import partial_r2, robustness_value
from sweep.analysis.confounding.within_groups import points_of
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_confidence
from sweep.analysis.table import MEASURE, SAMPLE, Table, pair

_NUMBERS: Final = (
    *("estimate", "low", "high", "partial_r2", "robustness_value", "robustness_value_bound"),
    *("times", "share_of_measure", "share_of_outcome", "left", "left_low", "left_high"),
    *("times_to_zero", "times_to_bound"),
)
SENSITIVITY_COLUMNS: Final = (
    *("measure", "outcome", "benchmark"),
    *_NUMBERS,
    *("outcome_scale", "kind", "confidence", *COUNT_COLUMNS, "note"),
)


def sensitivity(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """A row per environment x space x hyperparameter x multiple (1, 2, 3 times as strong).

    Columns: ``estimate`` with its interval, adjusted for all hyperparameters, in outcome per standard deviation of the
    measure; its ``partial_r2``, ``robustness_value`` and ``robustness_value_bound`` (`sensitivity`); then for something
    unseen ``times`` as strong as the hyperparameter ``benchmark``: the shares that it could explain of what is left of
    measure and outcome, and what would be ``left`` of the estimate, with its interval. ``times_to_zero`` and
    ``times_to_bound`` are how many times as strong it would have to be to take the estimate, or the nearer bound of its
    interval, to zero. Where the adjusted estimate is refused, a row says why.

    Raises `AnalysisError` for a missing column and a confidence outside (0, 1).
    """
    check_confidence(confidence)
    table: list[dict[str, object]] = []
    for sample in apart_and_together(
        trials,
        metrics,
        [measure, outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        shared = sample.row() | {"measure": measure, "outcome": outcome, "confidence": confidence}
        shared["kind"] = "associational"
        rows = [{}] if sample.refusal is not None else _rows(sample, measure, outcome, confidence)
        table.extend(shared | row for row in rows)
    keys = ["env", "space", *(name for name in within if name != "env")]
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *SENSITIVITY_COLUMNS))))
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})


def _rows(sample: Sample, measure: str, outcome: str, confidence: float) -> list[dict[str, object]]:
    points = points_of(sample, measure, outcome)[0]
    if isinstance(points, str):
        return [{"note": points}]
    given = covariates(points.frame)
    found = adjusted(points, given)
    slope = found.slope
    if slope is None or not slope.interval(confidence).exists:
        return [{"note": found.refusal or "refused: the regression fits perfectly"}]
    interval, fit = slope.interval(confidence), fit_of(slope)
    shared: dict[str, object] = {
        "estimate": slope.estimate,
        "low": interval.low,
        "high": interval.high,
        "partial_r2": partial_r2(fit),
        "robustness_value": robustness_value(fit),
        "robustness_value_bound": robustness_value(fit, confidence),
        "outcome_scale": points.scale,
    }
    rows = []
    for benchmark in benchmarks(points, given, slope, confidence):
        for left in benchmark.left:
            seen = left.confounder
            rows.append(
                shared
                | {
                    "benchmark": benchmark.name,
                    "times": left.times,
                    "share_of_measure": np.nan if seen is None else seen.measure,
                    "share_of_outcome": np.nan if seen is None else seen.outcome,
                    "left": left.estimate,
                    "left_low": left.low,
                    "left_high": left.high,
                    "times_to_zero": benchmark.times_to_zero,
                    "times_to_bound": benchmark.times_to_bound,
                    "note": left.note,
                }
            )
    return rows


TABLE: Final = Table(
    "sensitivity",
    "how strong something unseen would have to be to explain an adjusted association away",
    sensitivity,
    "last",
    pair,
    {**MEASURE, **SAMPLE},
)
