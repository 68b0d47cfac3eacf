"""Compaction: the segments of finished packs become one sorted part, exactly once whenever it is killed.

In this order: parts that no manifest lists, which a killed compaction left, are removed; the new part is written
under a name of its own; the manifest that lists it is published; the segments go after a grace period. So a reader
of `metrics/*.parquet` never meets a row twice (in a bucket, after a killed compaction, until the next one's manifest
is there), and a compaction that slept, was followed by another, and wakes up
in the middle of an upload overwrites nothing that counts. Only finished packs are compacted, and whole, so no
later attempt can take back a row that is in a part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.errors import CorruptSegmentError, StoreError
from sweep.store import files, manifest, segments
from sweep.store.exactly_once import in_trial_order
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.lock import Owned, locked
from sweep.store.manifest import CompactedPack, Manifest, Part
from sweep.store.packs import Packs
from sweep.store.places import is_local
from sweep.store.reader import resolve_pack

__all__ = ["CompactionSummary", "compact"]

ROW_GROUP = 122_880
_TABLES: tuple[Table, ...] = ("metrics", "spectra")


@dataclass(frozen=True)
class CompactionSummary:
    """What a compaction did: packs and rows moved into parts, and packs left for damaged segments."""

    packs: int = 0
    rows: int = 0
    corrupt: list[CorruptSegmentError] = field(default_factory=list)


def compact(layout: Layout, *, min_rows: int, grace_seconds: float, rows_per_part: int) -> CompactionSummary:
    """Move finished packs into parts. Raises LockedError while another process does so, and StoreError."""
    with locked(layout.compaction_lock, f"the compaction of sweep {layout.name!r}") as owned:
        for table in _TABLES:
            files.make_folder(layout.parts(table))
            files.remove_temporaries(layout.parts(table))
        current = manifest.latest(layout)
        _remove_unlisted(layout, current)
        corrupt: list[CorruptSegmentError] = []
        sizes = _candidates(layout, current, corrupt)
        packs = rows = 0
        if sum(sizes.values()) >= min_rows:
            for chosen in _chunks(sizes, rows_per_part):
                current, moved, moved_rows = _compact_packs(layout, current, chosen, corrupt, owned)
                packs, rows = packs + moved, rows + moved_rows
        owned.check()
        _remove_compacted(layout, current, grace_seconds)
        return CompactionSummary(packs, rows, corrupt)


def _candidates(layout: Layout, current: Manifest, corrupt: list[CorruptSegmentError]) -> dict[str, int]:
    """The finished packs that are still in segments, with their numbers of metric rows."""
    hot = segments.list_all(layout, "metrics")

    def rows_of(pack_id: str) -> int | CorruptSegmentError:
        try:
            return sum(segments.describe(segment).rows for segment in hot.get(pack_id, []))
        except CorruptSegmentError as error:
            return error

    pack_ids = sorted(Packs(layout).done() - set(current.packs))
    found = dict(zip(pack_ids, files.side_by_side(layout.root, rows_of, pack_ids), strict=True))
    corrupt += [rows for rows in found.values() if isinstance(rows, CorruptSegmentError)]
    return {pack_id: rows for pack_id, rows in found.items() if isinstance(rows, int)}


def _chunks(sizes: dict[str, int], most_rows: int) -> Iterator[list[str]]:
    """Packs by the partful, so that memory is bounded."""
    chosen: list[str] = []
    rows = 0
    for pack_id, size in sizes.items():
        if chosen and rows + size > most_rows:
            yield chosen
            chosen, rows = [], 0
        chosen.append(pack_id)
        rows += size
    if chosen:
        yield chosen


def _compact_packs(
    layout: Layout, current: Manifest, pack_ids: list[str], corrupt: list[CorruptSegmentError], owned: Owned
) -> tuple[Manifest, int, int]:
    """Publish one more generation that holds these packs too; damaged ones are left out and noted."""
    number = current.generation + 1
    tables: dict[Table, list[Any]] = {table: [] for table in _TABLES}
    moved: dict[str, CompactedPack] = {}

    def resolve(pack_id: str) -> dict[Table, tuple[Any | None, SegmentName | None]] | CorruptSegmentError:
        try:
            return {table: resolve_pack(layout, table, pack_id) for table in _TABLES}
        except CorruptSegmentError as error:
            return error

    for pack_id, found in zip(pack_ids, files.side_by_side(layout.root, resolve, pack_ids), strict=True):
        if isinstance(found, CorruptSegmentError):
            corrupt.append(found)
            continue
        last: dict[str, tuple[int, int]] = {
            table: (name.attempt, name.seq) for table, (_, name) in found.items() if name
        }
        trials = {trial for rows, _ in found.values() if rows is not None for trial in _trials(rows)}
        moved[pack_id] = CompactedPack(time.time(), sorted(trials), last)
        for table, (rows, _) in found.items():
            if rows is not None:
                tables[table].append(rows)
    if not moved:
        return current, 0, 0
    parts: list[Part] = []
    for table in _TABLES:
        owned.check()
        if tables[table]:
            path = manifest.new_part_path(layout, table, number)
            parts.append(_write_part(table, number, path, in_trial_order(tables[table])))
    following = Manifest(number, [*current.parts, *parts], {**current.packs, **moved})
    try:
        manifest.publish(layout, following)
    except manifest.NumberTakenError:
        # Ours are a second copy of its rows to whoever reads `*.parquet`. After any other error they stay: the
        # manifest may have been written all the same, or will be, by a request that nobody answered.
        for part in parts:
            files.remove(part.path(layout))
        raise
    _remove_unlisted(layout, following)
    return following, len(moved), sum(part.rows for part in parts if part.table == "metrics")


def _write_part(table: Table, number: int, path: Path, rows: Any) -> Part:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = rows.set_column(
        rows.schema.get_field_index("trial_id"), "trial_id", rows.column("trial_id").cast(pa.string())
    )
    kinds = {name: rows.schema.field(name).type for name in rows.column_names}
    with files.writing(path) as temporary:
        try:
            pq.write_table(
                rows,
                temporary,
                row_group_size=ROW_GROUP,
                compression="lz4",  # filtered reads take half of what zstd takes, files 10 % more
                use_dictionary=[name for name, kind in kinds.items() if kind == pa.string()],
                use_byte_stream_split=[name for name, kind in kinds.items() if pa.types.is_floating(kind)],
                column_encoding={"step": "DELTA_BINARY_PACKED"},
                write_page_index=True,
                write_page_checksum=True,
                sorting_columns=pq.SortingColumn.from_ordering(
                    rows.schema, [("trial_id", "ascending"), ("step", "ascending")]
                ),
            )
        except pa.ArrowException as error:
            raise StoreError(f"{path}: cannot be written: {error}. The segments are untouched.") from error
        part = manifest.part_of_file(table, number, rows.num_rows, temporary, path.name)
        written = pq.read_metadata(temporary).num_rows
        if written != rows.num_rows:
            raise StoreError(
                f"{path}: {written:,} rows were written of {rows.num_rows:,}; the segments are untouched."
            )
    return part


def _trials(rows: Any) -> list[str]:
    found: list[str] = rows.column("trial_id").unique().to_pylist()
    return found


def _remove_unlisted(layout: Layout, current: Manifest) -> None:
    """Remove parts that no manifest lists nor ever will; all their rows are in segments or other parts.

    A manifest that a bucket did not confirm may come into force late, as long as its number is free; whoever holds
    the lock of a folder knows that none will.
    """
    newest = current.generation + 1 if is_local(layout.folder) else current.generation
    for table in _TABLES:
        for path in current.unlisted(layout, table, newest):
            files.remove(path)


def _remove_compacted(layout: Layout, current: Manifest, grace_seconds: float) -> None:
    """Remove the segments of packs that have been in the parts for long enough."""
    now = time.time()
    for table in _TABLES:
        over = [
            layout.hot(table, pack_id)
            for pack_id in files.list_names(layout.hot_root(table))
            # Moved in the future: by a machine of another clock, so nobody knows when. Readers need no grace.
            if (pack := current.packs.get(pack_id)) and not 0 <= now - pack.compacted < grace_seconds
        ]
        files.side_by_side(
            layout.root, files.remove_files, [folder for folder in over if files.is_folder(folder)]
        )
