"""The training process's end of the store: rows gather in memory and are committed as segments."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sweep.errors import SupersededError, UsageError
from sweep.store import files, segments
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.packs import Packs
from sweep.store.schema import KEYS, arrow_schema
from sweep.store.segments import SegmentInfo

__all__ = ["Rows", "SegmentWriter"]

Rows = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Columns of equal length (arrays, masked or pyarrow arrays, lists with None), or a list of rows as dicts."""


class SegmentWriter:
    """Writes one attempt's rows. Not for several threads; one writer an attempt.

    A row given twice for one key counts once: the last one. Rows that are not flushed are lost with the
    process, so flush before every checkpoint; the attempt that resumes from it then repeats what came after.
    """

    def __init__(
        self, layout: Layout, packs: Packs, pack_id: str, attempt: int, resume_step: int, next_seq: int = 0
    ) -> None:
        started = packs.resume_steps(pack_id)
        if started.get(attempt) != resume_step:
            raise UsageError(
                f"pack {pack_id!r}: attempt {attempt} with resume_step {resume_step}: it must be an attempt "
                "that "
                f"start_attempt gave, with the step it was told (attempt: step are {started}); start it "
                "first."
            )
        self._layout, self._packs = layout, packs
        self._pack_id, self._attempt, self._resume_step = pack_id, attempt, resume_step
        self._next_seq = next_seq
        self._pending: dict[Table, list[Any]] = {"metrics": [], "spectra": []}
        self._sealed: dict[Table, _Sealed] = {}
        self._flushed = time.monotonic()
        table: Table
        for table in ("metrics", "spectra"):
            files.make_folder(layout.hot(table, pack_id))
            # Only older attempts can have left any, and those are superseded.
            files.remove_temporaries(layout.hot(table, pack_id))

    @property
    def next_seq(self) -> int:
        """The number of the next segment."""
        return self._next_seq

    @property
    def rows_pending(self) -> int:
        """Rows of either table that wait for a flush."""
        return sum(batch.num_rows for batches in self._pending.values() for batch in batches)

    @property
    def bytes_pending(self) -> int:
        """Their size in memory."""
        return sum(batch.nbytes for batches in self._pending.values() for batch in batches)

    def due(self, rows: int = 8192, seconds: float = 30.0) -> bool:
        """Whether so many rows wait, or any have waited so long, that a flush is worth while."""
        pending = self.rows_pending
        return pending >= rows or (pending > 0 and time.monotonic() - self._flushed >= seconds)

    def append(self, rows: Rows) -> None:
        """Add metric rows. `trial_id` and `step` are needed; `wall_time` (unix s) is now where it is not
        given.

        Measures that are left out, None or masked become null; NaN stays NaN. Raises UsageError.
        """
        self._append("metrics", rows)

    def append_spectra(self, rows: Rows) -> None:
        """Add long vectors: `trial_id`, `step`, `name` and `values` (lists of float32). Raises UsageError."""
        self._append("spectra", rows)

    def flush(self) -> int:
        """Commit what is pending, durably, and return the next segment's number; no rows, no file.

        Raises SupersededError where a newer attempt exists, and StoreError, for instance for a full disk or an object
        store that is away: then the rows are still pending and a later flush tries again.
        """
        if self._packs.superseded(self._pack_id, self._attempt):
            self._superseded()
        table: Table
        for table in ("spectra", "metrics"):
            # Twice where an earlier flush failed: what it tried to write, then what came since.
            while self._pending[table]:
                self._commit(table)
        self._flushed = time.monotonic()
        return self._next_seq

    def _append(self, table: Table, rows: Rows) -> None:
        batch = _as_table(table, rows, self._attempt)
        if batch.num_rows:
            if not self.rows_pending:
                self._flushed = time.monotonic()
            self._pending[table].append(batch)

    def _commit(self, table: Table) -> None:
        sealed = self._sealed.get(table) or self._seal(table)
        path = self._layout.hot(table, self._pack_id) / str(SegmentName(self._attempt, sealed.seq))
        try:
            committed = files.put_if_absent(path, sealed.data, contested=False)
        except FileNotFoundError:
            # The folder is gone: the pack was finished by another attempt and has been compacted.
            self._superseded()
        if not committed:
            raise UsageError(
                f"{path}: it exists already: next_seq {sealed.seq} has been used by this attempt; give "
                "segment_writer the number that the last flush returned, or start a new attempt."
            )
        del self._pending[table][: sealed.batches], self._sealed[table]

    def _seal(self, table: Table) -> _Sealed:
        """Settle what the next segment is. It stays so until it is committed: a write whose reply was lost may have
        succeeded, and is recognised by its bytes."""
        import pyarrow as pa

        batches = self._pending[table]
        rows = pa.concat_tables(batches)
        steps = rows.column("step").to_numpy()
        info = SegmentInfo(
            pack_id=self._pack_id,
            attempt=self._attempt,
            seq=self._next_seq,
            resume_step=self._resume_step,
            rows=rows.num_rows,
            first_step=int(steps.min()),
            last_step=int(steps.max()),
        )
        self._sealed[table] = _Sealed(self._next_seq, segments.encode(rows, info), len(batches))
        self._next_seq += 1
        return self._sealed[table]

    def _superseded(self) -> None:
        raise SupersededError(
            f"pack {self._pack_id!r}: attempt {self._attempt} has been superseded by attempt "
            f"{max(self._packs.attempt_numbers(self._pack_id), default=self._attempt)}; this process must "
            "stop "
            "and leave the pack to that one."
        )


class _Sealed(NamedTuple):
    """A segment that is to be committed: its number, its bytes, and how many of the pending batches are in it."""

    seq: int
    data: bytes
    batches: int


def _as_table(table: Table, rows: Rows, attempt: int) -> Any:
    """The rows as a `pyarrow.Table` of the full schema, in memory of its own."""
    import numpy as np
    import pyarrow as pa

    schema = arrow_schema(table)
    columns: dict[str, Any]
    if isinstance(rows, Mapping):
        columns = dict(rows)
    else:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        if not rows:
            return schema.empty_table()
    _check_names(table, columns, schema.names)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"{table} rows: columns of different lengths {lengths}: give each one value a row.")
    count = lengths["trial_id"]
    columns["attempt"] = np.full(count, attempt, np.int16)
    if table == "metrics" and "wall_time" not in columns:
        columns["wall_time"] = np.full(count, time.time())
    arrays = []
    for field in schema:
        given = columns.get(field.name)
        try:
            arrays.append(pa.nulls(count, field.type) if given is None else _array(given, field.type))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(
                f"{table} rows: column {field.name!r}: {error}; it must be {field.type} for each row."
            ) from error
    for name in KEYS[table]:
        if arrays[schema.get_field_index(name)].null_count:
            raise UsageError(f"{table} rows: column {name!r} has empty values: each row needs one.")
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(kind)
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data.copy(), mask=np.ma.getmaskarray(values)).cast(kind)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
        # A copy: pyarrow would keep looking at an array that the caller fills again for the next row.
        return pa.array(values.copy()).cast(kind)
    if pa.types.is_integer(kind):
        return pa.array(list(values)).cast(kind)  # pa.array alone would cut 0.5 down to 0
    return pa.array(list(values), kind)


def _check_names(table: Table, columns: Mapping[str, Any], known: list[str]) -> None:
    missing = [name for name in KEYS[table] if name not in columns]
    if missing:
        raise UsageError(
            f"{table} rows: column {missing[0]!r} is missing; each row needs {', '.join(KEYS[table])}."
        )
    for name in columns:
        if name not in known or name == "attempt":
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close and name != "attempt" else ""
            allowed = ", ".join(n for n in known if n != "attempt")
            raise UsageError(f"{table} rows: column {name!r} is not one of: {allowed}{hint}.")
