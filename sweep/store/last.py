"""The last value of each measure of each trial, taken while the files are read: few rows of very many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.errors import CorruptSegmentError
from sweep.store.exactly_once import one_dictionary, run_starts
from sweep.store.layout import Layout
from sweep.store.reader import Filters, read_table
from sweep.store.schema import KEYS

__all__ = ["last_rows", "read_last"]

_KEYS = KEYS["metrics"]


def read_last(
    layout: Layout,
    measures: Sequence[str] | None = None,
    filters: Filters = None,
    *,
    skip_corrupt: bool = False,
) -> tuple[Any, list[CorruptSegmentError]]:
    """`last_rows` of the metrics that pass the filters, trial_id and step first, without ever holding all of them.

    All columns where no measures are named. Otherwise as `read_table`.
    """
    columns = None if measures is None else list(dict.fromkeys([*_KEYS, *measures]))
    return read_table(layout, "metrics", columns, filters, skip_corrupt=skip_corrupt, reduce=last_rows)


def last_rows(rows: Any) -> Any:
    """Of metrics in order of trial and step, the rows that are a trial's last or hold its last value of a column.

    NaN is no value, as in pandas. A row is kept whole: what it holds of other measures may not be their last.
    """
    import pyarrow as pa

    if not rows.num_rows:
        return rows
    trial = one_dictionary(rows.column("trial_id")).indices.to_numpy()
    starts = run_starts(trial)
    ends = np.r_[starts[1:], len(trial)] - 1
    keep = np.zeros(len(trial), bool)
    keep[ends] = True
    for name in rows.column_names:
        there = None if name in _KEYS else _there(rows.column(name))
        if there is None:
            continue
        open_ = ~there[ends]
        if open_.any():
            at = np.flatnonzero(there)
            before = np.searchsorted(at, ends[open_], side="right") - 1
            found = at[before[before >= 0]]
            keep[found[found >= starts[open_][before >= 0]]] = True
    return rows.take(pa.array(np.flatnonzero(keep)))


def _there(column: Any) -> NDArray[np.bool_] | None:
    """Which rows have a value; None where the last one's says nothing more: all have one, or none has."""
    import pyarrow as pa

    if column.null_count == len(column):
        return None
    if pa.types.is_floating(column.type):
        there: NDArray[np.bool_] = ~np.isnan(column.to_numpy())
    elif column.null_count:
        there = column.is_valid().to_numpy()
    else:
        return None
    return there
