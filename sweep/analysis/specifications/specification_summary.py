"""The specification curve as a whole: what its median and its significant share would be by chance.

Simonsohn, Simmons & Nelson (2020), "Specification curve analysis", Nature Human Behaviour 4:1208.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, check_confidence
from sweep.analysis.specifications.rank_definitions import LAYERS, RANKS
from sweep.analysis.specifications.specification_choices import (
    ADJUSTMENTS,
    CHOICES,
    DELTAS,
    OUTCOMES,
    PROTOCOL_DELTA,
    THRESHOLDS,
    WINDOWS,
    Choices,
    needed,
    stored_vectors,
)
from sweep.analysis.specifications.specification_curve import Curve, curves
from sweep.analysis.specifications.specifications import REASONS, z_scores
from sweep.analysis.table import Option, Table

SUMMARY_COLUMNS: Final = (
    *(*COUNT_COLUMNS, "n_incomplete", "n_possible", "n_run"),
    *(f"n_{reason.replace(' ', '_')}" for reason in REASONS),
    *("median", "median_p", "lowest", "highest", "sign", "share_of_sign"),
    *("share_significant", "share_significant_p", "share_significant_other_sign", "mean_z", "mean_z_p"),
    *("permutations", "n_exchangeable", "kind", "confidence", "note"),
)


def specification_summary(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    measures: Sequence[str] = RANKS,
    outcomes: Sequence[str] = OUTCOMES,
    layers: Sequence[str] = LAYERS[:3],
    deltas: Sequence[float] = DELTAS,
    windows: Sequence[float] = WINDOWS,
    thresholds: Sequence[float] = THRESHOLDS,
    adjust: Sequence[str] = ADJUSTMENTS,
    spectra: pd.DataFrame | None = None,
    delta: float = PROTOCOL_DELTA,
    permutations: int = 500,
    seed: int = 0,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """A `specification_curve` as a whole, a row per environment and space, against what permutation makes of it.

    Columns: env, space, ``within``, then `SUMMARY_COLUMNS`: how many specifications the choices allow (``n_possible``),
    how many were run and why others were not (`specifications.fit`); the median estimate, the lowest and highest, the
    sign that most have and its share; the share that is significant at 1 - ``confidence`` with that sign, and with the
    other; the mean normal score (Stouffer's z over the root of their number).

    p-values are from ``permutations`` of the outcome among configurations, with all their seeds, the whole curve
    estimated anew each time: the share, the observed included, in which the median t is as far from 0, as large a
    share is significant with one sign, and the mean score is as far from 0. Their null: outcomes, less what each
    specification adjusts for, could as well be another configuration's. Specifications that adjust for nothing are
    part of the curve, so a confounder can reject it.

    Raises `AnalysisError` as `specification_curve`, and for fewer than 100 permutations.
    """
    choices = Choices(measures, outcomes, layers, deltas, windows, thresholds, adjust, delta)
    check_confidence(confidence)
    if permutations < 100:
        raise AnalysisError(f"permutations={permutations}: a p-value needs at least 100; 500 is the default.")
    table: list[dict[str, object]] = []
    for sample, found in curves(
        trials, metrics, spectra, choices, within, allow_pruned, min_configurations, permutations, seed
    ):
        row = sample.row() | {"permutations": permutations, "kind": "associational", "confidence": confidence}
        if found is not None:
            row |= summarise(found, confidence)
        table.append(row)
    columns = list(dict.fromkeys(("env", "space", *within, *SUMMARY_COLUMNS)))
    whole = [name for name in columns if name.startswith("n_")]
    frame = pd.DataFrame(table, columns=columns)
    return frame.astype({"note": object, "median": float, **dict.fromkeys(whole, "Int64")})


def summarise(curve: Curve, confidence: float) -> dict[str, object]:
    """The columns of a curve as a whole, from n_incomplete on."""
    fitted = curve.fitted
    skipped = {f"n_{reason.replace(' ', '_')}": fitted.skipped[reason] for reason in REASONS}
    row: dict[str, object] = {
        "n_incomplete": curve.incomplete,
        "n_possible": curve.possible,
        "n_run": len(fitted.specifications),
        **skipped,
        "n_exchangeable": curve.exchangeable,
    }
    if not fitted.specifications:
        return row | {"note": "refused: no specification can be run"}
    estimate, freedom = np.array(fitted.estimate), np.array(fitted.freedom)
    t = estimate / np.array(fitted.error)
    observed = _statistics(t[:, None], freedom, confidence)
    null = _statistics(np.array(fitted.permuted), freedom, confidence)
    p = {
        name: float((1 + (null[name] >= observed[name] - 1e-12).sum()) / (1 + len(null[name])))
        for name in observed
    }
    positive = float((estimate > 0).mean())
    sign = 1.0 if positive >= 0.5 else -1.0
    limit = stats.t.ppf((1 + confidence) / 2, freedom)
    note = None
    if curve.exchangeable < curve.configurations:
        note = (
            f"{curve.configurations - curve.exchangeable} of {curve.configurations} configurations have trials like no "
            "other's, and stay in place when outcomes are permuted"
        )
    return row | {
        "median": float(np.median(estimate)),
        "median_p": p["median"],
        "lowest": float(estimate.min()),
        "highest": float(estimate.max()),
        "sign": "positive" if sign > 0 else "negative",
        "share_of_sign": max(positive, 1 - positive),
        "share_significant": float((sign * t > limit).mean()),
        "share_significant_p": p["share"],
        "share_significant_other_sign": float((-sign * t > limit).mean()),
        "mean_z": float(z_scores(t, freedom).mean()),
        "mean_z_p": p["z"],
        "note": note,
    }


def _statistics(t: Floats, freedom: Floats, confidence: float) -> dict[str, Floats]:
    """How far curves of ``t`` ``[S, P]`` are from none, by each of three measures ``[P]``."""
    limit = np.asarray(stats.t.ppf((1 + confidence) / 2, freedom))[:, None]
    return {
        # Of t, not of the estimates: adjusted residuals are smaller than errors, and so are estimates from them.
        "median": np.abs(np.median(t, axis=0)),
        "share": np.maximum((t > limit).mean(axis=0), (t < -limit).mean(axis=0)),
        "z": np.abs(z_scores(t, freedom).mean(axis=0)),
    }


TABLE: Final = Table(
    "specification-summary",
    "the specification curve as a whole, against outcomes permuted among configurations",
    specification_summary,
    "series",
    needed,
    {
        **CHOICES,
        "permutations": Option("whole", "Of the outcome [default: 500]."),
        "seed": Option("whole", "Of the permutations [default: 0]."),
    },
    also=stored_vectors,
)
