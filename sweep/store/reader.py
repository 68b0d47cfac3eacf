"""Reading the tables: the manifest's parts and the segments not compacted yet, as one exact table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sweep.errors import CorruptSegmentError, StoreError, UsageError
from sweep.store import files, manifest, parts, segments
from sweep.store.exactly_once import codes, in_trial_order, step_limits, surviving, with_dictionary
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.manifest import Manifest
from sweep.store.packs import Packs
from sweep.store.parts import Reduce
from sweep.store.schema import KEYS, arrow_schema
from sweep.store.segments import Segment, SegmentInfo

__all__ = ["Filters", "measured", "read_table", "resolve_pack"]

Filters = Any
"""As in pyarrow: `[("step", ">=", 1000), ("loss", "<", 1.0)]` (and), lists of such (or), or an Expression."""

_TRIES = 10


def read_table(
    layout: Layout,
    table: Table,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    *,
    skip_corrupt: bool = False,
    reduce: Reduce | None = None,
) -> tuple[Any, list[CorruptSegmentError]]:
    """The rows (`pyarrow.Table`, in order of trial and step, `trial_id` as a dictionary), and what was
    skipped.

    With `reduce`, which sees `columns` and `trial_id`, a pack or row group of rows is in memory at a time.
    Raises CorruptSegmentError unless `skip_corrupt`, UsageError for a column that does not exist.
    """
    for _ in range(_TRIES):
        current = manifest.latest(layout)
        try:
            found = _read(layout, table, current, columns, filters, skip_corrupt, reduce)
        except FileNotFoundError:
            continue
        # A compaction that came between has moved segments, of which we may have seen neither side.
        if manifest.generation(layout) == current.generation:
            return found
    raise StoreError(
        f"{layout.folder}: it is being compacted again and again while being read; try again later."
    )


def measured(layout: Layout) -> list[str] | None:
    """The columns of metrics that hold a value anywhere, from the parts' statistics alone; None for a sweep with
    rows in segments, which have none.
    """
    current = manifest.latest(layout)
    if any(pack_id not in current.packs for pack_id in files.list_names(layout.hot_root("metrics"))):
        return None
    # Which parts are damaged is said by who reads them.
    return parts.measured(parts.checked(layout, "metrics", current, []))


def resolve_pack(
    layout: Layout,
    table: Table,
    pack_id: str,
    columns: set[str] | None = None,
    *,
    skipped: list[CorruptSegmentError] | None = None,
) -> tuple[Any | None, SegmentName | None]:
    """The rows of one pack's segments that count, in order of their keys, and the last segment; None for no
    rows.

    With a list for `skipped`, damaged segments are noted there instead of raised.
    """
    import pyarrow as pa

    packs = Packs(layout)
    resumed = packs.resume_steps(pack_id)
    result = packs.result(pack_id)
    last = result["attempt"] if result else None
    wanted = None if columns is None else columns | set(KEYS[table])
    tables, versions = [], []
    # Not those of an attempt that was started beside the one that came to its end.
    counted = [
        segment
        for segment in segments.list_segments(layout, table, pack_id)
        if last is None or segment.name.attempt <= last
    ]
    name = counted[-1].name if counted else None

    def read(segment: Segment) -> tuple[SegmentInfo, Any] | CorruptSegmentError:
        try:
            return segments.read(segment, None if wanted is None else list(wanted))
        except CorruptSegmentError as error:
            if skipped is None:
                raise
            return error

    for found in files.side_by_side(layout.root, read, counted):
        if isinstance(found, CorruptSegmentError):
            assert skipped is not None
            skipped.append(found)
            continue
        info, rows = found
        resumed.setdefault(info.attempt, info.resume_step)
        tables.append(rows)
        versions.append((info.attempt, info.seq, rows.num_rows))
    if not tables:
        return None, name
    merged = pa.concat_tables(tables, promote_options="permissive")
    limits = step_limits({a: step for a, step in resumed.items() if last is None or a <= last})
    counts = [rows for *_, rows in versions]
    kept = surviving(
        [codes(merged.column(key)) for key in KEYS[table]],
        np.repeat([attempt for attempt, *_ in versions], counts),
        np.repeat([seq for _, seq, _ in versions], counts),
        limits,
    )
    return with_dictionary(merged).take(pa.array(kept)), name


def _read(
    layout: Layout,
    table: Table,
    current: Manifest,
    columns: Sequence[str] | None,
    filters: Filters,
    skip_corrupt: bool,
    reduce: Reduce | None,
) -> tuple[Any, list[CorruptSegmentError]]:
    skipped: list[CorruptSegmentError] = []
    noted = skipped if skip_corrupt else None
    looked_at = _filter_columns(filters)
    needed = None if columns is None or looked_at is None else {*columns, *looked_at}

    # Which rows count must be settled before any filter: it could drop the one that supersedes another.
    def read(pack_id: str) -> tuple[Any | None, list[CorruptSegmentError]]:
        damaged: list[CorruptSegmentError] = []
        rows, _ = resolve_pack(layout, table, pack_id, needed, skipped=damaged if skip_corrupt else None)
        return rows if rows is None or reduce is None or filters is not None else reduce(rows), damaged

    hot = [pack_id for pack_id in files.list_names(layout.hot_root(table)) if pack_id not in current.packs]
    tail = []
    for rows, damaged in files.side_by_side(layout.root, read, hot):
        skipped += damaged
        if rows is not None:
            tail.append(rows)
    paths = parts.checked(layout, table, current, noted)
    schema = _schema(table, _types([rows.schema for rows in tail] + [parts.schema(path) for path in paths]))
    _check_columns(table, [*(columns or []), *sorted(looked_at or [])], schema.names)
    expression = _expression(filters, schema)
    names = list(schema.names if columns is None else columns)
    in_order = not tail and len(paths) == 1 and reduce is None
    carried = names if in_order or "trial_id" in names else ["trial_id", *names]
    tables = [_completed(rows, schema) for rows in tail]
    tables = [(rows if expression is None else rows.filter(expression)).select(carried) for rows in tables]
    if paths:
        # A dictionary is faster to read, a string can be compared with the statistics of row groups.
        plain = looked_at is None or "trial_id" in looked_at
        tables.append(parts.scan(paths, schema, carried, expression, noted, reduce, plain=plain))
    if not tables:
        return schema.empty_table().select(names), skipped
    whole = tables[0] if in_order else in_trial_order(tables)
    return (whole if reduce is None else reduce(whole)).select(names), skipped


def _types(schemas: list[Any]) -> dict[str, Any]:
    return {field.name: field.type for schema in schemas for field in schema}


def _schema(table: Table, extra: dict[str, Any]) -> Any:
    """The table's schema with what newer versions have added, `trial_id` as a dictionary."""
    import pyarrow as pa

    fields = {**{field.name: field.type for field in arrow_schema(table)}}
    fields.update({name: kind for name, kind in extra.items() if name not in fields})
    return pa.schema({**fields, "trial_id": pa.dictionary(pa.int32(), pa.string())})


def _completed(rows: Any, schema: Any) -> Any:
    """The rows with every column of the schema, null where they have none."""
    import pyarrow as pa

    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _expression(filters: Filters, schema: Any) -> Any:
    """The filters as an expression that fits the schema. Raises UsageError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if filters is None:
        return None
    try:
        expression = pq.filters_to_expression(filters)
        schema.empty_table().filter(expression)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UsageError(
            f"filters {filters!r}: {str(error).splitlines()[0]}; give a list such as "
            "[('step', '>=', 1000), ('loss', '<', 1.0)] with values of the columns' types."
        ) from error
    return expression


def _filter_columns(filters: Filters) -> set[str] | None:
    """The columns that the filters look at; None where they cannot be told."""
    if filters is None:
        return set()
    if not isinstance(filters, (list, tuple)):
        return None
    alternatives = filters if filters and isinstance(filters[0], list) else [filters]
    try:
        return {str(condition[0]) for conditions in alternatives for condition in conditions}
    except (TypeError, IndexError, KeyError):
        return None  # the error for it comes when it is made an expression


def _check_columns(table: Table, names: Sequence[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"{table}: no column {name!r}; there are: {', '.join(known)}{hint}.")
