"""Curvature of the training loss: the Hessian's eigenvalues, all of them or their density."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents import probes
from agents.measuring.initial import InitialParams
from agents.measuring.result import ProbeResult, as_result, in_chunks, joined
from agents.pack import Members, Pack


class TrainingLoss:
    """The loss of a pack's agents on one batch, as ``agents.probes`` wants it: a function of the network's parameters.

    In float64. Regularisers are part of it, and dropout where that is on, with the bits of the present step; the
    target network is held fixed, and so is what an objective or a regulariser trains beside the network.
    """

    def __init__(
        self, pack: Pack, indices: npt.NDArray[np.int64], initial: InitialParams | None = None
    ) -> None:
        self.pack = pack
        self.initial = initial or InitialParams(pack)
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def parts(self, first: int, last: int) -> tuple[Any, dict[str, Tensor], tuple[Any, ...]]:
        """The loss of one agent, the parameters ``[M, ...]`` and what else the loss takes of each member."""
        part = self.pack.part(first, last)
        batch = probes.in_float64(self.pack.reader.batch_at(self.indices, first, last))
        step = torch.tensor(self.pack.step, dtype=torch.int64, device=self.pack.device)
        own, beside = self._divided(part)

        def loss(params: Mapping[str, Tensor], *of_member: Any) -> Tensor:
            others, target, slow, r_t, discount_t, columns, hypers = of_member
            of_agent = batch._replace(r_t=r_t, discount_t=discount_t, columns=columns)
            value, _ = self.pack.agent.loss({**params, **others}, target, slow, of_agent, hypers, step)
            return value

        of_members = (
            *(beside, part.target_params, part.slow_params),
            *(batch.r_t, batch.discount_t, batch.columns, part.hypers),
        )
        return loss, probes.in_float64(own), probes.in_float64(of_members)

    def _divided(self, part: Members) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        own = self.initial.only_network(part.params)
        return own, {name: tensor for name, tensor in part.params.items() if name not in own}


class HessianProbe:
    """All eigenvalues of the Hessian of the loss on the transitions ``indices``; for small networks.

    Measures: the shares of eigenvalues that are positive, negative, and near zero (|λ| < ``near_zero``), and the
    largest. Spectrum: ``hessian_eigenvalues`` ``[N, P]``, descending. Member by member: P² numbers are its memory.
    Raises AgentError for more parameters than ``probes.full_hessian`` takes.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        near_zero: float = 1e-7,
        initial: InitialParams | None = None,
    ) -> None:
        self.pack, self.near_zero = pack, near_zero
        self.loss = TrainingLoss(pack, indices, initial)

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        return joined([self._measure_member(member) for member in range(len(self.pack.members))])

    def _measure_member(self, member: int) -> ProbeResult:
        loss, params, others = self.loss.parts(member, member + 1)
        eigenvalues = probes.hessian_eigenvalues(loss, params, *others)
        shares = probes.eigenvalue_shares(eigenvalues, threshold=self.near_zero)
        measures = {
            "hessian_positive": shares.positive,
            "hessian_negative": shares.negative,
            "hessian_zero": shares.near_zero,
            "hessian_largest": eigenvalues[:, 0],
        }
        return as_result(measures, {"hessian_eigenvalues": eigenvalues})


class LanczosProbe:
    """Density of the Hessian's eigenvalues for networks of any size; as ``HessianProbe``, estimated.

    Spectra: ``lanczos_nodes`` and ``lanczos_weights`` ``[N, vectors * steps]``, vector by vector: eigenvalues and
    the share of all eigenvalues that each stands for, the weights of a vector summing to 1. The members' random
    vectors come from their seeds and are the same at every step. What counts as zero is |λ| < ``near_zero``; None:
    what the nodes can tell from it, the width of the member's spectrum over the number of steps.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        *,
        steps: int = 90,
        vectors: int = 10,
        near_zero: float | None = None,
        initial: InitialParams | None = None,
    ) -> None:
        self.pack, self.steps, self.vectors, self.near_zero = pack, steps, vectors, near_zero
        self.loss = TrainingLoss(pack, indices, initial)

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        own = self.loss.initial.only_network(self.pack.params)
        size = sum(math.prod(tensor.shape[1:]) for tensor in own.values())
        # A vector a step is kept, and a Hessian times a vector takes the passes over the batch.
        batch = len(self.loss.indices) * self.pack.input_size
        return in_chunks(self.pack, 8 * (size * (self.steps + 12) + 16 * batch), self._measure_members)

    def _measure_members(self, first: int, last: int) -> ProbeResult:
        loss, params, others = self.loss.parts(first, last)
        seeds = [member.seed for member in self.pack.members[first:last]]
        found = probes.lanczos_spectrum(
            loss, params, *others, seeds=seeds, draws=self.vectors, steps=self.steps
        )
        nodes, weights = found.nodes.flatten(1), found.weights.flatten(1)
        # Far more than the paper's 1e-7, which only a full Hessian resolves.
        resolved = (nodes.amax(1) - nodes.amin(1)) / self.steps
        shares = probes.eigenvalue_shares(
            nodes, weights, threshold=resolved if self.near_zero is None else self.near_zero
        )
        measures = {
            "lanczos_positive": shares.positive,
            "lanczos_negative": shares.negative,
            "lanczos_zero": shares.near_zero,
            "lanczos_largest": nodes.amax(1),
        }
        return as_result(measures, {"lanczos_nodes": nodes, "lanczos_weights": weights})
