"""Rows of the tables about thresholds: one per environment x space x type x quantile."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.intervals import cluster_draws
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_bootstrap
from sweep.analysis.table import BOOTSTRAP, MEASURE, SAMPLE, Option
from sweep.analysis.thresholds.by_type import BY, samples_by_type
from sweep.analysis.thresholds.side_contrast import (
    MINIMUM_SIDE,
    SideContrast,
    check_sides,
    contrasts,
    few,
    refusal,
)
from sweep.analysis.thresholds.split import Split

SIDES: Final = ("n_above", "n_below", "n_configurations_above", "n_configurations_below")
FIRST: Final = ("measure", "outcome", *COUNT_COLUMNS, "tau", *SIDES, "ate", "ate_low", "ate_high", "ate_p")
LAST: Final = ("kind", "confidence", "draws", "note")

OPTIONS: Final[Mapping[str, Option]] = {
    **MEASURE,
    "quantiles": Option("numbers", "Of the measure, where the trials are divided, such as 0.25,0.5."),
    **BY,
    **SAMPLE,
    "min_side": Option(
        "whole", f"Fewest configurations on a side that give a number [default: {MINIMUM_SIDE}]."
    ),
    **BOOTSTRAP,
}

Row = dict[str, Any]


def threshold_rows(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str,
    outcome: str,
    quantiles: Sequence[float],
    *,
    by: str | None = None,
    within: Sequence[str] = (),
    min_side: int = MINIMUM_SIDE,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> list[tuple[Sample, list[Row]]]:
    """Each sample with a row per quantile: its key, `FIRST` and `LAST`. Raises `AnalysisError` as `threshold_ate`."""
    check_bootstrap(draws, confidence)
    check_sides(quantiles, min_side)
    found = []
    for sample in samples_by_type(
        trials,
        metrics,
        [measure, outcome],
        by,
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        same = {"measure": measure, "outcome": outcome, "confidence": confidence, "draws": draws}
        row = {**sample.row(), **same, "kind": "associational", "ate": np.nan}
        rows: list[Row] = [{**row, "quantile": quantile} for quantile in quantiles]
        if sample.refusal is None:
            split = Split.of(sample.values(measure), sample.values(outcome), sample.configuration)
            drawn = cluster_draws(split.clusters, draws, sample.stream(seed))
            for one, contrast in zip(rows, contrasts(split, quantiles, drawn), strict=True):
                one |= _numbers(contrast, refusal(contrast, measure, outcome, min_side), confidence)
        found.append((sample, rows))
    return found


def threshold_frame(rows: Sequence[Row], within: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a table: env, space, ``within``, type and quantile, then ``columns``."""
    frame = pd.DataFrame(
        rows, columns=list(dict.fromkeys(("env", "space", *within, "type", "quantile", *columns)))
    )
    whole = {*COUNT_COLUMNS, *SIDES, "draws"}
    kinds = {name: float for name in columns if name not in {"measure", "outcome", "kind", "note", *whole}}
    return frame.astype({"quantile": float, **kinds, **dict.fromkeys(SIDES, "Int64"), "note": object})


def _numbers(contrast: SideContrast, refused: str | None, confidence: float) -> Row:
    sides: Row = dict(zip(SIDES, (*contrast.trials, *contrast.configurations), strict=True))
    sides["tau"] = contrast.threshold
    if refused:
        return {**sides, "note": refused}
    bounds = contrast.interval(confidence)
    ate = {"ate": contrast.estimate, "ate_low": bounds.low, "ate_high": bounds.high, "ate_p": bounds.p}
    return {**sides, **ate, "note": few(contrast)}
