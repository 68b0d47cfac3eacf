"""Which trials an estimate stands on, and why the others do not: nothing is dropped without being counted."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.final import final, value_column
from sweep.analysis.frames import by_space, configuration_codes, require_columns

INCLUDED: Final = "included"
DIVERGED: Final = "diverged"
FAILED: Final = "failed"
UNFINISHED: Final = "unfinished"
EARLY_STOPPED: Final = "early_stopped"
MISSING: Final = "missing"
REASONS: Final = (DIVERGED, FAILED, UNFINISHED, EARLY_STOPPED, MISSING)

# A value counts as final when it was taken in the last tenth of the training that the trial was given.
FINAL_SHARE: Final = 0.9


def classify(
    trials: pd.DataFrame, metrics: pd.DataFrame, measures: Sequence[str], *, allow_pruned: bool = False
) -> pd.DataFrame:
    """`final` of ``measures``, with ``reason`` (`INCLUDED` or why not) and a number for its
    ``configuration``.

    In order of precedence: ``diverged``, ``failed``, ``unfinished`` (planned or running), ``early_stopped``
    (a scheduler other than fifo chose, by the outcome, which trials train on; ``allow_pruned`` lets them in),
    and ``missing``: a measure has no finite value in the last tenth of the trial's steps.
    """
    require_columns(trials, ("trial_id", "env", "spaces", "status"), "trials")
    table = final(trials, metrics, measures=measures, steps=True)
    table["configuration"] = configuration_codes(trials)
    status = table["status"].astype(str)
    length = table["train_steps"] if "train_steps" in table.columns else table["last_step"]
    length = pd.to_numeric(length).astype(float)
    incomplete = pd.Series(False, index=table.index)
    for measure in measures:
        values = table[value_column(trials, measure)].astype(float)
        early = table[f"{measure}_step"].astype(float) < FINAL_SHARE * length
        # A trial that early stopping ended is short by design once it has been let in.
        incomplete |= ~np.isfinite(values) | (early & ~_early_stopped(table))
    reason = pd.Series(INCLUDED, index=table.index, dtype=object)
    reason[incomplete] = MISSING
    if not allow_pruned:
        reason[_early_stopped(table)] = EARLY_STOPPED
    reason[~status.isin(["finished", "diverged", "failed"])] = UNFINISHED
    reason[status == "failed"] = FAILED
    reason[status == "diverged"] = DIVERGED
    table["reason"] = reason
    return table


def exclusions(
    trials: pd.DataFrame, metrics: pd.DataFrame, measures: Sequence[str], *, allow_pruned: bool = False
) -> pd.DataFrame:
    """Per environment and space: planned, included and left-out trials by reason, and configurations.

    Columns: env, space, n_planned, n_trials, n_configurations, n_excluded, and n_<reason> for each of
    `REASONS`. A trial in two spaces counts in both.
    """
    rows = by_space(classify(trials, metrics, measures, allow_pruned=allow_pruned))
    return pd.DataFrame(
        [
            {"env": env, "space": space, "n_planned": len(group), **counts(group)}
            for (env, space), group in rows.groupby(["env", "space"], sort=False)
        ],
        columns=["env", "space", "n_planned", *COUNT_COLUMNS],
    )


COUNT_COLUMNS: Final = ("n_trials", "n_configurations", "n_excluded", *(f"n_{reason}" for reason in REASONS))


def counts(classified: pd.DataFrame) -> dict[str, int]:
    """The numbers of `COUNT_COLUMNS` for one group of classified trials."""
    included = classified[classified["reason"] == INCLUDED]
    per_reason = classified["reason"].value_counts()
    return {
        "n_trials": len(included),
        "n_configurations": int(included["configuration"].nunique()),
        "n_excluded": len(classified) - len(included),
        **{f"n_{reason}": int(per_reason.get(reason, 0)) for reason in REASONS},
    }


def _early_stopped(trials: pd.DataFrame) -> pd.Series:
    if "scheduler" not in trials.columns:
        return pd.Series(False, index=trials.index)
    return trials["scheduler"].notna() & (trials["scheduler"].astype(str).str.lower() != "fifo")
