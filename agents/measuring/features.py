"""Measures of the penultimate features that cost more than the rest: a decomposition of their own, or all pairs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from agents import probes
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.pack import Pack


class FeatureProbe:
    """Exact entropy rank, eigenvalue srank, correlation of units, and cosine of consecutive features.

    Of the transitions ``indices`` int64 ``[P]``. The eigenvalue srank is left out where there are fewer transitions
    than features.
    """

    def __init__(self, pack: Pack, indices: npt.NDArray[np.int64], delta: float = 0.01) -> None:
        self.pack, self.delta = pack, delta
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        width = self.pack.agent.network.feature_size + self.pack.input_size
        return in_chunks(self.pack, 64 * len(self.indices) * width, self._measure_members)

    @torch.no_grad()
    def _measure_members(self, first: int, last: int) -> ProbeResult:
        part = self.pack.part(first, last)
        batch = self.pack.reader.batch_at(self.indices, first, last)
        _, phi_tm1 = part.apply_shared(batch.s_tm1)
        _, phi_t = part.apply_shared(batch.s_t)
        measures = {
            "entropy_rank": probes.entropy_rank(phi_tm1),
            "correlation": probes.unit_correlation(phi_tm1),
            "feature_cosine": probes.feature_cosine(phi_tm1, phi_t),
        }
        if phi_tm1.shape[-2] >= phi_tm1.shape[-1]:
            measures["srank_eigenvalue"] = probes.srank_eigenvalue(phi_tm1, self.delta)
        return as_result(measures)


class GramProbe:
    """Gram matrix of the penultimate features: of the first ``size`` units, or of the first ``size`` inputs.

    Its mean off the diagonal and its share of zeros are measures; the matrix, row by row, is the spectrum
    ``gram``, ``[N, K²]`` with K = ``size`` or what there is of them.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        of: Literal["units", "inputs"] = "units",
        size: int = 64,
    ) -> None:
        self.pack, self.of, self.size = pack, of, size
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        width = self.pack.agent.network.feature_size + self.pack.input_size
        return in_chunks(self.pack, 32 * len(self.indices) * width, self._measure_members)

    @torch.no_grad()
    def _measure_members(self, first: int, last: int) -> ProbeResult:
        batch = self.pack.reader.batch_at(self.indices, first, last)
        _, phi = self.pack.part(first, last).apply_shared(batch.s_tm1)
        phi = phi[..., : self.size] if self.of == "units" else phi[:, : self.size]
        gram = probes.gram_matrix(phi, self.of)
        measures = {"gram_mean": probes.mean_off_diagonal(gram), "gram_zeros": probes.sparsity(gram)}
        return as_result(measures, {"gram": gram.flatten(1)})
