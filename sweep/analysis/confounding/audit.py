"""The confound audit: one claim, "this measure predicts that outcome", by every approach, side by side.

Rows are approaches, from what a scatter plot shows to what is left among trials that are alike in all hyperparameters,
and what the randomised factors of the design do. All but these are associational.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.confounding.agreement import compare
from sweep.analysis.confounding.audit_factors import factor_rows
from sweep.analysis.confounding.audit_rows import FACTOR, FAMILY, Audit, Row
from sweep.analysis.confounding.audit_sides import side_rows
from sweep.analysis.confounding.caveats import caveats
from sweep.analysis.confounding.environments import apart_and_together
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.intervals import Interval
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_bootstrap
from sweep.analysis.table import BOOTSTRAP, MEASURE, SAMPLE, Table, pair
from sweep.analysis.thresholds.sesoi import SESOI, Sesoi

_BOUNDED: Final = ("standardised", "change", "measure_effect", "ratio")
_NUMBERS: Final = (
    *("estimate", "low", "high", "p", "p_holm"),
    *(f"{name}{end}" for name in _BOUNDED for end in ("", "_low", "_high")),
    *("change_p", "change_p_holm", "freedom", "partial_r2", "robustness_value", "robustness_value_bound"),
    *("e_value", "e_value_bound", "outside", "times", "times_to_zero", "measure_sd", "outcome_sd", "sesoi"),
)
AUDIT_COLUMNS: Final = (
    *("measure", "outcome", "approach", "variable", "word", "kind"),
    *("estimate", "low", "high", "p", "p_holm", "standardised", "standardised_low", "standardised_high"),
    *("compared_with", "change", "change_low", "change_high", "change_p", "change_p_holm", "negligible"),
    *("measure_effect", "measure_effect_low", "measure_effect_high", "ratio", "ratio_low", "ratio_high"),
    *("partial_r2", "robustness_value", "robustness_value_bound", "e_value", "e_value_bound"),
    *("outside", "times", "times_to_zero", "estimand", "outcome_scale", "measure_sd", "outcome_sd"),
    *("freedom", "sesoi", "confidence", "n_used", *COUNT_COLUMNS, "caveats", "note"),
)


def audit(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    within: Sequence[str] = (),
    sesoi: float | None = None,
    unit: str = "outcome",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Does ``measure`` predict ``outcome``, by every approach: a row per environment x space x approach x variable.

    After the environments apart come those of a space together (``env`` "all"), in standard deviations within their
    environment, where "pooled" mixes them as they stand. ``approach``, in the order of `APPROACHES`: trials as
    independent (what not to do), pooled, within environment, stratified on each hyperparameter (``variable``),
    adjusted for all, and for their two-factor interactions, doubly robust, above the median, Spearman's correlation
    over all trials and of what the hyperparameters leave, the effects of each two-level factor, and what would be left
    if something unseen were as strong as the strongest hyperparameter, or ``times`` as strong.

    Columns: ``estimate`` with its bounds in ``outcome_scale`` (what it is of stands in ``estimand``), two-sided ``p``,
    ``p_holm`` over the approaches of `FAMILY`; the same in standard deviations of the outcome; ``change``, from the
    row named in ``compared_with``, in standard deviations, with its ``change_p_holm`` over these rows, and the
    ``word`` for it (`agreement`). Slopes have ``partial_r2``, ``robustness_value`` and, to bring the interval to zero,
    ``robustness_value_bound``; differences have ``e_value`` and ``e_value_bound``; ``outside`` is the share of trials
    without overlap, ``times_to_zero`` how many times as strong as the hyperparameter something unseen would have to be
    to take the adjusted estimate to zero (`benchmarks`). Factors have the effect on the outcome as ``estimate``,
    ``measure_effect`` and the ``ratio`` of the two; ``kind`` is "randomised" where the design set their levels,
    otherwise "associational". ``sesoi`` declares the smallest effect of interest, in outcome (``unit`` "outcome") or
    standard deviations of the outcome (``unit`` "sd") per standard deviation of the measure: ``negligible`` says that
    a slope is shown to be less. ``n_used`` trials are in the row. ``caveats`` are of the trials of the whole sample,
    ``note`` of the row: a refusal, or what went into it.

    Raises `AnalysisError` for a missing column, draws < 100, a confidence outside (0, 1), a sesoi that is not
    positive, and an unknown unit.
    """
    check_bootstrap(draws, confidence)
    declared = Sesoi.of(sesoi, unit)
    table: list[Row] = []
    for sample in apart_and_together(
        trials,
        metrics,
        [measure, outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        shared = sample.row() | {"measure": measure, "outcome": outcome, "confidence": confidence}
        shared["caveats"] = "; ".join(caveats(sample)) or None
        found = sample.refusal
        if found is None:
            made = Audit.of(sample, measure, outcome, confidence, declared, draws, seed)
            if isinstance(made, Audit):
                table += [shared | row for row in _rows(sample, made, trials)]
                continue
            found = made
        table.append(shared | {"note": found})
    keys = ["env", "space", *(name for name in within if name != "env")]
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *AUDIT_COLUMNS))))
    frame = frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"negligible": "boolean"})
    return frame.astype({"note": object, "caveats": object, "n_used": "Int64"})


def _rows(sample: Sample, made: Audit, trials: pd.DataFrame) -> list[Row]:
    rows = [*made.slopes(), *side_rows(made), *made.ranks()]
    for row, adjusted in zip(rows, holm([_of_family(row) for row in rows]), strict=True):
        row["p_holm"] = adjusted
    for row, adjusted in zip(rows, holm([row.get("change_p", np.nan) for row in rows]), strict=True):
        row["change_p_holm"] = adjusted
    _words(rows, made.confidence)
    factors = [
        {"approach": FACTOR, "outcome_scale": made.points.scale} | row
        for row in factor_rows(sample, trials, made.measure, made.outcome, made.confidence)
    ]
    rows += [*factors, *made.hidden()]
    sizes = {"measure_sd": np.nan, "outcome_sd": np.nan, "sesoi": made.bound * made.outcome_sd}
    if not made.together:
        sizes |= {"measure_sd": made.points.measure_sd, "outcome_sd": made.outcome_sd}
    return [row | sizes for row in rows]


def _of_family(row: Row) -> float:
    return float(row.get("p", np.nan)) if row["approach"] in FAMILY else np.nan


def _words(rows: list[Row], confidence: float) -> None:
    """The word for every row that is compared with another."""
    by_approach = {row["approach"]: row for row in rows if row.get("variable") in (None, "env")}
    for row in rows:
        base = by_approach.get(row.get("compared_with"))
        if base is None or "change" not in row:
            continue
        row["word"] = compare(
            _interval(base),
            _interval(row),
            float(row["change"]),
            bool(row["change_p_holm"] < 1 - confidence),
            first_negligible=bool(base["negligible"]),
            second_negligible=bool(row["negligible"]),
        )


def _interval(row: Row) -> Interval:
    low, high, p = (float(row[name]) for name in ("standardised_low", "standardised_high", "p"))
    return Interval(low, high, p)


TABLE: Final = Table(
    "audit",
    "whether a measure predicts an outcome: pooled, stratified, adjusted, randomised and hidden, side by side",
    audit,
    "last",
    pair,
    {**MEASURE, **SESOI, **SAMPLE, **BOOTSTRAP},
)
