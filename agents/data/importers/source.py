"""Where data come from: a local folder or file, gs://, s3:// or https://, read through one interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


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

    def list(self, pattern: str) -> list[Shard]:
        """The files whose name matches the glob ``pattern``, by name; numbers in names count as numbers."""
        raise NotImplementedError

    def open(self, shard: Shard) -> BinaryIO:
        """The bytes of a shard from its beginning, as a stream."""
        raise NotImplementedError

    def localise(self, shard: Shard) -> Path:
        """A local file with the shard's content: itself, or a copy in the cache."""
        raise NotImplementedError
