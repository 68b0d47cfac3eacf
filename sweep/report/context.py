"""What every section of the report works from: the sweep, the question, and the result tables by name."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pandas as pd

from sweep.analysis.catalog import TABLES
from sweep.analysis.confounding.audit_verdict import audit_verdict
from sweep.analysis.exclusions import INCLUDED, classify
from sweep.analysis.final import value_column
from sweep.analysis.frames import AnalysisError, by_space, space_order
from sweep.report.data import SweepData

MOST_MARKS = 1500
"""Trials of a space that a figure draws; tables and lines are of all."""


class Absent(Exception):
    """A section has nothing to show; the message is a sentence that says why."""


class Context:
    """One report: does ``measure`` predict ``outcome``?"""

    def __init__(self, data: SweepData, measure: str, outcome: str, draws: int, seed: int) -> None:
        self.data, self.measure, self.outcome = data, measure, outcome
        self.draws, self.seed = draws, seed
        self._tables: dict[str, pd.DataFrame] = {}

    @property
    def trials(self) -> pd.DataFrame:
        """Every planned trial."""
        return self.data.trials

    @cached_property
    def spaces(self) -> list[str]:
        """Every space, in the order in which readers meet them."""
        return space_order(self.trials)

    @cached_property
    def envs(self) -> list[str]:
        """Every environment, in the order of the trials."""
        return [str(env) for env in dict.fromkeys(self.trials["env"])]

    @cached_property
    def numbering(self) -> Mapping[str, int]:
        """The place of each trial among the trials: what figures call it."""
        return {str(trial): number for number, trial in enumerate(self.trials["trial_id"])}

    @cached_property
    def ends(self) -> pd.DataFrame:
        """A row per trial and space that is in the analysis: configuration, and measure and outcome at the end."""
        both = list(dict.fromkeys([self.measure, self.outcome]))
        rows = by_space(classify(self.trials, self.data.metrics, both))
        return rows[rows["reason"] == INCLUDED].rename(
            columns={value_column(self.trials, name): name for name in both}
        )

    def table(self, name: str, *, traced: bool = False, last: bool = False, **options: Any) -> pd.DataFrame:
        """The result table ``name`` about this sweep, its rows in the order of environments and spaces.

        ``measure``, ``outcome``, ``draws`` and ``seed`` are the report's where the table takes them. ``traced`` makes
        it of the trials whose whole curves are looked at, ``last`` of last values, for tables that could be of every
        step and are asked for the end. Raises `Absent` with the table's own reason where it cannot
        be made.
        """
        found = TABLES[name]
        if self.trials.empty and name != "correlation":
            raise Absent("No trial is planned yet.")
        own = {"measure": self.measure, "outcome": self.outcome, "draws": self.draws, "seed": self.seed}
        given = {key: value for key, value in own.items() if key in found.options} | options
        key = f"{name} {traced} {sorted(given.items())}"
        if key not in self._tables:
            try:
                frame = (
                    self.data.curves
                    if traced
                    else self.data.metrics
                    if last
                    else self.data.frame(found, given)
                )
                trials = self.data.traced_trials if traced else self.trials
                # Long vectors are read of all trials or of none.
                whole = len(trials) == len(self.trials)
                also = self.data.also(found, given) if whole else {}
                self._tables[key] = self.in_order(found.build(trials, frame, **given, **also))
            except AnalysisError as error:
                raise Absent(str(error)) from error
        return self._tables[key]

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """The table `audit-verdict`, read from the audit that the report has. Raises `Absent` where there is none."""
        return audit_verdict(self.table("audit"))

    def in_order(self, table: pd.DataFrame) -> pd.DataFrame:
        """``table`` with its rows by environment and space, otherwise as they were."""
        if "env" not in table.columns or "space" not in table.columns:
            return table
        envs = {env: rank for rank, env in enumerate(self.envs)}
        spaces = {space: rank for rank, space in enumerate(self.spaces)}
        order = table["env"].map(lambda env: envs.get(env, len(envs))) * (len(spaces) + 1)
        order += table["space"].map(lambda space: spaces.get(space, len(spaces)))
        return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def thinned(rows: pd.DataFrame, most: int = MOST_MARKS) -> pd.DataFrame:
    """``rows`` with at most ``most`` trials of each space, spread evenly over their ids, which are hashes."""
    kept = []
    for _, here in rows.groupby("space", sort=False):
        if len(here) > most:
            order = here["trial_id"].argsort(kind="stable").to_numpy()
            here = here.iloc[sorted(order[:: -(-len(here) // most)])]
        kept.append(here)
    return pd.concat(kept) if kept else rows
