"""The contrast above and below a threshold at every threshold, so that none need be chosen."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from sweep.analysis.multiplicity import benjamini_hochberg
from sweep.analysis.table import Table, pair
from sweep.analysis.thresholds.threshold_rows import FIRST, LAST, OPTIONS, threshold_frame, threshold_rows

CURVE_QUANTILES: Final = tuple(round(0.05 * k, 2) for k in range(1, 20))
CURVE_COLUMNS: Final = (*FIRST, "p_bh", *LAST)


def threshold_curve(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    quantiles: Sequence[float] = CURVE_QUANTILES,
    within: Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """The honest contrast of `threshold_ate` at the quantiles 0.05 ... 0.95, a row per quantile.

    Columns: env, space, ``within``, type, quantile, then `CURVE_COLUMNS`, as in `threshold_ate`. The bounds hold at
    each quantile by itself, not for the curve as a whole; ``p_bh`` (Benjamini-Hochberg over the table) is for looking
    along it. ``options``, refusals and errors are those of `threshold_ate`.
    """
    found = threshold_rows(trials, metrics, measure, outcome, quantiles, within=within, **options)
    frame = threshold_frame([row for _, rows in found for row in rows], within, CURVE_COLUMNS)
    frame["p_bh"] = benjamini_hochberg(frame["ate_p"])
    return frame


TABLE: Final = Table(
    "threshold-curve",
    "the contrast of threshold-ate at every quantile from 0.05 to 0.95",
    threshold_curve,
    "last",
    pair,
    OPTIONS,
)
