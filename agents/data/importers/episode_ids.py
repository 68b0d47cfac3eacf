"""The source's own numbers of episodes, counted through from 0 in the order in which they appear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.data.importers.side_file import SideFile

__all__ = ["EpisodeIds"]

_ID_BYTES = 8
_PIECE_ROWS = 2**18


class EpisodeIds:
    """From uint64 numbers to 0, 1, 2, …; kept in a file too, so that a resumed import goes on counting.

    Opening it cuts the file to the first ``known`` numbers.
    """

    def __init__(self, path: Path, known: int) -> None:
        self.file = SideFile(path, _ID_BYTES, known)
        ids = np.frombuffer(b"".join(self.file.pieces(_PIECE_ROWS)), np.uint64).tolist()
        self._numbers = {one: number for number, one in enumerate(ids)}

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
        self.file.append(ids[fresh].astype(np.uint64).tobytes())
        return numbers, fresh
