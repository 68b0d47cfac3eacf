"""The source's own numbers of episodes, counted through from 0 in the order in which they appear."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.data.arrays import full_disk_named

__all__ = ["EpisodeIds"]


class EpisodeIds:
    """From uint64 numbers to 0, 1, 2, …; kept in a file too, so that a resumed import goes on counting.

    Opening it cuts the file to the first ``known`` numbers.
    """

    def __init__(self, path: Path, known: int) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, 8 * known)
        ids = np.frombuffer(os.pread(self._file, 8 * known, 0), np.uint64).tolist()
        self._numbers = {one: number for number, one in enumerate(ids)}
        os.lseek(self._file, 0, os.SEEK_END)

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, ids: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int32], list[int]]:
        """The number of each of ``ids`` ``[B]``, int32 ``[B]``, and the places at which new ones appear first."""
        before = len(self)
        fresh: list[int] = []
        numbers = np.empty(len(ids), np.int32)
        for place, one in enumerate(ids.tolist()):
            number = self._numbers.setdefault(one, len(self._numbers))
            if number >= before + len(fresh):
                fresh.append(place)
            numbers[place] = number
        with full_disk_named(self._path):
            os.write(self._file, ids[fresh].astype(np.uint64).tobytes())
        return numbers, fresh

    def sync(self) -> None:
        """Bring every number to the disk."""
        with full_disk_named(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
