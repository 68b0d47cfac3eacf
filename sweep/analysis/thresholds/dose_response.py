"""The outcome all along the measure, not only above and below a threshold: a line, a curve, and whether it bends.

Associational: where other things move the measure and the outcome together, so does the curve.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import FEW_CONFIGURATIONS, Sample, check_confidence
from sweep.analysis.table import MEASURE, SAMPLE, Option, Table, pair
from sweep.analysis.thresholds.by_type import BY, samples_by_type
from sweep.analysis.thresholds.natural_spline import KNOT_QUANTILES
from sweep.analysis.thresholds.response_curve import ResponseCurve

MIDDLE: Final = (0.02, 0.98)
"""Quantiles of the measure between which the curve is drawn: beyond them it rests on very few trials."""

_CURVE: Final = ("at", "fit", "fit_low", "fit_high", "line")
_SUMMARY: Final = ("slope", "slope_low", "slope_high", "slope_p", "p_holm", "bend_p", "bend_p_holm")
_SHARES: Final = ("explained_by_line", "explained_by_curve")
DOSE_COLUMNS: Final = ("measure", "outcome", *COUNT_COLUMNS, *_CURVE, "kind", "confidence", "note")
DOSE_SUMMARY_COLUMNS: Final = (
    *("measure", "outcome", *COUNT_COLUMNS, *_SUMMARY, *_SHARES, "knots", "kind", "confidence", "note"),
)


def dose_response(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    points: int = 40,
    knots: int = 4,
    confidence: float = 0.95,
    within: Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Mean ``outcome`` along ``measure``, ``points`` rows per environment x space x type.

    Columns: env, space, ``within``, type, then `DOSE_COLUMNS`: ``at``, a value of the measure between the 2nd and the
    98th percentile; ``fit``, a natural cubic spline through the trials there, with the bounds of a pointwise
    ``confidence`` interval; ``line``, the least-squares line. Errors are clustered by configuration (`response_curve`).
    ``knots`` (3, 4 or 5: one more than the curve's degrees of freedom) are at quantiles (`natural_spline`); a measure
    of few values or a group of few configurations has fewer, and its note says so. Types are "combined" and each value
    of ``by``, as in `threshold_ate`; further ``options``: by, allow_pruned, min_configurations.

    A group is refused as `samples` refuses: one row without numbers. Raises `AnalysisError` for a missing column,
    knots other than 3, 4 or 5, fewer than 2 points, or a confidence outside (0, 1).
    """
    if points < 2:
        raise AnalysisError(f"points={points}: a curve needs at least 2; 40 is the default.")
    table = []
    for row, curve in _curves(trials, metrics, measure, outcome, knots, confidence, within, options):
        if curve is None:
            table.append(row)
            continue
        low, high = map(float, np.quantile(curve.x, MIDDLE))
        at = np.linspace(low, high, points)
        for place, (fit, bounds), line in zip(
            at, curve.band(at, confidence), curve.straight(at), strict=True
        ):
            known = fit if bounds.exists else np.nan
            row |= {"at": place, "fit": known, "fit_low": bounds.low, "fit_high": bounds.high, "line": line}
            table.append(dict(row))
    return _frame(table, within, DOSE_COLUMNS)


def dose_response_summary(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    knots: int = 4,
    confidence: float = 0.95,
    within: Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Slope, bend and share explained of `dose_response`, a row per environment x space x type.

    Columns: env, space, ``within``, type, then `DOSE_SUMMARY_COLUMNS`: ``slope`` (outcome per unit of measure) with
    bounds and two-sided p; ``bend_p``, of a straight line against the curve; both with Holm over the table;
    ``explained_by_line`` and ``explained_by_curve``, shares of the outcome's variance between trials; ``knots``, 0
    where the curve is the line. Options, refusals and errors are those of `dose_response`.
    """
    table = []
    for row, curve in _curves(trials, metrics, measure, outcome, knots, confidence, within, options):
        if curve is not None:
            slope, bounds, _ = curve.slope(confidence)
            row |= {
                "slope": slope if bounds.exists else np.nan,
                "slope_low": bounds.low,
                "slope_high": bounds.high,
                "slope_p": bounds.p,
                "bend_p": curve.bend_p(),
                "explained_by_line": curve.explained(curve.line),
                "explained_by_curve": curve.explained(curve.curve),
                "knots": curve.knots,
            }
        table.append(row)
    frame = _frame(table, within, DOSE_SUMMARY_COLUMNS)
    frame["p_holm"], frame["bend_p_holm"] = holm(frame["slope_p"]), holm(frame["bend_p"])
    return frame


def _curves(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str,
    outcome: str,
    knots: int,
    confidence: float,
    within: Sequence[str],
    options: Mapping[str, Any],
) -> Iterator[tuple[dict[str, Any], ResponseCurve | None]]:
    check_confidence(confidence)
    if knots not in KNOT_QUANTILES:
        raise AnalysisError(
            f"knots={knots}: must be one of {', '.join(map(str, KNOT_QUANTILES))}; 4 is the default."
        )
    for sample in samples_by_type(trials, metrics, [measure, outcome], within=within, **options):
        row: dict[str, Any] = {"measure": measure, "outcome": outcome, **sample.row()}
        row |= {"kind": "associational", "confidence": confidence}
        if sample.refusal is not None:
            yield row, None
            continue
        curve = ResponseCurve.of(sample.values(measure), sample.values(outcome), sample.configuration, knots)
        refused = curve.refusal(measure, outcome)
        row["note"] = refused or _note(sample, curve, measure, knots)
        yield row, None if refused else curve


def _note(sample: Sample, curve: ResponseCurve, measure: str, knots: int) -> str | None:
    words = []
    if sample.clusters < FEW_CONFIGURATIONS:
        words.append(f"few configurations ({sample.clusters}): Student's t with few degrees of freedom")
    if curve.knots < knots:
        shape = f"a curve of {curve.knots} knots" if curve.knots else "a straight line"
        words.append(
            f"{shape}, since {measure} takes {len(np.unique(curve.x))} values in {sample.clusters} configurations"
        )
    return "; ".join(words) or None


def _frame(rows: list[dict[str, Any]], within: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(("env", "space", *within, "type", *columns))))
    numbers = [name for name in (*_CURVE, *_SUMMARY, *_SHARES, "confidence") if name in frame.columns]
    whole = {"knots": "Int64"} if "knots" in frame.columns else {}
    return frame.astype({**dict.fromkeys(numbers, float), **whole, "note": object})


_OPTIONS: Final[Mapping[str, Option]] = {
    **MEASURE,
    **BY,
    **SAMPLE,
    "knots": Option("whole", "Of the curve: 3, 4 or 5, one more than its degrees of freedom [default: 4]."),
}

TABLE: Final = Table(
    "dose-response",
    "the outcome along the measure: a smooth curve with its band, and the line",
    dose_response,
    "last",
    pair,
    {**_OPTIONS, "points": Option("whole", "Of the measure, at which the curve is given [default: 40].")},
)
SUMMARY: Final = Table(
    "dose-response-summary",
    "slope of the outcome on the measure, whether the curve bends, and how much either explains",
    dose_response_summary,
    "last",
    pair,
    _OPTIONS,
)
