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

__all__ = ["in_trial_order", "step_limits", "surviving"]


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


def in_trial_order(tables: list[Any]) -> Any:
    """Tables that are each in order of trial, with `trial_id` as a dictionary, as one in that order.


    Each trial's rows are moved as a whole, without being copied or compared.
    """
    import pyarrow as pa

    runs = []
    for table in tables:
        if not table.num_rows:
            continue
        column = table.column("trial_id").unify_dictionaries().combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        codes = column.indices.to_numpy()
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        ends = np.append(starts[1:], len(codes))
        names = column.dictionary.take(pa.array(codes[starts])).to_pylist()
        runs += [(name, table, int(a), int(b)) for name, a, b in zip(names, starts, ends, strict=True)]
    if not runs:
        return tables[0]
    runs.sort(key=lambda run: run[0])
    return pa.concat_tables([table.slice(start, end - start) for _, table, start, end in runs])
