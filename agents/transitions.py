"""From transition numbers to minibatches, inside the compiled update where the data lies on the device."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.columns import Columns
from agents.data import Transitions
from agents.data.batches import TransitionBatch
from agents.errors import AgentError
from agents.objectives import Batch
from agents.prefetch import HostGather, Lookahead
from agents.spec import LearnerShape

PREFETCH_STEPS = 3
"""Steps whose minibatches are prepared while one trains."""


class _HostStep(NamedTuple):
    """A step's transitions, gathered on the host, and their numbers."""

    frames: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    numbers: Tensor


class BatchReader:
    """Reads minibatches of a pack from a dataset's arrays, and from the columns beside them.

    Where the arrays lie on the training device, ``select`` and ``batches`` hand out transition numbers and
    ``read`` gathers inside the (compiled) update; of a dataset that exceeds the host's memory, the pages of
    coming steps are read ahead. Where the arrays are too large for the device, ``batches`` gathers coming steps
    in a thread on the host and copies them through pinned memory, and ``read`` only stacks and converts.
    ``on_host`` gathers so on the CPU too. The minibatches are the same in every case.
    """

    def __init__(
        self,
        placed: tuple[Transitions, torch.device],
        shape: LearnerShape,
        columns: Columns | None = None,
        *,
        on_host: bool = False,
    ) -> None:
        """``columns`` are for every member of the pack, on the device.

        Raises AgentError if frames and ``shape.observation_shape`` do not fit together.
        """
        self.data, self.device = placed
        self.shape = shape
        self.columns = columns or Columns()
        if self.columns.frame_index is not None:
            index = self.columns.frame_index.to(self.data.frames.device)
            self.data = dataclasses.replace(self.data, frame_index=index, frame_stack=self.data.stack)
        self.gathers_on_device = self.data.frames.device.type == self.device.type and not on_host
        self._host: HostGather[_HostStep] | None = None
        self._host_axes: tuple[int, ...] = ()
        self._lookahead: Lookahead | None = None
        count, frame_shape = self.data.stack, tuple(self.data.frames.shape[1:])
        expected = frame_shape
        if count > 1:
            channels = frame_shape[0] if len(frame_shape) == 3 else 1
            expected = (count * channels, *frame_shape[-2:])
        if expected != tuple(shape.observation_shape):
            raise AgentError(
                f"the dataset gives observations {expected} ({count} frame(s) of {frame_shape}) but "
                f"the learner expects {tuple(shape.observation_shape)}."
            )

    def stage(self, indices: np.ndarray) -> Tensor:
        """Transition numbers int64 ``[K, N, B]`` as a tensor where ``select`` wants them."""
        chosen = torch.from_numpy(np.ascontiguousarray(indices))
        return chosen.to(self.device) if self.gathers_on_device else chosen

    def select(self, chosen: Tensor, row: int) -> Any:
        """What ``read`` needs for step ``row`` of ``chosen``: numbers, or raw arrays already on the device."""
        if self.gathers_on_device:
            return chosen[row]
        return tuple(part.to(self.device) for part in (*self.data.gather(chosen[row]), chosen[row]))

    def batches(self, chosen: Tensor) -> Iterator[Any]:
        """What ``select`` gives for each row of ``chosen``, prepared ahead; good until the next is asked for."""
        if not self.gathers_on_device:
            return map(tuple, self._gathered_ahead(chosen))
        if self._exceeds_memory:
            if self._lookahead is None:
                self._lookahead = Lookahead(PREFETCH_STEPS)
            return self._lookahead.run(lambda row: self._read_ahead(chosen[row]), len(chosen))
        return (chosen[row] for row in range(len(chosen)))

    def read(self, selected: Any, columns: Columns | None = None) -> Batch:
        """The minibatch ``[N, B, ...]``: images scaled to [0, 1], rewards clipped if the shape says so.

        ``columns`` are those of the members that ``selected`` is of; None: of all.
        """
        batch, numbers = self._gathered(selected)
        return self._assembled(batch, (self.columns if columns is None else columns).read(numbers))

    def batch_at(self, chosen: Tensor, first: int, last: int) -> Batch:
        """Transitions ``chosen`` int64 ``[B]`` for members ``first`` … ``last - 1``.

        Observations and actions have no member axis, ``[B, ...]``: they are the same for all. What depends on a
        member's numbers has one: ``r_t``, ``discount_t`` and the columns, ``[M, B, ...]``.
        """
        if self.data.frames.device.type == "cpu":
            self.data.read_ahead(chosen)
        batch, numbers = self._gathered(self.select(self.stage(chosen.view(1, -1).numpy()), 0))
        columns = self.columns.read(numbers.expand(last - first, -1), first, last)
        shared = self._assembled(batch, {})
        count = last - first
        own = shared._replace(
            r_t=shared.r_t.expand(count, -1), discount_t=shared.discount_t.expand(count, -1)
        )
        return self._with_columns(own, columns)

    def _gathered(self, selected: Any) -> tuple[TransitionBatch, Tensor]:
        if self.gathers_on_device:
            return self.data.gather(selected), selected
        *parts, numbers = selected
        return TransitionBatch(*parts), numbers

    def _assembled(self, batch: TransitionBatch, columns: dict[str, Tensor]) -> Batch:
        stack = self.data.stack
        bare = Batch(
            s_tm1=self.as_input(batch.observation(0, stack)),
            a_tm1=batch.action if batch.action.is_floating_point() else batch.action.long(),
            r_t=self.clipped(batch.reward),
            discount_t=batch.discount.float(),
            s_t=self.as_input(batch.observation(self.data.frame_index.shape[1] - stack, stack)),
            columns={},
        )
        return self._with_columns(bare, columns)

    def _with_columns(self, batch: Batch, columns: dict[str, Tensor]) -> Batch:
        rest = {name: column for name, column in columns.items() if name not in _OF_THE_BATCH}
        own = {name: column for name, column in columns.items() if name in _OF_THE_BATCH}
        return batch._replace(columns=rest, **own)

    @property
    def input_size(self) -> int:
        """Numbers of an observation."""
        return max(1, math.prod(self.shape.observation_shape))

    def as_input(self, observations: Tensor) -> Tensor:
        """Observations as the network wants them: float32 on the device, uint8 divided by 255."""
        observations = observations.to(self.device)
        return observations.float() / 255.0 if observations.dtype == torch.uint8 else observations.float()

    def clipped(self, reward: Tensor) -> Tensor:
        """Rewards as the loss wants them: float32, cut to ± ``reward_clip`` where the shape has one."""
        bound = self.shape.reward_clip
        return reward.float() if bound is None else reward.float().clamp(-bound, bound)

    @property
    def _exceeds_memory(self) -> bool:
        file = self.data.frame_file
        return file is not None and file.exceeds_memory

    def _gathered_ahead(self, chosen: Tensor) -> Iterator[_HostStep]:
        axes = tuple(chosen.shape[1:])
        if self._host is None or self._host_axes != axes:
            self._host_axes = axes
            self._host = HostGather(lambda pin: self._room(axes, pin), self.device, PREFETCH_STEPS)

        def fill(row: int, out: _HostStep) -> None:
            # The pages of the steps after those that are gathered by now; at first, of these too.
            ahead = row + PREFETCH_STEPS
            self.data.read_ahead(chosen[: ahead + 1] if row == 0 else chosen[ahead : ahead + 1])
            self.data.gather(chosen[row], TransitionBatch(*out[:4]))
            out.numbers.copy_(chosen[row])

        return self._host.batches(fill, len(chosen))

    def _room(self, axes: tuple[int, ...], pin: bool) -> _HostStep:
        numbers = torch.empty(axes, dtype=torch.int64, pin_memory=pin)
        return _HostStep(*self.data.empty_batch(axes, pin_memory=pin), numbers)

    def _read_ahead(self, chosen: Tensor) -> Tensor:
        self.data.read_ahead(chosen)
        return chosen


_OF_THE_BATCH = ("r_t", "discount_t")
