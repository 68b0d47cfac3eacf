"""Datasets larger than memory: having the pages of coming minibatches read before they are touched."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

MEMORY_SHARE = 0.5
"""Frames that take more than this share of the memory for pages are read ahead."""
_PIECE_BYTES = 128 * 2**10
_CGROUPS = Path("/sys/fs/cgroup")


class FrameFile:
    """The file under a memory-mapped array of F rows, such as a dataset's frames.

    Where the array fits into memory there is nothing to do: the system keeps its pages. Where it does not
    (``exceeds_memory``), a touch of an absent page stops the reader, and by default brings in a whole window
    of neighbours that nobody asked for and that push out others. The map is then told that it will be read at
    random, and ``read_ahead`` asks for exactly the rows of coming minibatches, many at once.
    """

    def __init__(self, array: npt.NDArray[Any], budget: int | None = None) -> None:
        """``array`` is a ``numpy.memmap``; ``budget`` is the memory for pages in bytes, None: as ``page_budget``."""
        self.exceeds_memory = False
        if not isinstance(array, np.memmap) or not hasattr(os, "posix_fadvise"):
            return
        budget = page_budget() if budget is None else budget
        if array.nbytes <= MEMORY_SHARE * budget or array.filename is None:
            return
        self.exceeds_memory = True
        self._offset, self._row_bytes = array.offset, array.strides[0]
        self._file = os.open(array.filename, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        below: Any = array.base
        if isinstance(below, mmap.mmap):
            below.madvise(mmap.MADV_RANDOM)

    def read_ahead(self, numbers: npt.NDArray[np.integer[Any]]) -> None:
        """Begin to read rows ``numbers`` (any shape) and return at once; nothing where the array fits."""
        if not self.exceeds_memory or numbers.size == 0:
            return
        wanted = np.unique(numbers)
        ends = np.flatnonzero(np.diff(wanted) > 1)
        firsts = wanted[np.concatenate([[0], ends + 1])].tolist()
        lasts = wanted[np.concatenate([ends, [-1]])].tolist()
        # The system cuts longer requests off at its window of reading ahead, 128 KiB on most machines.
        piece = max(1, _PIECE_BYTES // self._row_bytes)
        for first, last in zip(firsts, lasts, strict=True):
            for begin in range(first, last + 1, piece):
                count = min(piece, last + 1 - begin)
                os.posix_fadvise(
                    self._file,
                    self._offset + begin * self._row_bytes,
                    count * self._row_bytes,
                    os.POSIX_FADV_WILLNEED,
                )


def page_budget() -> int:
    """Bytes of memory that pages of files may take: free or reclaimable, and within the control group's limit."""
    available: int = psutil.virtual_memory().available
    return min([available, *_group_limits()])


def _group_limits() -> list[int]:
    """Memory limits of this process's control groups, of either version; none outside Linux."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = (
            (_CGROUPS, "memory.max") if controllers == "" else (_CGROUPS / "memory", "memory.limit_in_bytes")
        )
        # In a container the group's own folder is the root of the mount.
        for folder in (root / group.lstrip("/"), root):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):
                continue
    return limits
