"""What a report is made of, and how much of it is read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.frames import AnalysisError, by_space, configuration_codes
from sweep.analysis.interventions.designs import with_study
from sweep.analysis.table import Table
from sweep.reading import read_also, read_for
from sweep.report.live import RunLinks
from sweep.store import Store

MOST_TRACED = 400
"""Trials of an environment and space whose whole curves are looked at, where there are more: all seeds of some
configurations, drawn at random."""
MOST_TRACED_IN_ALL = 2000


@dataclass(frozen=True)
class SweepData:
    """A sweep's tables, as the store gives them."""

    name: str
    trials: pd.DataFrame
    metrics: pd.DataFrame
    """At least the rows that hold a last value of a measure."""
    record: Mapping[str, Any] | None = None
    skipped: tuple[str, ...] = ()
    """Damaged segments that were left out, a sentence each."""
    traced: pd.DataFrame | None = None
    """Every row of the trials whose curves are looked at; None where ``metrics`` has every row."""
    links: RunLinks | None = None
    read: Callable[[Table, Mapping[str, Any]], pd.DataFrame] | None = None
    """What a result table is made of, read from the store; None where ``metrics`` is all there is."""
    also: Callable[[Table, Mapping[str, Any]], Mapping[str, Any]] = lambda table, options: {}
    """Further arguments of a table that only the sweep's own store has."""
    _frames: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def curves(self) -> pd.DataFrame:
        """Every row of some trials, or of all."""
        return self.metrics if self.traced is None else self.traced

    @property
    def traced_trials(self) -> pd.DataFrame:
        """The trials that `curves` is about."""
        if self.traced is None:
            return self.trials
        return self.trials[self.trials["trial_id"].isin(self.traced["trial_id"].unique())]

    def frame(self, table: Table, options: Mapping[str, Any]) -> pd.DataFrame:
        """What ``table.build`` takes beside the trials. Raises `AnalysisError` where there is no such thing."""
        if self.read is None:
            if table.reads == "spectra":
                raise AnalysisError("it is made of long vectors, which only a sweep's own store holds.")
            return self.metrics
        key = (table.reads, *(table.needs(options) or ()))
        if key not in self._frames:
            self._frames[key] = self.read(table, options)
        return self._frames[key]


def read_sweep(
    root: str | Path,
    name: str,
    measures: Iterable[str],
    *,
    links: RunLinks | None = None,
    skip_corrupt: bool = False,
) -> SweepData:
    """The sweep ``name`` under ``root``: last values of ``measures``, whole curves of some trials, and a reader.

    Raises `UsageError` for a sweep or a measure that does not exist, `CorruptSegmentError` for a damaged file.
    """
    store = Store(root)
    sweep = store.sweep(name)
    record = sweep.sweep_record()
    trials = with_study(sweep.trials(), record)
    wanted = list(dict.fromkeys(measures))
    metrics = store.last_metrics(name, wanted, skip_corrupt=skip_corrupt)
    chosen = traced(trials)
    traces = store.metrics(
        name,
        ["trial_id", "step", *wanted],
        None if len(chosen) == len(trials) else [("trial_id", "in", chosen)],
        skip_corrupt=skip_corrupt,
        categorical=True,
    )

    def read(table: Table, options: Mapping[str, Any]) -> pd.DataFrame:
        return read_for(store, name, table, options, skip_corrupt=skip_corrupt)

    def also(table: Table, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return read_also(store, name, table, options, skip_corrupt=skip_corrupt)

    skipped = tuple(metrics.attrs.get("skipped", ()))
    return SweepData(name, trials, metrics, record, skipped, traces, links, read, also)


def traced(trials: pd.DataFrame) -> list[str]:
    """Ids of the trials whose curves are looked at: all, or `MOST_TRACED` of each environment and space."""
    rows = by_space(trials.assign(configuration=configuration_codes(trials))) if len(trials) else trials
    groups = list(rows.groupby(["env", "space"], sort=False)) if len(trials) else []
    most = min(MOST_TRACED, max(1, MOST_TRACED_IN_ALL // max(1, len(groups))))
    if len(trials) <= most:
        return [str(trial) for trial in trials["trial_id"]]
    chosen: dict[str, None] = {}
    for _, group in groups:
        sizes = group.groupby("configuration").size()
        order = np.random.default_rng(0).permutation(len(sizes))
        enough = sizes.iloc[order].cumsum() <= most
        kept = sizes.index[order[: max(1, int(enough.sum()))]]
        chosen |= dict.fromkeys(map(str, group.loc[group["configuration"].isin(kept), "trial_id"]))
    return list(chosen)
