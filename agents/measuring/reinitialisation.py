"""What each layer has learnt that matters: the agent with one layer put back, against the agent as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap

from agents import probes
from agents.errors import AgentError
from agents.measuring.curvature import TrainingLoss
from agents.measuring.initial import InitialParams
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.pack import Pack


class ReinitialisationProbe:
    """Sensitivity to putting one layer back to its initial values, or to new random ones.

    Spectra ``[N, L]``, one value for each of ``layers`` (None: all, the head last): ``reinit_loss``, the training
    loss then less the loss now; ``reinit_output``, the root mean square change of the values (of the logits where
    there are none); ``reinit_action``, the share of the transitions ``indices`` whose greedy action is another
    one. Raises AgentError for a layer that the network has not.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        *,
        to: Literal["initial", "random"] = "initial",
        layers: Sequence[str] | None = None,
        initial: InitialParams | None = None,
    ) -> None:
        self.pack, self.to = pack, to
        self.loss = TrainingLoss(pack, indices, initial)
        known = probes.layer_names(self.loss.initial.names)
        self.layers = known if layers is None else tuple(layers)
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise AgentError(
                f"the network has no layer {unknown[0]!r} to re-initialise; it has {', '.join(known)}."
            )

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        size = 8 * len(self.loss.indices) * self.pack.input_size
        return in_chunks(self.pack, 16 * size, self._measure_members)

    @torch.no_grad()
    def _measure_members(self, first: int, last: int) -> ProbeResult:
        pack, part = self.pack, self.pack.part(first, last)
        loss, params, of_members = self.loss.parts(first, last)
        s_tm1 = probes.in_float64(pack.reader.batch_at(self.loss.indices, first, last).s_tm1)

        def behave(changed: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            outputs, _ = vmap(pack.agent.network.apply, in_dims=(0, None))(changed, s_tm1)
            preferences = part.preferences(outputs)
            values = part.q_values(outputs) if pack.agent.objective.has_values else preferences
            # An action that is not allowed has -inf, and stays the last.
            allowed = preferences.clamp_min(torch.finfo(preferences.dtype).min)
            return vmap(loss)(dict(changed), *of_members), values, allowed

        source = self._source(first, last)
        loss_now, values_now, preferences_now = behave(params)
        found: dict[str, list[Tensor]] = {"reinit_loss": [], "reinit_output": [], "reinit_action": []}
        for layer in self.layers:
            loss_then, values, preferences = behave(probes.with_layer_from(params, source, layer))
            found["reinit_loss"].append(loss_then - loss_now)
            found["reinit_output"].append(probes.output_change(values_now, values))
            found["reinit_action"].append(probes.greedy_action_change(preferences_now, preferences))
        return as_result({}, {name: torch.stack(values, 1) for name, values in found.items()})

    def _source(self, first: int, last: int) -> dict[str, Tensor]:
        if self.to == "initial":
            source = self.loss.initial.of(first, last)
        else:
            seeds = [member.seed for member in self.pack.members[first:last]]
            drawn = probes.fresh_params(self.pack.agent.init, seeds, self.pack.device)
            source = self.loss.initial.only_network(drawn)
        return {name: tensor.double() for name, tensor in source.items()}
