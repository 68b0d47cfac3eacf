"""What proves that a file arrived whole: a checksum that somebody recorded, and its computation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from agents.errors import DatasetError

__all__ = ["Check", "Digest"]

_PIECE = 16 * 2**20
_TITLES = {"sha256": "SHA-256", "md5": "MD5", "crc32c": "CRC-32C"}


class Digest(Protocol):
    """A checksum in the making."""

    def update(self, data: Any, /) -> None:
        """Count these bytes too."""
        ...

    def hexdigest(self) -> str:
        """The checksum so far, in lower-case hexadecimal."""
        ...


@dataclass(frozen=True)
class Check:
    """A checksum of a file's bytes in lower-case hexadecimal, and who recorded it."""

    algorithm: Literal["sha256", "md5", "crc32c"]
    expected: str
    origin: str

    def __str__(self) -> str:
        return f"{_TITLES[self.algorithm]} from {self.origin}"

    def digest(self) -> Digest:
        """An empty checksum of this kind."""
        if self.algorithm == "crc32c":
            return _Crc32c()
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def compare(self, found: str, where: str, remedy: str) -> None:
        """Raises DatasetError with both sums where ``found`` is another one."""
        if found != self.expected:
            raise DatasetError(
                f"{where} is damaged or was replaced: its {_TITLES[self.algorithm]} is {found}, {self.expected} "
                f"is recorded by {self.origin}. {remedy}"
            )

    def of_file(self, path: Path) -> str:
        """This checksum of a local file, read in pieces of 16 MiB."""
        digest = self.digest()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()


class _Crc32c:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any, /) -> None:
        import google_crc32c

        self._value = google_crc32c.extend(self._value, bytes(data))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"
