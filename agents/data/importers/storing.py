"""From blocks to the rows and frames of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import EpisodeBlock, ImportPlan, TransitionBlock
from agents.data.importers.checks import fit_episode, fit_frame, fit_transitions
from agents.data.importers.episode_ids import EpisodeIds
from agents.data.importers.frame_store import DigestFile, digests
from agents.data.writer import DatasetWriter

__all__ = ["BlockStore"]

Refuse = Callable[[int, str, str], None]
"""Told the record, the key and the reason of each record that is left out; raises when they are too many."""


class BlockStore:
    """Puts blocks into a writer, what does not fit left out, and counts episodes and their returns.

    What has to survive the process beside the arrays is in ``state`` and in two files in the writer's folder,
    which ``sync`` brings to the disk and ``remove_files`` takes away.
    """

    def __init__(self, writer: DatasetWriter, plan: ImportPlan, state: dict[str, Any] | None) -> None:
        self.writer, self.plan = writer, plan
        self._stack = plan.environment.frame_stack
        self._next_episode: int = state["next_episode"] if state else 0
        self.episodes: int = state["episodes"] if state else 0
        self._returns: float = state["returns"] if state else 0.0
        self._source_episodes: int = state["source_episodes"] if state else 0
        self._frames: DigestFile | None = None
        self._episode_ids: EpisodeIds | None = None

    @property
    def mean_return(self) -> float | None:
        """Of the episodes counted; None where there is none."""
        return self._returns / self.episodes if self.episodes else None

    def state(self) -> dict[str, Any]:
        """What to give to the next process, as JSON types."""
        return {
            "next_episode": self._next_episode,
            "episodes": self.episodes,
            "returns": self._returns,
            "source_episodes": len(self._episode_ids) if self._episode_ids else self._source_episodes,
        }

    def add(self, block: EpisodeBlock | TransitionBlock, room: int | None, refuse: Refuse) -> None:
        """Store ``block``, at most ``room`` of its transitions; each record left out goes to ``refuse``."""
        if room is not None and room < len(block.reward):
            block = _first(block, room)
        if isinstance(block, EpisodeBlock):
            self._add_episode(block, refuse)
        else:
            self._add_transitions(block, refuse)

    def sync(self) -> None:
        """Bring the files beside the arrays to the disk."""
        for file in (self._frames, self._episode_ids):
            if file is not None:
                file.file.sync()

    def close(self) -> None:
        """Give the files back."""
        for file in (self._frames, self._episode_ids):
            if file is not None:
                file.file.close()

    def remove_files(self) -> None:
        """Take away what only a resumed import needs."""
        self.close()
        for path in (self._digest_path, self._episode_path):
            path.unlink(missing_ok=True)

    @property
    def _digest_path(self) -> Path:
        return self.writer.making / "digests"

    @property
    def _episode_path(self) -> Path:
        return self.writer.making / "episode-ids"

    def _add_episode(self, block: EpisodeBlock, refuse: Refuse) -> None:
        block, problems = fit_episode(block, self.plan)
        steps, lead, stack = len(block.reward), block.lead, self._stack
        whole = [problem for problem in problems if problem.row is None]
        if problems and (whole or not block.rows):
            first = (whole or problems)[0]
            for row in range(steps if block.rows else 1):
                refuse(block.record + row, first.key, first.why)
            return
        bad_step, bad_frame = np.zeros(steps, np.bool_), np.zeros(lead + steps + 1, np.bool_)
        for row, one in {problem.row or 0: problem for problem in reversed(problems)}.items():
            refuse(block.record + row, one.key, one.why)
            bad_step[row : row + 1] = True
        for row in {problem.row or 0 for problem in problems if problem.in_frame}:
            # A problem of the lead counts as the first step's.
            bad_frame[lead + row if row else 0 : lead + row + 1] = True
        newest = lead + 1 + np.arange(steps)
        bad_until = np.concatenate([[0], np.cumsum(bad_frame)])
        usable = ~bad_step & (bad_until[newest + 1] == bad_until[np.maximum(newest - stack, 0)])
        if not usable.any():
            return
        window = newest[usable, None] + np.arange(-stack, 1)
        used = np.zeros(len(bad_frame), np.bool_)
        used[window[window >= 0]] = True
        stored = np.zeros(len(bad_frame), np.int32)
        stored[used] = self.writer.add_frames(
            block.frames[used], {name: values[used] for name, values in block.extras.items()}
        )
        # Before an episode's first frame lies the black one, number 0.
        index = np.where(window >= 0, stored[np.maximum(window, 0)], 0).astype(np.int32)
        begins = usable & ~np.concatenate([[False], usable[:-1]])
        episode = (self._next_episode - 1 + np.cumsum(begins)).astype(np.int32)
        self._next_episode += int(begins.sum())
        self.writer.add_transitions(
            index, block.action[usable], block.reward[usable], block.discount[usable], episode[usable],
            {name: values[usable] for name, values in block.columns.items()},
        )  # fmt: skip
        if block.complete and usable.all():
            given = block.episode_return
            self.episodes += 1
            self._returns += float(block.reward.sum(dtype=np.float64)) if given is None else given

    def _add_transitions(self, block: TransitionBlock, refuse: Refuse) -> None:
        block, problems = fit_transitions(block, self.plan)
        count = len(block.reward)
        refused = {problem.row: problem for problem in reversed(problems)}
        for row in range(count):
            if one := refused.get(row) or refused.get(None):
                refuse(block.record + row, one.key, one.why)
        rows = np.array([row for row in range(count) if None not in refused and row not in refused], np.int64)
        rows, index = self._store_frames(block, rows, refuse)
        if not len(rows):
            return
        ids = block.episode[rows]
        returns = block.columns.get("episode_return")
        number, fresh = self._known_episodes().numbers(ids)
        if returns is not None:
            self._returns += float(returns[rows][fresh].sum(dtype=np.float64))
            self.episodes += len(fresh)
        self.writer.add_transitions(
            index, block.action[rows], block.reward[rows], block.discount[rows], number,
            {name: values[rows] for name, values in block.columns.items()},
        )  # fmt: skip

    def _store_frames(
        self, block: TransitionBlock, rows: npt.NDArray[np.int64], refuse: Refuse
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Store what is new; the rows whose frames all could be decoded, and their frame numbers ``[B, K + 1]``."""
        across, store = self._stack + 1, self._known_frames()
        pieces = [piece for row in rows for piece in block.frames[row]]
        keys = digests(pieces)
        number = store.table.find(keys)
        # A frame's place is that of its first use, so that the order does not depend on how digests sort.
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        use = first[inverse.reshape(-1)]
        decoded: dict[int, npt.NDArray[Any]] = {}
        bad: dict[int, str] = {}
        for place in np.unique(use[number < 0]):
            try:
                decoded[int(place)] = fit_frame(block.decode(pieces[place]), self.plan.environment)
            except ValueError as error:
                bad[int(place)] = str(error)
        if bad:
            kept = np.ones(len(rows), np.bool_)
            for at, row in enumerate(rows):
                for column, place in enumerate(use[at * across : (at + 1) * across].tolist()):
                    if place in bad:
                        key = block.frame_keys[column] if block.frame_keys else f"frame {column}"
                        refuse(block.record + int(row), key, bad[place])
                        kept[at] = False
                        break
            # Begun anew without them, so that no frame is stored that only they use.
            return self._store_frames(block, rows[kept], refuse) if kept.any() else (rows[:0], _NO_FRAMES)
        if decoded:
            places = np.array(list(decoded))
            numbers = self.writer.add_frames(np.stack(list(decoded.values())))
            store.add(keys[places])
            found = np.full(len(pieces), -1, np.int32)
            found[places] = numbers
            number = np.where(number < 0, found[use], number)
        return rows, number.reshape(len(rows), across)

    def _known_frames(self) -> DigestFile:
        if self._frames is None:
            black = 1 if self._stack > 1 else 0
            self._frames = DigestFile(self._digest_path, black, self.writer.frames_filled)
        return self._frames

    def _known_episodes(self) -> EpisodeIds:
        if self._episode_ids is None:
            self._episode_ids = EpisodeIds(self._episode_path, self._source_episodes)
        return self._episode_ids


_NO_FRAMES = np.zeros((0, 0), np.int32)


def _first(block: EpisodeBlock | TransitionBlock, count: int) -> EpisodeBlock | TransitionBlock:
    """The first ``count`` transitions of a block."""
    rows: dict[str, Any] = {
        "action": block.action[:count],
        "reward": block.reward[:count],
        "discount": block.discount[:count],
    }
    columns = {name: values[:count] for name, values in block.columns.items()}
    if isinstance(block, TransitionBlock):
        return replace(
            block, **rows, columns=columns, episode=block.episode[:count], frames=block.frames[:count]
        )
    seen = block.lead + count + 1
    extras = {name: values[:seen] for name, values in block.extras.items()}
    return replace(block, **rows, columns=columns, extras=extras, frames=block.frames[:seen], complete=False)
