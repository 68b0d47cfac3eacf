"""From transition numbers to minibatches, inside the compiled update where the data lies on the device."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.data import Transitions
from agents.errors import AgentError
from agents.objectives import Batch
from agents.spec import LearnerShape


class BatchReader:
    """Reads minibatches of a pack from a dataset's arrays.

    Where the arrays lie on the training device, ``select`` hands out transition numbers and ``read`` gathers
    inside the (compiled) update. Where they are too large for the device, ``select`` gathers on the host and
    copies through pinned memory, and ``read`` only converts.
    """

    def __init__(self, placed: tuple[Transitions, torch.device], shape: LearnerShape) -> None:
        """Raises AgentError if frames and ``shape.observation_shape`` do not fit together."""
        self.data, self.device = placed
        self.shape = shape
        self.gathers_on_device = self.data.frames.device.type == self.device.type
        self.frames_per_state = self.data.frame_index.shape[1] - 1
        frame_shape = tuple(self.data.frames.shape[1:])
        self.stacked = self.frames_per_state > 1
        expected = frame_shape
        if self.stacked:
            # The channels of a stack's images lie one behind the other.
            channels = frame_shape[0] if len(frame_shape) == 3 else 1
            expected = (self.frames_per_state * channels, *frame_shape[-2:])
        if expected != tuple(shape.observation_shape):
            raise AgentError(
                f"the dataset gives observations {expected} ({self.frames_per_state} frame(s) of {frame_shape}) but "
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
        return tuple(self._send(part) for part in self._gather(chosen[row]))

    def read(self, selected: Any) -> Batch:
        """The minibatch ``[N, B, ...]``: images scaled to [0, 1], rewards clipped if the shape says so."""
        frames, action, reward, discount = self._gather(selected) if self.gathers_on_device else selected
        reward = reward.float()
        if self.shape.reward_clip is not None:
            reward = reward.clamp(-self.shape.reward_clip, self.shape.reward_clip)
        count = self.frames_per_state
        if self.stacked:
            s_tm1, s_t = frames[:, :, :count], frames[:, :, -count:]
            if frames.dim() == 6:
                s_tm1, s_t = s_tm1.flatten(2, 3), s_t.flatten(2, 3)
        else:
            s_tm1, s_t = frames[:, :, 0], frames[:, :, 1]
        return Batch(
            s_tm1=self.as_input(s_tm1),
            a_tm1=action.long(),
            r_t=reward,
            discount_t=discount.float(),
            s_t=self.as_input(s_t),
        )

    def batch_at(self, chosen: Tensor) -> Batch:
        """Transitions ``chosen`` int64 ``[B]`` as a minibatch without a member axis, leaves ``[B, ...]``."""
        staged = self.stage(chosen.view(1, 1, -1).numpy())
        return Batch(*(leaf.squeeze(0) for leaf in self.read(self.select(staged, 0))))

    def as_input(self, observations: Tensor) -> Tensor:
        """Observations as the network wants them: float32 on the device, uint8 divided by 255."""
        observations = observations.to(self.device)
        return observations.float() / 255.0 if observations.dtype == torch.uint8 else observations.float()

    def _send(self, part: Tensor) -> Tensor:
        # From pinned memory the copy runs beside the arithmetic of the step before; its buffer is not reused
        # until the copy is done.
        return part.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else part

    def _gather(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        data = self.data
        frames = data.frames[data.frame_index[chosen].long()]
        return frames, data.action[chosen], data.reward[chosen], data.discount[chosen]
