"""What the greedy policy does on the probe batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from agents import probes
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.pack import Pack


class PolicyProbe:
    """Entropy of the softmax of what agents act on, entropy of their greedy actions, and each action's share.

    Of the transitions ``indices`` int64 ``[P]``. The shares are the spectrum ``action_shares``, ``[N, A]``.
    """

    def __init__(self, pack: Pack, indices: npt.NDArray[np.int64]) -> None:
        self.pack = pack
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        size = 4 * len(self.indices) * self.pack.input_size
        return in_chunks(self.pack, 8 * size, self._measure_members)

    @torch.no_grad()
    def _measure_members(self, first: int, last: int) -> ProbeResult:
        part = self.pack.part(first, last)
        batch = self.pack.reader.batch_at(self.indices, first, last)
        preferences = part.preferences(part.apply_shared(batch.s_tm1)[0])
        measures = {
            "policy_entropy": probes.policy_entropy(preferences),
            "greedy_action_entropy": probes.greedy_action_entropy(preferences),
        }
        return as_result(measures, {"action_shares": probes.greedy_action_shares(preferences)})
