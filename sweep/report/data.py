"""What a report is made of, and how much of it is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.analysis.designs import with_study
from sweep.report.live import RunLinks
from sweep.store import Store


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
    series: pd.DataFrame | None = None
    """Every row of the trials whose curves are looked at; None where ``metrics`` has every row."""
    links: RunLinks | None = None

    @property
    def whole(self) -> pd.DataFrame:
        """Every row of some trials, or of all."""
        return self.metrics if self.series is None else self.series


def read_sweep(
    root: str | Path,
    name: str,
    measures: Iterable[str],
    *,
    links: RunLinks | None = None,
    skip_corrupt: bool = False,
) -> SweepData:
    """The sweep ``name`` under ``root`` with the columns of ``measures``.

    Raises `UsageError` for a sweep or a measure that does not exist, `CorruptSegmentError` for a damaged file.
    """
    store = Store(root)
    sweep = store.sweep(name)
    record = sweep.sweep_record()
    columns = list(dict.fromkeys(["trial_id", "step", *measures]))
    metrics = store.metrics(name, columns=columns, skip_corrupt=skip_corrupt)
    return SweepData(
        name,
        with_study(sweep.trials(), record),
        metrics,
        record,
        tuple(metrics.attrs.get("skipped", ())),
        links=links,
    )
