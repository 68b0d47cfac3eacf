"""The state a trial ended in: the last value of each measure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.analysis.frames import measure_columns, require_columns


def final(
    trials: pd.DataFrame, metrics: pd.DataFrame, *, measures: Sequence[str] | None = None, steps: bool = False
) -> pd.DataFrame:
    """One row per trial: every column of ``trials``, ``last_step``, and the last value of each measure.

    A measure taken at a cadence of its own is null in most rows: its last value is its last non-null one,
    whatever the step; its column is named by `value_column`. ``steps=True`` adds ``<measure>_step``, where
    that value was taken. Every trial keeps its row, whatever its status; one that has logged nothing yet has
    nulls.

    Raises `AnalysisError` when a column is missing.
    """
    require_columns(trials, ("trial_id",), "trials")
    require_columns(metrics, ("trial_id", "step", *(measures or ())), "metrics")
    names = list(measures) if measures is not None else measure_columns(metrics)
    ordered = metrics[["trial_id", "step", *names]]
    if not _in_order(ordered):
        ordered = ordered.sort_values("step", kind="stable")
    groups = ordered.groupby("trial_id", sort=False, observed=True)
    last = groups[names].last() if names else pd.DataFrame(index=groups.size().index)
    last.insert(0, "last_step", groups["step"].max().astype("Int64"))
    if steps:
        for name in names:
            taken = ordered[ordered[name].notna()]
            last[f"{name}_step"] = (
                taken.groupby("trial_id", sort=False, observed=True)["step"].max().astype("Int64")
            )
    last = last.rename(columns={name: value_column(trials, name) for name in names})
    last.index = last.index.astype(trials["trial_id"].dtype)
    return trials.merge(last, how="left", left_on="trial_id", right_index=True)


def value_column(trials: pd.DataFrame, measure: str) -> str:
    """The column of `final` that holds ``measure``: its own name, or ``<measure>_final`` beside a trials
    column of that name (``loss`` is both a hyperparameter, such as huber, and a measure).
    """
    return f"{measure}_final" if measure in trials.columns else measure


def _in_order(metrics: pd.DataFrame) -> bool:
    """Whether each trial's rows lie together, in order of step, as a store gives them: millions need no sorting."""
    trial, step = pd.factorize(metrics["trial_id"])[0], metrics["step"].to_numpy()
    other = trial[1:] != trial[:-1]
    together = np.count_nonzero(other) == (trial.max() if len(trial) else 0)
    return bool(together and (other | (step[1:] >= step[:-1])).all())
