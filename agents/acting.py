"""How a pack's members play: from observations to values, with memory where their networks have one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap

from agents.evaluation import ActionValues
from agents.networks.recurrent import RecurrentNetwork
from agents.pack import Pack


class PackActing:
    """What ``agents.evaluation.evaluate`` asks of N members, each in S environments of its own.

    A recurrent network's state is kept from step to step, one for each environment of each member.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._state: Tensor | None = None

    @torch.no_grad()
    def __call__(self, observations: npt.NDArray[np.generic]) -> ActionValues:
        """Values and preferences ``[N, S, A]`` for observations ``[N, S, *observation_shape]``."""
        network = self.pack.agent.network
        if not isinstance(network, RecurrentNetwork):
            values, preferences = self.pack.action_values(observations)
            return ActionValues(values.cpu().numpy(), preferences.cpu().numpy())
        inputs = self.pack.reader.as_input(torch.as_tensor(observations))
        members, slots = inputs.shape[:2]
        if self._state is None:
            self._state = inputs.new_zeros((members, slots, 2, network.feature_size))
        found = []
        for first, last in self.pack.parts(members):
            part = self.pack.part(first, last)
            outputs, state = vmap(network.step)(part.params, inputs[first:last], self._state[first:last])
            found.append((part.q_values(outputs), part.preferences(outputs), state))
        values, preferences, states = (torch.cat(parts) for parts in zip(*found, strict=True))
        self._state = states
        return ActionValues(values.cpu().numpy(), preferences.cpu().numpy())

    def begin(self, slots: npt.NDArray[np.bool_]) -> None:
        """See ``agents.evaluation.Remembering.begin``."""
        if self._state is not None and self._state.shape[:2] == slots.shape:
            begins = torch.from_numpy(slots).to(self._state.device)
            self._state = torch.where(begins[..., None, None], 0.0, self._state)
        else:
            self._state = None
