"""A file of an import beside its arrays, whose rows a resumed import reads back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agents.data.arrays import full_disk_named
from agents.errors import DatasetError

__all__ = ["SideFile"]


class SideFile:
    """Rows of ``row_bytes`` bytes, appended. Opening it cuts it to the first ``rows``.

    Raises DatasetError where it holds fewer, and on a full disk.
    """

    def __init__(self, path: Path, row_bytes: int, rows: int) -> None:
        self._path, self._row_bytes, self._rows = path, row_bytes, rows
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        wanted = rows * row_bytes
        if os.fstat(self._file).st_size < wanted:
            self.close()
            raise DatasetError(
                f"{path} does not hold the {rows} rows that were written: delete {path.parent} and begin again."
            )
        os.ftruncate(self._file, wanted)
        os.lseek(self._file, 0, os.SEEK_END)

    def pieces(self, most: int) -> Iterator[bytes]:
        """The rows that it was opened with, at most ``most`` at a time."""
        for first in range(0, self._rows, most):
            rows = min(most, self._rows - first)
            yield os.pread(self._file, rows * self._row_bytes, first * self._row_bytes)

    def append(self, rows: bytes) -> None:
        """Write ``rows`` behind the last one."""
        view = memoryview(rows)
        with full_disk_named(self._path):
            while view:
                view = view[os.write(self._file, view) :]

    def sync(self) -> None:
        """Bring every row to the disk."""
        with full_disk_named(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
