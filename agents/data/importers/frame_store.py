"""Frames stored once by content: a table of digests that is the only thing an import keeps in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.data.importers.side_file import SideFile

__all__ = ["DigestTable", "DigestFile", "digests"]

DIGEST_BYTES = 16
_LEAST_SLOTS = 2**12
_REBUILD_ROWS = 2**18


def digests(pieces: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """128-bit BLAKE2b of each piece, ``[N, 2]``: among 10^9 frames two alike have probability 10^-21."""
    joined = b"".join(hashlib.blake2b(piece, digest_size=DIGEST_BYTES).digest() for piece in pieces)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


class DigestTable:
    """From a digest to the number of its frame; 20 bytes a slot, at most half of the slots taken.

    Open addressing over two arrays: a dict of the same would take five times the memory. N digests below are
    uint64 ``[N, 2]``.
    """

    def __init__(self) -> None:
        self._allocate(_LEAST_SLOTS)
        self.count = 0

    def find(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """The numbers of ``keys``, int32 ``[N]``; -1 for those that are not there."""
        found = np.full(len(keys), -1, np.int32)
        open_, slot = np.arange(len(keys)), self._slot(keys)
        while len(open_):
            value = self._values[slot]
            equal = (self._keys[slot] == keys[open_]).all(axis=1) & (value >= 0)
            found[open_[equal]] = value[equal]
            on = ~equal & (value >= 0)
            open_, slot = open_[on], (slot[on] + 1) & self._mask
        return found

    def add(self, keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int32]) -> None:
        """Put in ``keys`` that are not there and differ from one another."""
        self.count += len(keys)
        slots = len(self._values)
        while slots < 2 * self.count:
            slots *= 2
        if slots > len(self._values):
            self._grow(slots)
        self._put(keys, numbers)

    def _put(self, keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int32]) -> None:
        open_, slot = np.arange(len(keys)), self._slot(keys)
        while len(open_):
            free = self._values[slot] < 0
            # Of several that want one free slot the last written has it, and the others go on.
            self._values[slot[free]] = numbers[open_[free]]
            mine = free & (self._values[slot] == numbers[open_])
            self._keys[slot[mine]] = keys[open_[mine]]
            open_, slot = open_[~mine], (slot[~mine] + 1) & self._mask

    def _grow(self, slots: int) -> None:
        keys, values = self._keys, self._values
        self._allocate(slots)
        for first in range(0, len(values), _REBUILD_ROWS):
            taken = values[first : first + _REBUILD_ROWS] >= 0
            self._put(
                keys[first : first + _REBUILD_ROWS][taken], values[first : first + _REBUILD_ROWS][taken]
            )

    def _allocate(self, slots: int) -> None:
        self._keys = np.zeros((slots, 2), np.uint64)
        self._values = np.full(slots, -1, np.int32)
        self._mask = slots - 1

    def _slot(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        return (keys[:, 0] & np.uint64(self._mask)).astype(np.int64)


class DigestFile:
    """The digests of the frames from ``first`` on, in a file beside them, so that a resumed import knows them.

    Opening it cuts it to ``frames`` frames; the table is built from it without decoding anything.
    """

    def __init__(self, path: Path, first: int, frames: int) -> None:
        self.table = DigestTable()
        self._next = first
        self.file = SideFile(path, DIGEST_BYTES, frames - first)
        for piece in self.file.pieces(_REBUILD_ROWS):
            self._enter(np.frombuffer(piece, np.uint64).reshape(-1, 2))

    def add(self, keys: npt.NDArray[np.uint64]) -> None:
        """The digests of the frames stored next, ``[N, 2]``."""
        self.file.append(keys.tobytes())
        self._enter(keys)

    def _enter(self, keys: npt.NDArray[np.uint64]) -> None:
        self.table.add(keys, np.arange(self._next, self._next + len(keys), dtype=np.int32))
        self._next += len(keys)
