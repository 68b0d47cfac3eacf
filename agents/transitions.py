"""From transition numbers to minibatches, inside the compiled update where the data lies on the device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.data import Transitions
from agents.data.batches import TransitionBatch
from agents.errors import AgentError
from agents.objectives import Batch
from agents.prefetch import HostGather, Lookahead
from agents.spec import LearnerShape

PREFETCH_STEPS = 3
"""Steps whose minibatches are prepared while one trains."""


class BatchReader:
    """Reads minibatches of a pack from a dataset's arrays.

    Where the arrays lie on the training device, ``select`` and ``batches`` hand out transition numbers and
    ``read`` gathers inside the (compiled) update; of a dataset that exceeds the host's memory, the pages of
    coming steps are read ahead. Where the arrays are too large for the device, ``batches`` gathers coming steps
    in a thread on the host and copies them through pinned memory, and ``read`` only stacks and converts.
    ``on_host`` gathers so on the CPU too. The minibatches are the same in every case.
    """

    def __init__(
        self, placed: tuple[Transitions, torch.device], shape: LearnerShape, *, on_host: bool = False
    ) -> None:
        """Raises AgentError if frames and ``shape.observation_shape`` do not fit together."""
        self.data, self.device = placed
        self.shape = shape
        self.gathers_on_device = self.data.frames.device.type == self.device.type and not on_host
        self._host: HostGather[TransitionBatch] | None = None
        self._host_axes: tuple[int, ...] = ()
        self._lookahead: Lookahead | None = None
        count, frame_shape = self.data.frame_index.shape[1] - 1, tuple(self.data.frames.shape[1:])
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
        return tuple(part.to(self.device) for part in self.data.gather(chosen[row]))

    def batches(self, chosen: Tensor) -> Iterator[Any]:
        """What ``select`` gives for each row of ``chosen``, prepared ahead; good until the next is asked for."""
        if not self.gathers_on_device:
            return map(tuple, self._gathered_ahead(chosen))
        if self._exceeds_memory:
            if self._lookahead is None:
                self._lookahead = Lookahead(PREFETCH_STEPS)
            return self._lookahead.run(lambda row: self._read_ahead(chosen[row]), len(chosen))
        return (chosen[row] for row in range(len(chosen)))

    def read(self, selected: Any) -> Batch:
        """The minibatch ``[N, B, ...]``: images scaled to [0, 1], rewards clipped if the shape says so."""
        batch = self.data.gather(selected) if self.gathers_on_device else TransitionBatch(*selected)
        return Batch(
            s_tm1=self.as_input(batch.s_tm1),
            a_tm1=batch.action if batch.action.is_floating_point() else batch.action.long(),
            r_t=self.clipped(batch.reward),
            discount_t=batch.discount.float(),
            s_t=self.as_input(batch.s_t),
        )

    def batch_at(self, chosen: Tensor) -> Batch:
        """Transitions ``chosen`` int64 ``[B]`` as a minibatch without a member axis, leaves ``[B, ...]``."""
        if self.data.frames.device.type == "cpu":
            self.data.read_ahead(chosen)
        staged = self.stage(chosen.view(1, 1, -1).numpy())
        return Batch(*(leaf.squeeze(0) for leaf in self.read(self.select(staged, 0))))

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

    def _gathered_ahead(self, chosen: Tensor) -> Iterator[TransitionBatch]:
        axes = tuple(chosen.shape[1:])
        if self._host is None or self._host_axes != axes:
            self._host_axes = axes
            self._host = HostGather(
                lambda pin: self.data.empty_batch(axes, pin_memory=pin), self.device, PREFETCH_STEPS
            )

        def fill(row: int, out: TransitionBatch) -> None:
            # The pages of the steps after those that are gathered by now; at first, of these too.
            ahead = row + PREFETCH_STEPS
            self.data.read_ahead(chosen[: ahead + 1] if row == 0 else chosen[ahead : ahead + 1])
            self.data.gather(chosen[row], out)

        return self._host.batches(fill, len(chosen))

    def _read_ahead(self, chosen: Tensor) -> Tensor:
        self.data.read_ahead(chosen)
        return chosen
