"""What was played, on its way to the dataset: kept step by step, numbered and written block by block."""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agents.data.writer import DatasetWriter
from agents.environments.protocol import VectorEnvironment

_BLOCK_BYTES = 8 * 2**20
_BLOCK_STEPS = 512
_SWITCH_SECONDS = 2e-4


class BlockStore:
    """Takes steps of B slots and writes them to ``writer``; use as a context manager.

    A step is only noted here. Frames, stacks and episodes are numbered for a whole block of steps at once, and
    a thread of its own writes the block while the environment goes on: by a few system calls, which do not hold
    Python's lock. Errors of that thread, such as a full disk, are raised by a later call.

    ``total`` transitions are kept; steps beyond them are dropped. ``checkpoints`` (None: no such column) is
    the number of equal stretches of training to tell apart.
    """

    def __init__(
        self, writer: DatasetWriter, vector: VectorEnvironment, total: int, checkpoints: int | None
    ) -> None:
        self.writer, self.vector = writer, vector
        self.slots, self.total, self.checkpoints = vector.num_envs, total, checkpoints
        spec = vector.spec
        self._stack, self._frame_shape, self._extras = spec.frame_stack, spec.frame_shape, bool(spec.extras)
        # Where the newest frame of a stack begins.
        self._newest = spec.observation_shape[0] - spec.observation_shape[0] // self._stack
        frame_bytes = np.dtype(spec.observation_dtype).itemsize * int(np.prod(self._frame_shape))
        self._block_steps = max(1, min(_BLOCK_STEPS, _BLOCK_BYTES // (self.slots * frame_bytes)))
        self._block = _Block()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="collected-data")
        self._writing: Future[None] | None = None
        self._written = 0
        # What numbering carries from block to block.
        self._frames = 0
        self._episodes = self.slots
        self._episode = np.arange(self.slots, dtype=np.int32)
        self._age = np.zeros(self.slots, np.int64)
        self._recent = np.zeros((self._stack, self.slots), np.int32)
        self._returns = np.zeros(self.slots)
        self.finished_returns: list[float] = []
        """Undiscounted returns of the episodes that ended in what has been written."""

    def __enter__(self) -> Self:
        self._switch_interval = sys.getswitchinterval()
        # After each system call the writing thread has to be given Python's lock, by default after 5 ms: a block
        # of a fast environment is played in 12.
        sys.setswitchinterval(_SWITCH_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True)
        sys.setswitchinterval(self._switch_interval)

    def begin(self, observation: npt.NDArray[np.generic]) -> None:
        """The first observations ``[B, *observation_shape]`` of all slots."""
        # Frame 0 of a stacked dataset is black and there already.
        self._recent[-1] = self.writer.add_frames(self._cut(observation), self.vector.extras())
        self._frames = self.writer.frames_filled

    def add(
        self,
        action: npt.NDArray[Any],
        observation: npt.NDArray[np.generic],
        reward: npt.NDArray[np.float32],
        terminated: npt.NDArray[np.bool_],
        ended: npt.NDArray[np.bool_],
    ) -> None:
        """A step of all slots: what was chosen, and what followed. The arrays must not change any more."""
        block = self._block
        # Not at the end of the step before, to whose block the frames of restarted episodes belong.
        if len(block.steps) == self._block_steps:
            self.flush(wait=False)
            block = self._block
        block.steps.append((action, reward, terminated, ended))
        block.frames.append(observation if self._stack == 1 else self._cut(observation))
        if self._extras:
            block.extras.append(self.vector.extras())

    def restarted(self, observation: npt.NDArray[np.generic], which: npt.NDArray[np.bool_]) -> None:
        """The first observations of new episodes in slots ``which``, after a step that ended those before."""
        self._block.frames.append(self._cut(observation[which]))
        if self._extras:
            shown = self.vector.extras()
            self._block.extras.append({name: array[which] for name, array in shown.items()})

    def flush(self, *, wait: bool = True) -> None:
        """Hand over what was added; with ``wait`` it is written on return, so that a learner can read it."""
        block, self._block = self._block, _Block()
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
        if not block.steps:
            return
        # Numbered here: in the other thread it would ask for Python's lock again and again.
        count, rows = self._numbered(block)
        if wait:
            self._write(block, count, rows)
        else:
            self._writing = self._threads.submit(self._write, block, count, rows)

    def _write(self, block: _Block, count: int, rows: dict[str, Any]) -> None:
        frames, extras = block.frames, block.extras
        if count < sum(map(len, frames)):
            frames = [np.concatenate(frames)[:count]]
            names = self.vector.spec.extras
            extras = [{name: np.concatenate([shown[name] for shown in extras])[:count] for name in names}]
        self.writer.add_frame_parts(frames, extras)
        self.writer.add_transitions(**rows)

    def _cut(self, observation: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The newest frame of each stack, ``[B, *frame_shape]``, without what it was cut from."""
        if self._stack == 1:
            return observation
        return observation[:, self._newest :].reshape(len(observation), *self._frame_shape).copy()

    def _numbered(self, block: _Block) -> tuple[int, dict[str, Any]]:
        """How many of the block's frames are kept, and its transitions as ``add_transitions`` takes them."""
        steps, slots, stack = len(block.steps), self.slots, self._stack
        kept = min(steps * slots, self.total - self._written)
        action, reward, terminated, ended = (
            np.concatenate(parts).reshape(steps, slots, *parts[0].shape[1:])
            for parts in zip(*block.steps, strict=True)
        )
        # The slots that follow the last transition are dropped, and so is the start of any later episode.
        ended.reshape(-1)[kept:] = False
        last = self._written + kept == self.total
        began = ended.copy()
        if last:
            began[-1] = False

        # Frames lie in the order in which they were added: of each step all slots, then the episodes begun.
        counts = began.sum(1)
        first = self._frames + np.concatenate([[0], np.cumsum(slots + counts)])
        following = (first[:-1, None] + np.arange(slots)).astype(np.int32)
        begun = following + slots  # for slots without a new episode, a number that is not used
        begun[began] = (first[:-1, None] + slots + np.cumsum(began, 1) - 1)[began]
        # The newest frame of the state after each step, behind those of the last states before this block.
        newest = np.concatenate([self._recent, np.where(began, begun, following)])
        step = np.arange(steps + 1)[:, None]
        started = np.where(np.concatenate([np.zeros((1, slots), np.bool_), began]), step, -self._age)
        age = step - np.maximum.accumulate(started, axis=0)
        index = np.zeros((steps, slots, stack + 1), np.int32)
        for back in range(stack):
            earlier = newest[stack - 1 - back : stack - 1 - back + steps]
            # The rest of an episode's first stacks is frame 0, black.
            index[:, :, stack - 1 - back] = np.where(age[:-1] >= back, earlier, 0)
        index[:, :, stack] = following

        numbers = np.zeros((steps + 1, slots), np.int32)
        numbers[0] = self._episode
        numbers[1:][began] = self._episodes + np.arange(counts.sum())
        numbers = np.maximum.accumulate(numbers, axis=0)

        # Sums of whole blocks, less what had been summed when each slot's episode began.
        sums = np.concatenate([np.zeros((1, slots)), np.cumsum(reward, axis=0, dtype=np.float64)])
        since = step - age
        before = np.take_along_axis(sums, np.maximum(since, 0), axis=0) - np.where(
            since < 1, self._returns, 0
        )
        self.finished_returns += (sums[1:] - before[:-1])[ended].tolist()
        self._returns = sums[-1] - before[-1]

        rows: dict[str, Any] = {
            "frame_index": index.reshape(-1, stack + 1)[:kept],
            "action": action.reshape(-1, *action.shape[2:])[:kept],
            "reward": reward.reshape(-1)[:kept],
            # Only a terminal s' is worth 0: a truncated episode would have gone on.
            "discount": (1 - terminated.astype(np.float32)).reshape(-1)[:kept],
            "episode": numbers[:-1].reshape(-1)[:kept],
        }
        if self.checkpoints is not None:
            transition = np.arange(self._written, self._written + kept, dtype=np.int64)
            rows["columns"] = {"checkpoint": (transition * self.checkpoints // self.total).astype(np.int32)}
        self._recent, self._age, self._episode = newest[-stack:], age[-1], numbers[-1]
        self._episodes += int(counts.sum())
        # Transitions that are not kept have frames that are not kept: they are the last ones.
        frames = int(first[-1] - self._frames) - (steps * slots - kept)
        self._frames, self._written = int(first[-1]), self._written + kept
        return frames, rows


class _Block:
    """Some steps as they were played, and all frames in the order in which they were shown."""

    def __init__(self) -> None:
        self.steps: list[tuple[npt.NDArray[Any], ...]] = []
        self.frames: list[npt.NDArray[np.generic]] = []
        self.extras: list[dict[str, npt.NDArray[Any]]] = []
