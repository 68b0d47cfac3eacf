"""How well the features could fit values by a linear map: what a collapsed rank takes away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap

from agents import probes
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.objectives import Batch
from agents.pack import Members, Pack
from agents.true_values import TrueValues


class LinearFitProbe:
    """Mean squared error of the best linear map from the penultimate features to Q*, and to targets.

    ``fit_error_q_star``: Q*(s, ·) of all reachable states, where ``true_values`` knows it (masked at a discount of
    1, where it is undefined). ``fit_error_target``: the targets r + γ d max_a' Q_target(s', a') of the transitions
    ``indices`` int64 ``[P]``, with a map for each action, for objectives that have values. Kumar et al. (2021),
    Section 3.1 and Figure 4. In squared units of the values; ``bias`` gives the maps one.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        true_values: TrueValues | None = None,
        *,
        bias: bool = False,
    ) -> None:
        self.pack, self.true_values, self.bias = pack, true_values, bias
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        width = self.pack.agent.network.feature_size + self.pack.input_size
        states = 0 if self.true_values is None else len(self.true_values.observations)
        inputs = max(len(self.indices), states)
        result = in_chunks(self.pack, 32 * inputs * width, self._measure_members)
        if self.true_values is not None:
            error = result.measures["fit_error_q_star"]
            undefined = np.isnan(self.true_values.q).any((1, 2))
            result.measures["fit_error_q_star"] = np.ma.masked_array(error, undefined)
        return result

    @torch.no_grad()
    def _measure_members(self, first: int, last: int) -> ProbeResult:
        part = self.pack.part(first, last)
        measures = {}
        if self.true_values is not None:
            states = self.pack.reader.as_input(torch.from_numpy(self.true_values.observations.copy()))
            _, phi = part.apply_shared(states)
            q_star = torch.from_numpy(self.true_values.q[first:last]).to(phi.device)
            measures["fit_error_q_star"] = probes.linear_fit_error(phi, q_star, bias=self.bias)
        if self.pack.agent.objective.has_values:
            batch = self.pack.reader.batch_at(self.indices, first, last)
            _, phi = part.apply_shared(batch.s_tm1)
            measures["fit_error_target"] = self._fit_by_action(phi, batch.a_tm1, self._targets(part, batch))
        return as_result(measures)

    def _targets(self, part: Members, batch: Batch) -> Tensor:
        """``[M, P]``. Of every objective those of one-step Q-learning, so that objectives can be compared."""
        outputs, _ = vmap(self.pack.agent.network.apply, in_dims=(0, None))(part.target_params, batch.s_t)
        value_t = part.q_values(outputs).amax(2)
        return batch.r_t + part.hypers.discount.unsqueeze(1) * batch.discount_t * value_t

    def _fit_by_action(self, phi: Tensor, action: Tensor, target: Tensor) -> Tensor:
        """``[M]``: features are of states, so that each action has weights of its own, as in the network's head."""
        total = torch.zeros(len(phi), dtype=torch.float64, device=phi.device)
        for taken in np.unique(action.cpu().numpy()).tolist():
            rows = (action == taken).nonzero().squeeze(1)
            error = probes.linear_fit_error(phi[:, rows], target[:, rows].unsqueeze(2), bias=self.bias)
            total += error * (len(rows) / len(action))
        return total
