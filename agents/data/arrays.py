"""npy files: one that grows while it is written, and hashes of their values."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.manifest import ArrayInfo
from agents.errors import DatasetError

_RESERVE_BYTES = 64 * 2**20
_HASH_BYTES = 16 * 2**20


class GrowingArray:
    """An npy file mapped at its greatest size and cut to what was written.

    Memory stays bounded because the pages belong to the file: the system writes them back when it needs room.
    Only what was reserved takes up disk.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, row_shape: tuple[int, ...], capacity: int) -> None:
        self.path = path
        with full_disk_named(path):
            self.rows: npt.NDArray[Any] = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.dtype(dtype), shape=(capacity, *row_shape)
            )
        self.filled = 0
        self._row_bytes = self.rows.dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        self._header_bytes = path.stat().st_size - capacity * self._row_bytes
        self._reserved = 0

    def append(self, rows: npt.NDArray[Any]) -> int:
        """Write ``rows`` behind the last one; returns the index of the first.

        Raises DatasetError on a full disk.
        """
        first, self.filled = self.filled, self.filled + len(rows)
        self._reserve(self._header_bytes + self.filled * self._row_bytes)
        self.rows[first : self.filled] = rows
        return first

    def finish(self) -> None:
        """Cut the file to the rows written, put their number into its header, bring all of it to the disk."""
        rows, self.rows = self.rows, self.rows[:0].copy()
        rows.flush()  # type: ignore[attr-defined]
        header = {
            "descr": np.lib.format.dtype_to_descr(rows.dtype),
            "fortran_order": False,
            "shape": (self.filled, *rows.shape[1:]),
        }
        with self.path.open("r+b") as file:
            # numpy pads headers so that the first axis can change its digits in place.
            np.lib.format.write_array_header_1_0(file, header)
            assert file.tell() == self._header_bytes
            file.truncate(self._header_bytes + self.filled * self._row_bytes)
            file.flush()
            os.fsync(file.fileno())

    def _reserve(self, size: int) -> None:
        # A store into a mapped page that finds the disk full kills the process (SIGBUS); asking the file
        # system for the blocks first turns that into an error.
        if size <= self._reserved:
            return
        target = min(max(size, self._reserved + _RESERVE_BYTES), self.path.stat().st_size)
        with full_disk_named(self.path), self.path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), self._reserved, target - self._reserved)
        self._reserved = target


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turns "no space left" while writing ``path``, a file of a dataset being made, into a DatasetError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DatasetError(
            f"no room for {path.name} of a dataset on the disk of {path.parent.parent} ({error.strerror}). "
            "Nothing was kept; free some space or choose another root, then give the same command again."
        ) from error


def describe_array(path: Path) -> ArrayInfo:
    """Dtype, shape and SHA-256 of the values of an npy file, read in pieces."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return ArrayInfo(dtype=array.dtype.str, shape=array.shape, sha256=hash_values(array))


def hash_values(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's values in row-major order, 16 MiB at a time."""
    flat = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    digest = hashlib.sha256()
    for start in range(0, len(flat), _HASH_BYTES):
        digest.update(flat[start : start + _HASH_BYTES])
    return digest.hexdigest()
