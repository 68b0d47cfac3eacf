"""Measures over training: median and quartiles of trials of a kind at each step."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from sweep.analysis.frames import (
    AnalysisError,
    by_space,
    configuration_codes,
    content,
    measure_columns,
    require_columns,
)

_STATISTICS: Final = ("n_trials", "n_configurations", "median", "q25", "q75", "mean", "low", "high")
CURVE_COLUMNS: Final = ("step", "measure", *_STATISTICS)

_CODE: Final = "\0group"  # no name of a column that a caller may group by


def curves(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    by: Sequence[str] = ("activation", "learning_rate"),
    measures: Sequence[str] | None = None,
    statuses: Sequence[str] = ("finished",),
) -> pd.DataFrame:
    """One row per environment x space x ``by`` x measure x step where it was taken.

    Columns: env, space, ``by``, step (gradient steps), measure, n_trials, n_configurations, median, q25, q75,
    mean, and low and high (the extremes). ``by`` are columns of ``trials``.

    Only finished trials by default: a curve over trials that drop out as they diverge shows the survivors at
    its end and everyone at its start. Steps at which only part of a group was measured have a smaller
    ``n_trials``.

    Raises `AnalysisError` when a column is missing.
    """
    clash = {"space", "env", "step", "measure", "value"} & set(by)
    if clash:
        raise AnalysisError(
            f"by={', '.join(sorted(clash))}: curves are always apart by these; name other columns."
        )
    require_columns(trials, ("trial_id", "env", "spaces", "status", *by), "trials")
    require_columns(metrics, ("trial_id", "step", *(measures or ())), "metrics")
    names = list(measures) if measures is not None else measure_columns(metrics)
    keys = ["env", "space", *by]
    kept = trials.assign(configuration=configuration_codes(trials))[
        trials["status"].astype(str).isin(statuses)
    ]
    kept = by_space(kept)[["trial_id", *keys, "configuration"]]
    for column in by:
        if kept[column].map(lambda v: isinstance(v, list | tuple)).any():
            kept[column] = kept[column].map(content)  # lists cannot be grouped by
    # One code per group, so that the large table is grouped by two integers.
    kept[_CODE] = kept.groupby(keys, sort=False, dropna=False, observed=True).ngroup()
    labels = kept.drop_duplicates(_CODE).set_index(_CODE)[keys]
    parts = []
    known = metrics["trial_id"].isin(kept["trial_id"])
    for name in names:
        taken = metrics.loc[known & metrics[name].notna(), ["trial_id", "step", name]]
        joined = taken.merge(kept[["trial_id", _CODE, "configuration"]], on="trial_id")
        if joined.empty:
            continue
        parts.append(_summary(joined, name))
    columns = [*keys, *CURVE_COLUMNS]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)
    return table.join(labels, on=_CODE)[columns].reset_index(drop=True)


def _summary(joined: pd.DataFrame, name: str) -> pd.DataFrame:
    values = joined[name].astype(float)
    groups = values.groupby([joined[_CODE], joined["step"]])
    summary = pd.DataFrame(
        {
            "measure": name,
            "n_trials": groups.size(),
            "n_configurations": joined.groupby([_CODE, "step"])["configuration"].nunique(),
            "median": groups.median(),
            "q25": groups.quantile(0.25),
            "q75": groups.quantile(0.75),
            "mean": groups.mean(),
            "low": groups.min(),
            "high": groups.max(),
        }
    )
    return summary.reset_index()
