"""A dataset in the form of an Atari one, of any size, for benchmarks: speed does not depend on what is shown."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from agents.data import Dataset, DatasetWriter
from agents.environments import describe

FRAME_BYTES = 84 * 84
_SLOTS = 16
_EPISODE = 500


def make(path: Path, gigabytes: float) -> Dataset:
    """Frames of ``gigabytes`` in all, from 16 environments that step in turn, as `sweep data collect` leaves them.

    Consecutive frames of an episode are 16 frames apart. Every 500 steps all environments begin a new episode.
    """
    steps = max(_EPISODE, int(gigabytes * 1e9 / FRAME_BYTES / _SLOTS))
    pool = np.random.default_rng(0).integers(0, 256, (1009, 84, 84), np.uint8)
    actions = np.arange(_SLOTS, dtype=np.int32) % 6
    with DatasetWriter(path, describe("atari/Pong"), steps * _SLOTS) as writer:
        episode, shown = np.arange(_SLOTS, dtype=np.int32), 0
        index = np.zeros((_SLOTS, 4), np.int32)

        def add() -> Any:
            nonlocal shown
            shown += _SLOTS
            return writer.add_frames(pool[np.arange(shown, shown + _SLOTS) % len(pool)])

        for step in range(steps):
            if step % _EPISODE == 0:
                index[:] = 0
                index[:, -1] = add()
                episode = episode + (_SLOTS if step else 0)
            numbers = np.concatenate([index, add()[:, None]], axis=1)
            last = (step + 1) % _EPISODE == 0
            rewards, discounts = (
                np.full(_SLOTS, step % 3, np.float32),
                np.full(_SLOTS, 1.0 - last, np.float32),
            )
            writer.add_transitions(numbers, actions, rewards, discounts, episode.astype(np.int32))
            index = numbers[:, 1:].copy()
        return writer.finish(len(np.unique(episode)), None, {"made by": "a benchmark"})


def evict(dataset: Dataset) -> None:
    """Have the system forget the pages of the frames, as it does where memory is short."""
    frames: Any = dataset.arrays["frames"]
    # Pages that are mapped would be kept.
    frames.base.madvise(mmap.MADV_DONTNEED)
    file = os.open(frames.filename, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
