"""Where data come from: a local folder or file, gs://, s3:// or https://, read through one interface."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, cast

from agents.data.importers.checksums import CHECKSUM_FILES, read_checksums
from agents.errors import DatasetError

__all__ = ["Shard", "Source"]

_BUFFER = 2**20


@dataclass(frozen=True)
class Shard:
    """One file of a source: its name relative to the source, and its size and SHA-256 where they are known."""

    name: str
    size: int | None = None
    sha256: str | None = None


class Source:
    """A folder or a single file, local or remote."""

    def __init__(self, url: str, *, cache: Path, checksums: Mapping[str, str] | None = None) -> None:
        self.url, self.cache, self.checksums = url, cache, dict(checksums or {})
        self._path = Path(url.removeprefix("file://")).expanduser()
        if not self._path.exists():
            raise DatasetError(f"source {url} does not exist. Give a folder or a file that is there.")
        self._folder = self._path if self._path.is_dir() else self._path.parent
        if not self.checksums:
            for name in CHECKSUM_FILES:
                if (self._folder / name).is_file():
                    self.checksums = read_checksums(self._folder / name)

    def list(self, pattern: str) -> list[Shard]:
        """The files whose name matches the glob ``pattern``, by name; numbers in names count as numbers."""
        if self._path.is_dir():
            found = [path for path in self._path.rglob("*") if path.is_file()]
            names = [path.relative_to(self._path).as_posix() for path in found]
        else:
            names = [self._path.name]
        return [self._shard(name) for name in sorted(names, key=natural) if matches(name, pattern)]

    def open(self, shard: Shard) -> BinaryIO:
        """The bytes of a shard from its beginning, as a stream."""
        raw = (self._folder / shard.name).open("rb", buffering=0)
        return cast(BinaryIO, io.BufferedReader(_Checked(raw, shard, self.where(shard)), _BUFFER))

    def localise(self, shard: Shard) -> Path:
        """A local file with the shard's content: itself, or a copy in the cache."""
        return self._folder / shard.name

    def where(self, shard: Shard) -> str:
        """The shard's full address, for messages."""
        return str(self._folder / shard.name)

    def _shard(self, name: str) -> Shard:
        return Shard(name, (self._folder / name).stat().st_size, self.checksums.get(name))


def natural(name: str) -> list[Any]:
    """Sorts names so that numbers in them count as numbers: ``part-2`` before ``part-10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def matches(name: str, pattern: str) -> bool:
    """Whether the relative name, or its last part where the pattern has no slash, matches the glob."""
    return fnmatchcase(name if "/" in pattern else name.rsplit("/", 1)[-1], pattern)


class _Checked(io.RawIOBase):
    """A stream whose length and SHA-256 are compared with the known ones where it ends."""

    def __init__(self, raw: Any, shard: Shard, where: str) -> None:
        self._raw, self._shard, self._where = raw, shard, where
        self._digest = hashlib.sha256() if shard.sha256 else None
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._raw.readinto(buffer) or 0)
        if count:
            self._at += count
            if self._digest:
                self._digest.update(memoryview(buffer)[:count])
            return count
        size, wanted = self._shard.size, self._shard.sha256
        if size is not None and size != self._at:
            raise DatasetError(f"{self._where} ended after {self._at:,} of {size:,} bytes. Fetch it again.")
        if self._digest and self._digest.hexdigest() != wanted:
            raise DatasetError(
                f"{self._where} has SHA-256 {self._digest.hexdigest()}, {wanted} is recorded. Fetch it again."
            )
        return 0

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
