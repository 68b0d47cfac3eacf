"""npy arrays read from a stream that cannot go back, such as a gzip file, some rows at a time."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from agents.errors import DatasetError

__all__ = ["NpyStream", "gzip_named"]


@contextmanager
def gzip_named(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """``raw`` decompressed. Raises DatasetError that begins with ``name`` where it is cut short or damaged."""
    try:
        with raw, gzip.GzipFile(fileobj=raw) as unpacked:
            yield cast(BinaryIO, unpacked)
    except EOFError as error:
        raise DatasetError(f"{name} is cut short: the gzip stream has no end. Fetch it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{name} is damaged, or no gzip file ({error}). Fetch it again.") from error


class NpyStream:
    """An npy array in ``stream``, whose header is read at once; its values never as a whole.

    ``dtype``, ``shape``: the array's. Raises DatasetError that begins with ``name`` where the stream holds no
    array of plain values in row-major order (pickled objects are refused, nothing of them is run).
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        try:
            major, _ = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            self.shape, by_columns, self.dtype = read(stream)
        except ValueError as error:
            raise DatasetError(f"{name} holds no npy array ({error}). Fetch it again.") from error
        if self.dtype.hasobject or (by_columns and len(self.shape) > 1):
            kind = "pickled objects" if self.dtype.hasobject else "values in column-major order"
            raise DatasetError(f"{name} holds {kind}; a plain array, row by row, is needed")
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        self._read = 0

    def rows(self, count: int) -> npt.NDArray[Any]:
        """The next ``count`` rows (a number without rows is one). Raises DatasetError where they end before."""
        content = memoryview(bytearray(count * self._row_bytes))
        at = 0
        while at < len(content):
            filled = self._stream.readinto(content[at:])  # type: ignore[attr-defined]
            if not filled:
                raise DatasetError(
                    f"{self._name} is cut short: shape {self.shape} is promised, the values end in row "
                    f"{self._read + at // self._row_bytes:,}. Fetch it again."
                )
            at += filled
        self._read += count
        array: npt.NDArray[Any] = np.frombuffer(content, self.dtype)
        return array.reshape(count, *self.shape[1:]) if self.shape else array.reshape(())

    def whole(self) -> npt.NDArray[Any]:
        """All of an array that is small."""
        return self.rows(self.shape[0] if self.shape else 1)

    def skip(self, count: int) -> None:
        """Read over ``count`` rows. Raises DatasetError where they end before."""
        at_once = max(1, 2**24 // max(self._row_bytes, 1))
        for first in range(0, count, at_once):
            self.rows(min(at_once, count - first))

    def finish(self) -> None:
        """Read to the stream's end, so that its checksum is compared. Raises DatasetError for values left over."""
        if self._stream.read(1):
            raise DatasetError(f"{self._name} holds more values than shape {self.shape} of its header")
