"""Following a sweep: each committed batch of rows once, in order, from where the follower left off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sweep.errors import CorruptSegmentError
from sweep.store import files, manifest, segments
from sweep.store.exactly_once import step_limits
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.manifest import CompactedPack, Manifest
from sweep.store.packs import Packs
from sweep.store.segments import Segment

__all__ = ["TailBatch", "tail"]

Cursors = Mapping[str, tuple[int, int]]
"""For each pack the (attempt, seq) of the last batch taken; a missing pack is taken from the start."""


class TailBatch(NamedTuple):
    """Rows (`pyarrow.Table`) of one pack; (attempt, seq) is the pack's cursor once they have been taken."""

    pack_id: str
    attempt: int
    seq: int
    rows: Any


def tail(layout: Layout, cursors: Cursors, table: Table, *, skip_corrupt: bool) -> Iterator[TailBatch]:
    """What was committed after the cursors, pack by pack, oldest first."""
    current = manifest.latest(layout)
    packs, hot = Packs(layout), segments.list_all(layout, table)
    for pack_id in sorted({*hot, *current.packs}):
        cursor = SegmentName(*cursors.get(pack_id, (-1, -1)))
        pack = current.packs.get(pack_id)
        if pack:
            yield from _compacted(layout, current, table, pack_id, pack, cursor)
        else:
            fresh = [segment for segment in hot[pack_id] if segment.name > cursor]
            if fresh:
                yield from _hot(packs, pack_id, fresh, skip_corrupt)


def _hot(packs: Packs, pack_id: str, fresh: list[Segment], skip_corrupt: bool) -> Iterator[TailBatch]:
    import pyarrow.compute as pc

    limits = step_limits(packs.resume_steps(pack_id))
    for segment in fresh:
        try:
            info, rows = segments.read(segment)
        except FileNotFoundError:
            return  # compacted meanwhile; the next call finds the rest in a part, as the cursor tells it
        except CorruptSegmentError:
            if not skip_corrupt:
                raise
            continue
        limit = limits.get(info.attempt)
        if limit is not None:
            rows = rows.filter(pc.field("step") <= limit)
        yield TailBatch(pack_id, info.attempt, info.seq, rows)


def _compacted(
    layout: Layout, current: Manifest, table: Table, pack_id: str, pack: CompactedPack, cursor: SegmentName
) -> Iterator[TailBatch]:
    """All the pack's rows as one batch, unless its last segment was taken while it was hot."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    last = pack.last_segment(table)
    if last is None or cursor >= last:
        return
    paths = [part.path(layout) for part in current.of(table)]
    style = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    wanted = ds.field("trial_id").isin(pack.trials)
    try:
        names, where = [files.arrow_name(path) for path in paths], files.arrow_filesystem(paths[0])
        rows = ds.dataset(names, format=style, filesystem=where).to_table(filter=wanted)
    except (pa.ArrowException, OSError) as error:
        raise segments.damaged(layout.parts(table), str(error)) from error
    yield TailBatch(pack_id, last.attempt, last.seq, rows)
