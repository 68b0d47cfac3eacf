"""Is there no effect worth speaking of? "Not significant" does not say so; two one-sided tests can.

The smallest effect of interest is declared beforehand. An effect that is surely smaller than that, in either direction,
is equivalent to none (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15:657; Lakens 2017, Social
Psychological and Personality Science 8:355). Associational, as the contrasts that it judges.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError
from sweep.analysis.intervals import cluster_draws
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import FEW_CONFIGURATIONS, MINIMUM_CONFIGURATIONS, Sample, check_bootstrap
from sweep.analysis.table import BOOTSTRAP, MEASURE, SAMPLE, Option, Table, pair
from sweep.analysis.thresholds.by_type import BY, COMBINED, samples_by_type
from sweep.analysis.thresholds.response_curve import ResponseCurve
from sweep.analysis.thresholds.side_contrast import MINIMUM_SIDE, check_sides, contrasts, refusal
from sweep.analysis.thresholds.split import Split

EQUIVALENT: Final = "equivalent"
DIFFERENT: Final = "different"
UNDECIDED: Final = "undecided"
CONTRASTS: Final = ("threshold", "slope")
UNITS: Final = ("outcome", "sd")

_NUMBERS: Final = (
    *("quantile", "effect", "effect_low", "effect_high", "effect_p"),
    *("sesoi", "equivalence_low", "equivalence_high", "equivalence_p", "p_holm"),
)
EQUIVALENCE_COLUMNS: Final = (
    *(
        "measure",
        "outcome",
        *COUNT_COLUMNS,
        "contrast",
        *_NUMBERS,
        "verdict",
        "kind",
        "confidence",
        "draws",
        "note",
    ),
)

Estimate = tuple[float, float, float]
"""Effect, its standard error, and degrees of freedom of Student's t."""


def equivalence(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    sesoi: float | None = None,
    unit: str = "outcome",
    contrast: str = "threshold",
    quantile: float = 0.5,
    by: str | None = None,
    within: Sequence[str] = (),
    min_side: int = MINIMUM_SIDE,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Whether the effect is surely smaller than ``sesoi``, the smallest of interest, per environment x space x type.

    ``contrast`` is "threshold" (mean outcome above the measure's ``quantile`` less that at or below it, as
    `threshold_ate`) or "slope" (of the least-squares line, per standard deviation of the measure). ``sesoi`` is in
    units of the outcome (``unit`` "outcome"), or of its standard deviation over the trials of the environment and space
    ("sd"), which is taken as known; the column ``sesoi`` is always in units of the outcome.

    Columns: env, space, ``within``, type, then `EQUIVALENCE_COLUMNS`: ``effect`` with bounds of a ``confidence``
    interval and the two-sided p of zero; ``equivalence_low`` and ``equivalence_high``, the 2 x ``confidence`` - 1
    interval, which lies within ± ``sesoi`` just where ``equivalence_p``, the larger p of the two one-sided tests, is
    below 1 - ``confidence``; ``p_holm``, that p corrected for all rows. ``verdict`` of the row by itself: "equivalent"
    where it is; otherwise "different" where the interval leaves zero out; otherwise "undecided".

    Errors are over configurations, as in `side_contrast` and `response_curve`. Refused as `threshold_ate`. Raises
    `AnalysisError` without a ``sesoi`` > 0, for an unknown unit or contrast, and as `threshold_ate`.
    """
    declared = _check(sesoi, unit, contrast, confidence)
    check_bootstrap(draws, confidence)
    check_sides([quantile], min_side)
    table = []
    spread = np.nan
    for sample in samples_by_type(
        trials,
        metrics,
        [measure, outcome],
        by,
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        if sample.key["type"] == COMBINED:
            # One smallest effect for all types of an environment: the deviation of all their trials.
            spread = float(np.std(sample.values(outcome), ddof=1)) if len(sample.included) > 1 else np.nan
        row: dict[str, Any] = {
            "measure": measure,
            "outcome": outcome,
            **sample.row(),
            "kind": "associational",
        }
        row |= {
            "contrast": contrast,
            "confidence": confidence,
            "draws": draws if contrast == "threshold" else None,
        }
        row |= {"quantile": quantile if contrast == "threshold" else np.nan}
        if sample.refusal is None:
            bound = declared * (spread if unit == "sd" else 1.0)
            found = (
                _threshold(sample, measure, outcome, quantile, min_side, draws, seed)
                if contrast == "threshold"
                else _slope(sample, measure, outcome)
            )
            row |= {"note": found} if isinstance(found, str) else _judge(found, bound, confidence)
        table.append(row)
    columns = list(dict.fromkeys(("env", "space", *within, "type", *EQUIVALENCE_COLUMNS)))
    frame = pd.DataFrame(table, columns=columns).astype(
        {**dict.fromkeys(_NUMBERS, float), "draws": "Int64", "verdict": object, "note": object}
    )
    frame["p_holm"] = holm(frame["equivalence_p"])
    return frame


def tost(estimate: float, error: float, freedom: float, bound: float) -> float:
    """p of the two one-sided tests of |effect| >= ``bound``, by Student's t: the larger of the two."""
    below = stats.t.sf((estimate + bound) / error, freedom)
    above = stats.t.cdf((estimate - bound) / error, freedom)
    return float(max(below, above))


def _threshold(
    sample: Sample, measure: str, outcome: str, quantile: float, min_side: int, draws: int, seed: int
) -> Estimate | str:
    split = Split.of(sample.values(measure), sample.values(outcome), sample.configuration)
    (found,) = contrasts(split, [quantile], cluster_draws(split.clusters, draws, sample.stream(seed)))
    return refusal(found, measure, outcome, min_side) or (found.estimate, found.error, found.freedom)


def _slope(sample: Sample, measure: str, outcome: str) -> Estimate | str:
    curve = ResponseCurve.of(sample.values(measure), sample.values(outcome), sample.configuration)
    return curve.refusal(measure, outcome) or curve.per_deviation()


def _judge(found: Estimate, bound: float, confidence: float) -> dict[str, object]:
    effect, error, freedom = found
    reach, inner = (
        float(stats.t.ppf(level, freedom)) * error for level in ((1 + confidence) / 2, confidence)
    )
    p, equal = 2 * float(stats.t.sf(abs(effect) / error, freedom)), tost(effect, error, freedom, bound)
    sure = 1 - confidence
    differs, notes = p < sure, []
    if equal < sure:
        verdict = EQUIVALENT
        if differs:
            notes.append("differs from zero, by less than the smallest effect of interest")
    else:
        verdict = DIFFERENT if differs else UNDECIDED
        if differs and abs(effect) - reach < bound:
            notes.append("differs from zero, perhaps by less than the smallest effect of interest")
    if freedom < FEW_CONFIGURATIONS - 1:
        notes.append(f"few configurations: Student's t with {freedom:.1f} degrees of freedom")
    return {
        "effect": effect,
        "effect_low": effect - reach,
        "effect_high": effect + reach,
        "effect_p": p,
        "sesoi": bound,
        "equivalence_low": effect - inner,
        "equivalence_high": effect + inner,
        "equivalence_p": equal,
        "verdict": verdict,
        "note": "; ".join(notes) or None,
    }


def _check(sesoi: float | None, unit: str, contrast: str, confidence: float) -> float:
    if contrast not in CONTRASTS:
        raise AnalysisError(f"contrast={contrast}: must be one of {', '.join(CONTRASTS)}.")
    if unit not in UNITS:
        raise AnalysisError(
            f"unit={unit}: must be outcome (the outcome's own units) or sd (its standard deviations)."
        )
    if sesoi is None:
        raise AnalysisError(
            "no smallest effect of interest is declared: that an effect is absent can only be shown against one that "
            "would matter, chosen before looking at the result. Give sesoi, such as sesoi=0.2 with unit=sd (a fifth of "
            "the outcome's standard deviation within an environment), or in the outcome's own units with unit=outcome."
        )
    if not sesoi > 0 or not np.isfinite(sesoi):
        raise AnalysisError(f"sesoi={sesoi}: must be above 0; an effect counts in both directions.")
    if not 0.5 < confidence < 1:
        raise AnalysisError(
            f"confidence={confidence}: must lie between 0.5 and 1 for two one-sided tests, such as 0.95."
        )
    return sesoi


TABLE: Final = Table(
    "equivalence",
    "whether the effect is surely smaller than a declared smallest one of interest",
    equivalence,
    "last",
    pair,
    {
        **MEASURE,
        "sesoi": Option("number", "The smallest effect of interest; must be declared."),
        "unit": Option(
            "text", "Of sesoi: outcome, or sd for standard deviations of the outcome [default: outcome]."
        ),
        "contrast": Option(
            "text", "threshold, or slope per standard deviation of the measure [default: threshold]."
        ),
        "quantile": Option("number", "Of the measure, where the trials are divided [default: 0.5]."),
        **BY,
        **SAMPLE,
        "min_side": Option(
            "whole", f"Fewest configurations on a side that give a number [default: {MINIMUM_SIDE}]."
        ),
        **BOOTSTRAP,
    },
)
