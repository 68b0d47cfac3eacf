"""The manifest: which compacted parts are valid and which packs they hold, as of one compaction.

Each compaction publishes a whole new manifest under the next number; the highest number is the truth.
"""

from __future__ import annotations

import re
import secrets
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sweep.errors import CorruptSegmentError, StoreError
from sweep.store import files
from sweep.store.layout import Layout, SegmentName, Table
from sweep.store.schema import SCHEMA_VERSION
from sweep.store.segments import damaged

__all__ = [
    "CompactedPack",
    "Manifest",
    "NumberTakenError",
    "Part",
    "check_part",
    "generation",
    "latest",
    "new_part_path",
    "part_of_file",
    "publish",
]

_MANIFEST = re.compile(r"_manifest-(\d{6,})\.json")
_PART = re.compile(r"part-(\d{6,})(?:-[0-9a-f]+)?\.parquet")
_BLOCK = 1 << 22
_END_BYTES = 1 << 16


class NumberTakenError(StoreError):
    """Another's manifest has the number, so ours can never come into force."""


@dataclass(frozen=True)
class Part:
    """One file of a compacted table. `footer_crc32` is checked on every read, `crc32` is of all of it.

    `name` is that of the file; manifests of earlier versions lack it, and their files have only the number.
    """

    table: Table
    number: int
    rows: int
    bytes: int
    crc32: str
    footer_crc32: str
    name: str = ""

    def path(self, layout: Layout) -> Path:
        """Of its file."""
        return layout.parts(self.table) / (self.name or f"part-{self.number:06}.parquet")


@dataclass(frozen=True)
class CompactedPack:
    """A pack in the parts: when it was moved (unix s), its trials, and the last segment of each table."""

    compacted: float
    trials: list[str]
    last: dict[str, tuple[int, int]]

    def last_segment(self, table: Table) -> SegmentName | None:
        """The last segment that went in; None where the pack had none in this table."""
        return SegmentName(*self.last[table]) if table in self.last else None


@dataclass(frozen=True)
class Manifest:
    """The compacted tables. Generation 0 is before the first compaction."""

    generation: int = 0
    parts: list[Part] = field(default_factory=list)
    packs: dict[str, CompactedPack] = field(default_factory=dict)

    def of(self, table: Table) -> list[Part]:
        """The parts of one table."""
        return [part for part in self.parts if part.table == table]

    def unlisted(self, layout: Layout, table: Table, newest: int) -> list[Path]:
        """Files of a table that look like parts of it, of generations up to `newest`, and are not in this manifest."""
        listed = {part.path(layout).name for part in self.of(table)}
        return [
            layout.parts(table) / name
            for name in files.list_names(layout.parts(table))
            if (match := _PART.fullmatch(name)) and int(match[1]) <= newest and name not in listed
        ]


def generation(layout: Layout) -> int:
    """The number of the latest manifest, 0 for none."""
    names = files.list_names(layout.parts("metrics"))
    return max((int(match[1]) for name in names if (match := _MANIFEST.fullmatch(name))), default=0)


def latest(layout: Layout) -> Manifest:
    """The manifest in force. Raises CorruptSegmentError."""
    number = generation(layout)
    if not number:
        return Manifest()
    path = layout.manifest(number)
    content = files.read_json(path)
    try:
        return Manifest(
            number,
            [Part(**part) for part in content["parts"]],
            {pack_id: CompactedPack(**pack) for pack_id, pack in content["packs"].items()},
        )
    except (KeyError, TypeError) as error:
        raise CorruptSegmentError(
            f"{path}: damaged manifest ({error}); restore it from a backup.", path
        ) from error


def publish(layout: Layout, manifest: Manifest) -> None:
    """Put a manifest in force. Raises NumberTakenError where another compaction took the number."""
    path = layout.manifest(manifest.generation)
    content = {"schema_version": SCHEMA_VERSION, "created": time.time(), **asdict(manifest)}
    if not files.put_json_if_absent(path, content):
        raise NumberTakenError(
            f"{path}: another process has compacted this sweep at the same time, although it must hold the "
            "lock; "
            "does the file system have locks? Nothing is lost; give the command again."
        )


def new_part_path(layout: Layout, table: Table, number: int) -> Path:
    """Where to write a part of generation `number`: a name that no other process writes, whatever it believes."""
    return layout.parts(table) / f"part-{number:06}-{secrets.token_hex(4)}.parquet"


def part_of_file(table: Table, number: int, rows: int, path: Path, name: str) -> Part:
    """The manifest's entry for a file that has just been written at `path` and will be called `name`."""
    crc, size = 0, 0
    with files.open_file(path) as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    footer = _footer_crc32(path, files.read_end(path, _END_BYTES)[0])
    return Part(table, number, rows, size, f"{crc:08x}", footer, name)


def check_part(layout: Layout, part: Part, *, deep: bool = False) -> None:
    """Compare a part with what the manifest says: size and footer, or with `deep` every byte.

    Raises CorruptSegmentError.
    """
    path = part.path(layout)
    try:
        end, size = files.read_end(path, _END_BYTES)
    except FileNotFoundError as error:
        raise damaged(path, "the manifest lists it and it is not there") from error
    if size != part.bytes:
        raise damaged(path, f"truncated or overwritten: {size:,} bytes instead of {part.bytes:,}")
    if _footer_crc32(path, end) != part.footer_crc32:
        raise damaged(path, "the checksum of its footer differs from the manifest's")
    if deep and part_of_file(part.table, part.number, part.rows, path, part.name).crc32 != part.crc32:
        raise damaged(path, "its checksum differs from the manifest's")


def _footer_crc32(path: Path, end: bytes) -> str:
    """Of the footer's bytes, its length and the magic number, from the file's last bytes."""
    length = int.from_bytes(end[-8:-4], "little") + 8
    if length > len(end):
        end, _ = files.read_end(path, length)
    return f"{zlib.crc32(end[-length:]):08x}"
