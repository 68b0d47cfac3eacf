"""Segments: immutable Parquet files of rows as a training process commits them.

A segment tells what it is in one JSON value under the key `rankscope` of its Parquet metadata, and that value
holds a CRC-32 of the whole file (counted with the eight digits of the checksum itself as zeros, as in a tar
header). Page checksums cover the pages only; this one also covers the footer, so no flipped bit goes
unnoticed. It can be checked, and the description read, without a Parquet library.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweep.errors import CorruptSegmentError
from sweep.store import files
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.schema import SCHEMA_VERSION

__all__ = ["Segment", "SegmentInfo", "check", "describe", "encode", "list_all", "list_segments", "read"]

_MARK = b'{"rankscope_crc32": "'
_ZEROS = b"00000000"
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Segment:
    """A segment by its place: which pack, which attempt, which number."""

    pack_id: str
    name: SegmentName
    path: Path


@dataclass(frozen=True)
class SegmentInfo:
    """What a segment says of itself.

    `resume_step` is the step its attempt went on from (-1: from nothing); steps are those of its rows.
    """

    pack_id: str
    attempt: int
    seq: int
    resume_step: int
    rows: int
    first_step: int
    last_step: int
    schema_version: int = SCHEMA_VERSION


def list_segments(layout: Layout, table: Table, pack_id: str) -> list[Segment]:
    """The committed segments of a pack, oldest first; none where there is no such pack."""
    folder = layout.hot(table, pack_id)
    found = [
        Segment(pack_id, name, folder / file_name)
        for file_name in files.list_names(folder)
        if (name := SegmentName.parse(file_name))
    ]
    return sorted(found, key=lambda segment: segment.name)


def list_all(layout: Layout, table: Table) -> dict[str, list[Segment]]:
    """The committed segments of every pack, as `list_segments` gives them, from one listing of the whole table."""
    root, found = layout.hot_root(table), dict[str, list[Segment]]()
    for path in files.list_tree(root):
        pack_id, _, file_name = path.partition("/")
        if name := SegmentName.parse(file_name):
            found.setdefault(pack_id, []).append(Segment(pack_id, name, root / pack_id / file_name))
    return {pack_id: sorted(found[pack_id], key=lambda segment: segment.name) for pack_id in sorted(found)}


def encode(table: Any, info: SegmentInfo) -> bytes:
    """The bytes of a segment with these rows (`pyarrow.Table`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    description = {"rankscope_crc32": _ZEROS.decode(), **asdict(info)}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in table.column_names if table.schema.field(name).type == pa.string()],
        use_byte_stream_split=[
            name for name in table.column_names if pa.types.is_floating(table.schema.field(name).type)
        ],
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"rankscope": json.dumps(description)})
    data = bytearray(sink.getvalue())
    digits = data.rindex(_MARK) + len(_MARK)
    data[digits : digits + 8] = f"{zlib.crc32(data):08x}".encode()
    return bytes(data)


def read(segment: Segment, columns: list[str] | None = None) -> tuple[SegmentInfo, Any]:
    """A segment's description and rows (`pyarrow.Table` with those of `columns` that it has).

    Raises CorruptSegmentError, or FileNotFoundError where a compaction has moved on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = files.read_bytes(segment.path)
    info = _checked(segment, data)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        names = file.schema_arrow.names
        # Small files: reading with threads costs more than it brings.
        table = file.read([n for n in names if columns is None or n in columns], use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(segment.path, str(error)) from error
    return info, table


def check(segment: Segment) -> SegmentInfo:
    """Verify the whole file against its checksum. Raises CorruptSegmentError or FileNotFoundError."""
    return _checked(segment, files.read_bytes(segment.path))


def describe(segment: Segment) -> SegmentInfo:
    """What a segment says of itself, from its last bytes. Raises as `check` does, for what it can see."""
    tail, size = files.read_end(segment.path, _TAIL_BYTES)
    wanted = _footer_bytes(segment.path, tail, size)
    if wanted > len(tail):
        tail, size = files.read_end(segment.path, wanted)
    return _description(segment, tail, size)[0]


def damaged(path: Path, why: str) -> CorruptSegmentError:
    """The error for a damaged file of rows: its name, what is wrong, what to do."""
    message = (
        f"{path}: damaged: {why.rstrip('.')}. The other files can be read: add --skip-corrupt "
        "(skip_corrupt=True in Python) to go on without it. To have its rows again, restore it from a "
        "backup, or "
        "remove its pack's folders under packs/, hot/, hot-spectra/ and the checkpoints, and run the sweep "
        "again."
    )
    return CorruptSegmentError(message, path)


def _checked(segment: Segment, data: bytes) -> SegmentInfo:
    info, digits = _description(segment, data, len(data))
    said = data[digits : digits + 8]
    crc = zlib.crc32(data[digits + 8 :], zlib.crc32(_ZEROS, zlib.crc32(data[:digits])))
    if said != f"{crc:08x}".encode():
        raise damaged(segment.path, f"its checksum is {crc:08x}, it was written with {said!r}")
    if (info.attempt, info.seq, info.pack_id) != (segment.name.attempt, segment.name.seq, segment.pack_id):
        raise damaged(
            segment.path,
            f"it was written as segment {SegmentName(info.attempt, info.seq)} of pack {info.pack_id!r} "
            "and has been renamed",
        )
    return info


def _description(segment: Segment, tail: bytes, size: int) -> tuple[SegmentInfo, int]:
    """The description, and where the checksum's digits are in `tail`: the last bytes of the file, or all."""
    start = len(tail) - _footer_bytes(segment.path, tail, size)
    mark = tail.rfind(_MARK, max(0, start))
    try:
        if mark < 0:
            raise ValueError("no description in its footer")
        found, _ = json.JSONDecoder().raw_decode(tail[mark : len(tail) - 8].decode("utf-8", "replace"))
        del found["rankscope_crc32"]
        info = SegmentInfo(**{name: found[name] for name in SegmentInfo.__dataclass_fields__})
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(segment.path, f"its description cannot be read ({error})") from error
    return info, mark + len(_MARK)


def _footer_bytes(path: Path, tail: bytes, size: int) -> int:
    """How many of the last bytes are the footer with its length and magic number."""
    if size < 12 or tail[-4:] != b"PAR1":
        raise damaged(path, f"truncated, its {size:,} bytes do not end as a Parquet file does")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > size - 4:
        raise damaged(path, f"truncated, its footer of {length:,} bytes is longer than the file")
    return length
