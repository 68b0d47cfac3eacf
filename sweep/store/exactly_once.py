"""The rule that makes a row exist once, whatever was killed and whoever wrote on when thought dead.

In each pack: an attempt that went on from step R repeats everything after R, so rows of older attempts with
step > R do not count ("the last one wins" alone would leave ghost rows at steps the later attempt never
wrote). Of what is left, each key's row is the one of the highest (attempt, seq), the last written in a
segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "codes",
    "in_trial_order",
    "one_dictionary",
    "run_starts",
    "step_limits",
    "surviving",
    "with_dictionary",
]

_SHORT_RUN = 512


def step_limits(resume_steps: Mapping[int, int]) -> dict[int, int | None]:
    """For each attempt the last step up to which its rows count; None for no limit.

    That is the lowest step from which any later attempt went on.
    """
    limits: dict[int, int | None] = {}
    lowest: int | None = None
    for attempt in sorted(resume_steps, reverse=True):
        limits[attempt] = lowest
        resumed = resume_steps[attempt]
        lowest = resumed if lowest is None else min(lowest, resumed)
    return limits


def surviving(
    keys: list[NDArray[Any]],
    attempt: NDArray[np.int64],
    seq: NDArray[np.int64],
    limits: Mapping[int, int | None],
) -> NDArray[np.int64]:
    """The numbers of the rows that count, in the order of their keys.

    `keys` are integer arrays [rows], the most significant first; the second is the step. `seq` [rows] is the
    segment's number in its attempt. Rows are in the order of writing within a segment.
    """
    rows = np.arange(len(attempt))
    highest = np.iinfo(np.int64).max
    numbers, which = np.unique(attempt, return_inverse=True)
    limit = np.array([highest if (found := limits.get(int(n))) is None else found for n in numbers], np.int64)
    rows = rows[keys[1] <= limit[which]] if len(rows) else rows
    if not len(rows):
        return rows
    # lexsort takes the most significant key last.
    order = rows[np.lexsort([rows, seq[rows], attempt[rows], *(key[rows] for key in reversed(keys))])]
    is_last = np.zeros(len(order), bool)
    is_last[-1] = True
    for key in keys:
        is_last[:-1] |= key[order[:-1]] != key[order[1:]]
    return order[is_last]


def codes(column: Any) -> NDArray[np.int64]:
    """Integers [rows] in the order of the values of an integer or string column (`pyarrow.ChunkedArray`)."""
    import pyarrow as pa

    numbers: NDArray[np.int64]
    if pa.types.is_integer(column.type):
        numbers = column.to_numpy().astype(np.int64)
        return numbers
    encoded = one_dictionary(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    numbers = _in_order(encoded.dictionary)[1][encoded.indices.to_numpy()]
    return numbers


def one_dictionary(column: Any) -> Any:
    """A dictionary column (`pyarrow.ChunkedArray`) as one `pyarrow.DictionaryArray`."""
    encoded = column.unify_dictionaries().combine_chunks()
    return encoded.chunk(0) if hasattr(encoded, "chunk") else encoded


def with_dictionary(rows: Any) -> Any:
    """The rows (`pyarrow.Table`) with `trial_id` as a dictionary."""
    import pyarrow as pa

    index = rows.schema.get_field_index("trial_id")
    if pa.types.is_dictionary(rows.schema.field(index).type):
        return rows
    return rows.set_column(index, "trial_id", rows.column(index).dictionary_encode())


def in_trial_order(tables: list[Any]) -> Any:
    """Tables that are each in order of trial, as one in that order (`pyarrow.Table`).

    `trial_id` is a dictionary in each. A trial's rows are moved as a whole, not compared, so this costs
    little.
    """
    import pyarrow as pa

    table = pa.concat_tables(tables)
    if not table.num_rows:
        return table
    position = table.schema.get_field_index("trial_id")
    encoded = one_dictionary(table.column(position))
    names, ranks = _in_order(encoded.dictionary)
    starts = run_starts(encoded.indices.to_numpy())
    trial = ranks[encoded.indices.to_numpy()[starts]]
    order = np.argsort(trial, kind="stable")
    lengths = np.diff(starts, append=table.num_rows)[order]
    starts, trial = starts[order], trial[order]
    if table.num_rows < _SHORT_RUN * len(starts):
        # Slices of few rows would make a table of countless chunks.
        ends = np.cumsum(lengths)
        rows = np.arange(table.num_rows) + np.repeat(starts - (ends - lengths), lengths)
        table = table.combine_chunks().take(pa.array(rows))
    else:
        runs = zip(starts.tolist(), lengths.tolist(), strict=True)
        table = pa.concat_tables([table.slice(start, length) for start, length in runs])
    ordered = np.repeat(trial.astype(np.int32), lengths)
    trials = pa.DictionaryArray.from_arrays(pa.array(ordered), pa.array(names, pa.string()))
    return table.set_column(position, "trial_id", trials)


def run_starts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.r_[len(values) > 0, values[1:] != values[:-1]])


def _in_order(names: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The values of a dictionary in order, and the rank of each."""
    values = names.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values))
    return [values[number] for number in order], ranks
