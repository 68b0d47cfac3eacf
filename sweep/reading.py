"""What a result table reads of a store: last values, whole series or long vectors, of the measures it needs alone."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sweep.analysis.table import Table
from sweep.errors import CorruptSegmentError
from sweep.store import Store


def read_for(
    store: Store, name: str, table: Table, options: Mapping[str, Any], *, skip_corrupt: bool = False
) -> pd.DataFrame:
    """The frame that ``table.build(trials, frame, **options)`` takes, read from the sweep ``name``.

    For a table of last values only the rows that hold one are read into memory; ``trial_id`` of metrics is a
    categorical, of which a row holds four bytes. What was damaged and left out is in ``.attrs["skipped"]``.
    Raises `UsageError` for a measure that the store does not have.
    """
    if table.reads == "nothing":
        return pd.DataFrame()
    needed = table.needs(options)
    if table.reads == "last":
        return store.last_metrics(name, needed, skip_corrupt=skip_corrupt)
    if table.reads == "spectra":
        filters = None if needed is None else [("name", "in", needed)]
        return store.spectra(name, filters=filters, skip_corrupt=skip_corrupt)
    if needed is None:
        # A curve of nothing is no curve, and most measures are never taken: of many rows each takes much memory.
        needed = store.sweep(name).measured()
    columns = None if needed is None else list(dict.fromkeys(["trial_id", "step", *needed]))
    return store.metrics(name, columns=columns, skip_corrupt=skip_corrupt, categorical=True)


def read_also(
    store: Store, name: str, table: Table, options: Mapping[str, Any], *, skip_corrupt: bool = False
) -> Mapping[str, Any]:
    """Further arguments of ``table.build`` that only the sweep's own store has, such as its protocol's amounts.

    With ``skip_corrupt`` none where a file of them is damaged. Raises `CorruptSegmentError` without.
    """
    if table.also is None:
        return {}
    try:
        return table.also(store.sweep(name), options)
    except CorruptSegmentError:
        # Without long vectors a table has fewer rows, which is what leaving damaged files out means.
        if skip_corrupt:
            return {}
        raise
