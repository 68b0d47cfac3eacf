"""The state a trial ended in: the last value of each measure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
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
    # By number: to group by a categorical, and to align by one, is slow and not always right.
    trial, ids = pd.factorize(metrics["trial_id"])
    rows = metrics[["step", *names]]
    if not _in_order(trial, rows["step"].to_numpy()):
        order = rows["step"].argsort(kind="stable").to_numpy()
        rows, trial = rows.iloc[order], trial[order]
    groups = rows.groupby(trial, sort=False)
    last = groups[names].last() if names else pd.DataFrame(index=groups.size().index)
    last.insert(0, "last_step", groups["step"].max().astype("Int64"))
    if steps:
        for name in names:
            taken = rows[name].notna().to_numpy()
            last[f"{name}_step"] = rows["step"][taken].groupby(trial[taken], sort=False).max().astype("Int64")
    last = last.rename(columns={name: value_column(trials, name) for name in names})
    last.index = pd.Index(ids).take(last.index).astype(trials["trial_id"].dtype)
    return trials.merge(last, how="left", left_on="trial_id", right_index=True)


def value_column(trials: pd.DataFrame, measure: str) -> str:
    """The column of `final` that holds ``measure``: its own name, or ``<measure>_final`` beside a trials
    column of that name (``loss`` is both a hyperparameter, such as huber, and a measure).
    """
    return f"{measure}_final" if measure in trials.columns else measure


def _in_order(trial: npt.NDArray[np.intp], step: npt.NDArray[np.int64]) -> bool:
    """Whether each trial's rows lie together, in order of step, as a store gives them: millions need no sorting.

    Trials are numbered by their first rows.
    """
    other = trial[1:] != trial[:-1]
    together = np.count_nonzero(other) == (trial.max() if len(trial) else 0)
    return bool(together and (other | (step[1:] >= step[:-1])).all())
