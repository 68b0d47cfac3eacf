"""What is measured at every probe step, batched over members."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents import probes
from agents.measuring.initial import InitialParams
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.pack import Pack
from agents.probes.slices import finite


class ProbeBatch:
    """The probes of a dataset: the same transitions for every pack, member and step.

    ``indices`` are their numbers, int64 ``[P]``. Measures: srank (δ = ``delta``), numerical rank, dead and
    dormant units, dormant ratio, sparsity, feature norm, dot product of consecutive features, mean and largest Q,
    mean absolute TD error, share of the commonest greedy action, norm of the gradient of the training loss, norm
    of the network's parameters and their distance from where they began. Q is left out for an objective that has
    no values. Spectra: the features' singular values.
    """

    def __init__(self, pack: Pack, indices: npt.NDArray[np.int64], delta: float = 0.01) -> None:
        self.pack = pack
        self.delta = delta
        self.initial = InitialParams(pack)
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def measure(self) -> ProbeResult:
        """Take every measure of every member now."""
        # The probe batch as the members see it, and as much again for every pass over it.
        size = 4 * len(self.indices) * self.pack.input_size
        return in_chunks(self.pack, 8 * size, self._measure_members)

    def _measure_members(self, first: int, last: int) -> ProbeResult:
        pack = self.pack
        part = pack.part(first, last)
        batch = pack.reader.batch_at(self.indices, first, last)
        with torch.no_grad():
            outputs_tm1, phi_tm1 = part.apply_shared(batch.s_tm1)
            preferences = part.preferences(outputs_tm1)
            _, phi_t = part.apply_shared(batch.s_t)
        grads, report = part.gradients_shared(batch)
        sigma = probes.singular_values(phi_tm1)
        own = self.initial.only_network(part.params)
        # Once, instead of in every probe.
        wide_tm1, wide_t = phi_tm1.double(), phi_t.double()
        dormant = probes.dormant_units(wide_tm1)
        measures = {
            "srank": probes.srank_of(sigma, self.delta),
            "numerical_rank": probes.numerical_rank_of(sigma),
            **_zeros(wide_tm1),
            "dormant_units": dormant,
            "dormant_ratio": dormant / phi_tm1.shape[-1],
            "feature_norm": probes.feature_norm(wide_tm1),
            "feature_dot_product": probes.feature_dot_product(wide_tm1, wide_t),
            "td_error": report.td_error,
            "action_share": probes.commonest_action_share(preferences),
            "grad_norm": probes.global_norm(grads),
            "param_norm": probes.global_norm(own),
            "init_distance": probes.distance_from_initialisation(own, self.initial.of(first, last)),
        }
        if pack.agent.objective.has_values:
            q_tm1 = part.q_values(outputs_tm1)
            measures["q_mean"] = probes.mean_q_taken(q_tm1, batch.a_tm1)
            measures["q_max"] = probes.max_q(q_tm1)
            measures["q_mean_max"] = probes.mean_max_q(q_tm1)
        return as_result(measures, {"singular_values": sigma})


def _zeros(features: Tensor) -> dict[str, Tensor]:
    """``probes.dead_units`` and ``probes.sparsity`` of features ``[M, P, D]`` from one count of zeros a unit."""
    inputs, units = features.shape[-2:]
    zeros = (features == 0).sum(-2)
    whole = finite(features)
    return {
        "dead_units": torch.where(whole, (zeros == inputs).sum(-1).double(), torch.nan),
        "sparsity": torch.where(whole, zeros.sum(-1).double() / (inputs * units), torch.nan),
    }
