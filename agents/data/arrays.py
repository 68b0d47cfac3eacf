"""npy files: one that grows while it is written, and hashes of their values."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from agents.data.manifest import ArrayInfo
from agents.data.unfinished import JOURNAL_NAME
from agents.errors import DatasetError

_HASH_BYTES = 16 * 2**20
_PARTS_AT_ONCE = 1024  # IOV_MAX of Linux


class GrowingArray:
    """An npy file that rows are appended to.

    Rows are written and not mapped, so that memory stays bounded by what is appended at once, and a full disk
    is an error and not the end of the process. ``capacity`` bounds the rows that ``mapped`` shows; None where
    their number is not known before.
    """

    filled: int
    _file: int
    _header_bytes: int
    _row_bytes: int

    def __init__(
        self, path: Path, dtype: npt.DTypeLike, row_shape: tuple[int, ...], capacity: int | None = None
    ) -> None:
        self._settle(path, dtype, row_shape, capacity)
        with full_disk_named(path), path.open("wb") as file:
            _write_header(file, self.dtype, (0, *row_shape))
            self._header_bytes = file.tell()
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    @classmethod
    def resume(
        cls, path: Path, dtype: npt.DTypeLike, row_shape: tuple[int, ...], filled: int
    ) -> GrowingArray:
        """The array of a maker that ended early, cut back to its first ``filled`` rows.

        Raises DatasetError where the file holds fewer rows or rows of another kind.
        """
        array = cls.__new__(cls)
        array._settle(path, dtype, row_shape, None)
        with path.open("rb") as file:
            try:
                np.lib.format.read_magic(file)
                shape, _, found = np.lib.format.read_array_header_1_0(file)
            except ValueError as error:
                raise DatasetError(
                    f"{path} is damaged ({error}): delete {path.parent} and begin again."
                ) from error
            array._header_bytes = file.tell()
        size = array._header_bytes + filled * array._row_bytes
        if (found, shape[1:]) != (array.dtype, row_shape) or path.stat().st_size < size:
            raise DatasetError(
                f"{path} does not hold the {filled} rows of {array.dtype.str} {row_shape} that were written: "
                f"delete {path.parent} and begin again."
            )
        array._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(array._file, size)
        array.filled = filled
        return array

    def append(self, rows: npt.NDArray[Any]) -> int:
        """Write ``rows`` behind the last one; returns the index of the first.

        Raises DatasetError on a full disk.
        """
        first = self._claim(len(rows))
        values = np.ascontiguousarray(rows, self.dtype).reshape(len(rows), *self.row_shape)
        self._write(memoryview(values.reshape(-1).view(np.uint8)), first * self._row_bytes)  # type: ignore[arg-type]
        return first

    def append_parts(self, parts: Sequence[npt.NDArray[Any]]) -> int:
        """The same for arrays of rows that follow one another; they are not joined in memory first."""
        fitting = all(
            part.dtype == self.dtype and part.shape[1:] == self.row_shape and part.flags.c_contiguous
            for part in parts
        )
        if not fitting:
            return self.append(np.concatenate(parts))
        begin = self.filled
        for start in range(0, len(parts), _PARTS_AT_ONCE):
            some = parts[start : start + _PARTS_AT_ONCE]
            rows = sum(map(len, some))
            at = self._claim(rows) * self._row_bytes
            with full_disk_named(self.path):
                written = os.pwritev(self._file, some, self._header_bytes + at)  # type: ignore[arg-type]
            if written < rows * self._row_bytes:
                rest = np.concatenate(some).reshape(-1).view(np.uint8)
                self._write(memoryview(rest)[written:], at + written)  # type: ignore[arg-type]
        return begin

    def _claim(self, rows: int) -> int:
        first, self.filled = self.filled, self.filled + rows
        if self.capacity is not None and self.filled > self.capacity:
            raise ValueError(f"{self.path.name} was to hold {self.capacity} rows, not {self.filled}")
        return first

    def _write(self, view: memoryview, at: int) -> None:
        """Write bytes at ``at``, counted from the first row."""
        with full_disk_named(self.path):
            while view:
                written = os.pwrite(self._file, view, self._header_bytes + at)
                view, at = view[written:], at + written

    def mapped(self) -> npt.NDArray[Any]:
        """All ``capacity`` rows as a map that shows what is appended later; rows not yet written are zero."""
        if self.capacity is None:
            raise ValueError(f"{self.path.name} has no bound, so there is nothing to map")
        os.ftruncate(self._file, self._header_bytes + self.capacity * self._row_bytes)
        return np.memmap(
            self.path, self.dtype, "r+", offset=self._header_bytes, shape=(self.capacity, *self.row_shape)
        )

    def sync(self) -> None:
        """Bring every row to the disk."""
        with full_disk_named(self.path):
            os.fsync(self._file)

    def finish(self) -> None:
        """Cut the file to the rows written, put their number into its header, bring all of it to the disk."""
        with self.path.open("r+b") as file, full_disk_named(self.path):
            # numpy pads headers so that the first axis can change its digits in place.
            _write_header(file, self.dtype, (self.filled, *self.row_shape))
            assert file.tell() == self._header_bytes
            file.truncate(self._header_bytes + self.filled * self._row_bytes)
        self.sync()
        self.close()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _settle(
        self, path: Path, dtype: npt.DTypeLike, row_shape: tuple[int, ...], capacity: int | None
    ) -> None:
        self.path, self.dtype, self.row_shape, self.capacity = path, np.dtype(dtype), row_shape, capacity
        self.filled = 0
        self._row_bytes = self.dtype.itemsize * math.prod(row_shape)
        self._file = -1


def _write_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turns "no space left" while writing ``path``, a file of a dataset being made, into a DatasetError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        kept = (
            f"What was finished before is kept in {path.parent}"
            if (path.parent / JOURNAL_NAME).exists()
            else "Nothing was kept"
        )
        raise DatasetError(
            f"no room for {path.name} of a dataset on the disk of {path.parent.parent} ({error.strerror}). "
            f"{kept}; free some space or choose another root, then give the same command again."
        ) from error


def describe_array(path: Path) -> ArrayInfo:
    """Dtype, shape and SHA-256 of the values of an npy file, read in pieces."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return ArrayInfo(dtype=array.dtype.str, shape=array.shape, sha256=hash_values(path))


def hash_values(path: Path) -> str:
    """SHA-256 of the values of an npy file in row-major order, its header left out; 16 MiB at a time.

    Read and not mapped: pages of a map would count as this process's memory.
    """
    with path.open("rb") as file:
        return hash_stream(file)


def hash_stream(file: IO[bytes] | io.RawIOBase) -> str:
    """The same of an npy file that is open at its beginning, which is read to its end."""
    digest = hashlib.sha256()
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    while piece := file.read(_HASH_BYTES):
        digest.update(piece)
    return digest.hexdigest()
