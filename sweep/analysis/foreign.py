"""Runs that something else than `sweep run` trained: a CSV of W&B, Optuna or one's own as trials and metrics."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.frames import (
    CONFIGURATION_FIELDS,
    FOREIGN_FIELD,
    AnalysisError,
    configuration_codes,
    configuration_fields,
)
from sweep.analysis.interventions.designs import CHOSEN

_TRIAL_IDS: Final = ("trial_id", "run_id", "ID", "id", "number", "Name")
"""What may name a run, in order of preference: ours, W&B's, Optuna's."""
_STATES: Final = ("status", "state", "State")
_STATUSES: Final = {
    **dict.fromkeys(("finished", "complete", "completed", "success", "succeeded", "done"), "finished"),
    **dict.fromkeys(("failed", "fail", "crashed", "killed", "error"), "failed"),
    "diverged": "diverged",
    "running": "running",
    **dict.fromkeys(("planned", "waiting", "pending"), "planned"),
    # Ended by what it showed: finished, under early stopping.
    **dict.fromkeys(("pruned", "stopped"), "finished"),
}
_PRUNED: Final = ("pruned", "stopped")
_OPTUNA: Final = "params_"
_OF_A_RUN: Final = (
    "trial_id",
    "sweep",
    "spaces",
    "status",
    "env",
    "dataset",
    "seed",
    "scheduler",
    "pack_id",
    CHOSEN,
)


@dataclass(frozen=True)
class Runs:
    """``trials`` and ``metrics`` with the store's columns, and ``notes``: sentences on what was assumed."""

    trials: pd.DataFrame
    metrics: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_csv(
    path: str | Path,
    *,
    rename: Mapping[str, str] | None = None,
    hyperparameters: Sequence[str] | None = None,
) -> Runs:
    """The runs in the CSV at ``path``: see `runs_from`. Raises `AnalysisError` for a file that cannot be read."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise AnalysisError(
            f"{path}: there is no such file; give the path of a CSV with a row a run."
        ) from None
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        raise AnalysisError(f"{path}: not a CSV with a row a run ({reason}).") from error
    return runs_from(table, rename=rename, hyperparameters=hyperparameters, source=str(path))


def runs_from(
    table: pd.DataFrame,
    *,
    rename: Mapping[str, str] | None = None,
    hyperparameters: Sequence[str] | None = None,
    source: str = "the table",
) -> Runs:
    """A row a run, or with a column ``step`` a row a run and step, as the store's tables.

    ``rename`` maps our names (return_mean, srank, seed, env, spaces, trial_id, status, step) to theirs.
    ``hyperparameters`` are columns that were set; by default those with the name of a field of a trial, and those
    that begin with ``params_`` (Optuna) or ``config.``. They become ``config.<name>`` unless the name is a field of a
    trial. Other columns of numbers are measures. Rows of one run must agree in what is not measured.

    Assumed, and noted, where a column is missing: one environment, one space ("all"), every run finished, seeds
    numbered within a configuration. Spaces are split at ``;``. A pruned run counts as one under early stopping.

    Raises `AnalysisError` for a column that does not exist, no hyperparameter, no measure, an unknown status, and a
    run whose rows disagree.
    """
    notes: list[str] = []
    table = _renamed(table, rename or {}, source)
    if table.empty:
        raise AnalysisError(f"{source}: it has no row; it needs one a run.")
    table = _with_hyperparameters(table, hyperparameters, source)
    set_columns = configuration_fields(table)
    if not set_columns:
        raise AnalysisError(
            f"{source}: no column is known to be a hyperparameter among {', '.join(map(str, table.columns))}. Name "
            "those that were set, such as --hyperparameters lr,width."
        )
    table = _with_identity(table, source, notes)
    measures = [
        str(column)
        for column in table.columns
        if column not in (*set_columns, *_OF_A_RUN, "step", "attempt", "wall_time")
        and pd.api.types.is_numeric_dtype(table[column])
    ]
    if not measures:
        raise AnalysisError(
            f"{source}: no column of numbers is left as a measure beside {', '.join(set_columns)}."
        )
    trials = _trials(table, set_columns, source)
    if "seed" not in trials.columns:
        trials["seed"] = (
            pd.Series(configuration_codes(trials)).groupby(configuration_codes(trials)).cumcount()
        )
        notes.append(f"{source}: no column seed; runs of one configuration are numbered from 0.")
    steps = (
        table["step"]
        if "step" in table.columns
        else table.get("train_steps", pd.Series(1, index=table.index))
    )
    metrics = table[["trial_id", *measures]].astype(dict.fromkeys(measures, float))
    metrics.insert(1, "step", steps.astype(np.int64))
    if "train_steps" not in trials.columns:
        trials["train_steps"] = trials["trial_id"].map(metrics.groupby("trial_id")["step"].max())
    return Runs(trials, metrics.reset_index(drop=True), tuple(notes))


def _renamed(table: pd.DataFrame, rename: Mapping[str, str], source: str) -> pd.DataFrame:
    for ours, theirs in rename.items():
        if theirs not in table.columns:
            raise AnalysisError(
                f"{source}: no column {theirs!r} to be {ours}; it has {', '.join(map(str, table.columns))}."
            )
    # A column of ours that another one takes the name of would be there twice.
    kept = table.drop(
        columns=[ours for ours, theirs in rename.items() if ours in table.columns and ours != theirs]
    )
    return kept.rename(columns={theirs: ours for ours, theirs in rename.items()})


def _with_hyperparameters(table: pd.DataFrame, named: Sequence[str] | None, source: str) -> pd.DataFrame:
    columns = [str(column) for column in table.columns]
    if named is None:
        foreign = [column for column in columns if column.startswith(_OPTUNA)]
    else:
        for name in named:
            if name not in columns:
                raise AnalysisError(
                    f"{source}: no column {name!r} to be a hyperparameter; it has {', '.join(columns)}."
                )
        foreign = [name for name in named if name not in CONFIGURATION_FIELDS]
    prefixed = {
        name: FOREIGN_FIELD + name.removeprefix(_OPTUNA)
        for name in foreign
        if not name.startswith(FOREIGN_FIELD)
    }
    return table.rename(columns=prefixed)


def _with_identity(table: pd.DataFrame, source: str, notes: list[str]) -> pd.DataFrame:
    table = table.copy()
    named = next((column for column in _TRIAL_IDS if column in table.columns), None)
    if named is not None:
        table["trial_id"] = table[named].astype(str)
        table = table.drop(columns=named) if named != "trial_id" else table
    elif "step" in table.columns:
        raise AnalysisError(
            f"{source}: a column step but none that names the run ({', '.join(_TRIAL_IDS)}): rename one, such as "
            "--rename trial_id=run."
        )
    else:
        table["trial_id"] = [f"row-{number}" for number in range(len(table))]
    state = next((column for column in _STATES if column in table.columns), None)
    table = _with_status(table, state, source)
    if state is None:
        notes.append(f"{source}: no column status; every run is taken as finished.")
    if "env" not in table.columns:
        table["env"] = "one environment"
        notes.append(f"{source}: no column env; all runs are taken as of one environment.")
    spaces = table["spaces"] if "spaces" in table.columns else pd.Series("all", index=table.index)
    table["spaces"] = spaces.map(lambda text: [part.strip() for part in str(text).split(";")])
    table["sweep"] = Path(source).stem
    # A CSV does not tell whether its configurations were drawn, or sought out by what earlier ones gave.
    table[CHOSEN] = "unknown"
    return table


def _with_status(table: pd.DataFrame, column: str | None, source: str) -> pd.DataFrame:
    told = (
        pd.Series("finished", index=table.index) if column is None else table[column].astype(str).str.lower()
    )
    # Optuna's state may come as TrialState.COMPLETE.
    told = told.str.rpartition(".")[2]
    for value in told.unique():
        if value not in _STATUSES:
            known = ", ".join(sorted(_STATUSES))
            raise AnalysisError(f"{source}: status {value!r} is not known; it must be one of {known}.")
    scheduler = told.map(lambda value: "early stopping" if value in _PRUNED else "fifo")
    table = table.drop(columns=[c for c in _STATES if c in table.columns])
    table["status"] = told.map(_STATUSES)
    if "scheduler" not in table.columns:
        table["scheduler"] = scheduler
    return table


def _trials(table: pd.DataFrame, set_columns: Sequence[str], source: str) -> pd.DataFrame:
    columns = [c for c in (*_OF_A_RUN, *set_columns) if c in table.columns]
    columns = list(dict.fromkeys(columns))
    if "step" not in table.columns and table["trial_id"].duplicated().any():
        twice = table.loc[table["trial_id"].duplicated(), "trial_id"].iloc[0]
        raise AnalysisError(
            f"{source}: run {twice!r} has several rows but there is no column step: give one, or a row a run."
        )
    first = table.drop_duplicates("trial_id")[columns].reset_index(drop=True)
    checked: list[Hashable] = [c for c in columns if c not in ("trial_id", "spaces", "sweep")]
    kinds = table.groupby("trial_id", sort=False)[checked].nunique(dropna=False)
    for column in checked:
        changing = kinds.index[kinds[column] > 1]
        if len(changing):
            raise AnalysisError(
                f"{source}: {column} changes within run {changing[0]!r}; a run has one configuration and status."
            )
    return first
