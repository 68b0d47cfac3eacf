"""The same measures layer by layer, from the input to the output."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents import probes
from agents.measuring.initial import InitialParams
from agents.measuring.result import ProbeResult, as_result, in_chunks
from agents.pack import Pack


class LayerProbe:
    """Ranks, dead and dormant units, sparsity and correlation of every hidden layer; norms of every layer.

    Spectra, one value a layer in the network's order: ``layer_srank``, ``layer_numerical_rank``,
    ``layer_dead_units``, ``layer_dormant_ratio``, ``layer_sparsity``, ``layer_correlation`` ``[N, L]`` of the L
    hidden layers; ``layer_grad_norm`` and ``layer_init_distance`` ``[N, L + 1]`` of the head too. Of a convolution
    every place of every channel is a unit. ``indices`` are the transitions, int64 ``[P]``.
    """

    def __init__(
        self,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        delta: float = 0.01,
        initial: InitialParams | None = None,
    ) -> None:
        """``initial`` of another probe of this pack saves drawing it again; so in every group that needs it."""
        self.pack, self.delta = pack, delta
        self.indices = torch.from_numpy(np.ascontiguousarray(indices))
        self._initial = initial or InitialParams(pack)

    def measure(self) -> ProbeResult:
        """Measure every member now."""
        units = self._units() + self.pack.input_size
        # Activations in float32, the largest layer several times in float64, and what a gradient keeps.
        return in_chunks(self.pack, 40 * len(self.indices) * units, self._measure_members)

    def _measure_members(self, first: int, last: int) -> ProbeResult:
        part = self.pack.part(first, last)
        batch = self.pack.reader.batch_at(self.indices, first, last)
        with torch.no_grad():
            layers = [x.flatten(2) for x in part.activations_shared(batch.s_tm1).values()]
            measured = [self._measure_layer(features) for features in layers]
        grads, _ = part.gradients_shared(batch)
        moved = probes.layer_distances(self._initial.only_network(part.params), self._initial.of(first, last))
        spectra = {
            f"layer_{name}": torch.stack([layer[name] for layer in measured], 1)
            for name in (measured[0] if measured else ())
        }
        norms = probes.layer_norms(self._initial.only_network(grads))
        spectra["layer_grad_norm"] = torch.stack(list(norms.values()), 1)
        spectra["layer_init_distance"] = torch.stack(list(moved.values()), 1)
        return as_result({}, spectra)

    def _measure_layer(self, features: Tensor) -> dict[str, Tensor]:
        sigma = probes.singular_values(features)
        return {
            "srank": probes.srank_of(sigma, self.delta),
            "numerical_rank": probes.numerical_rank_of(sigma),
            "dead_units": probes.dead_units(features),
            "dormant_ratio": probes.dormant_ratio(features),
            "sparsity": probes.sparsity(features),
            "correlation": probes.unit_correlation(features),
        }

    def _units(self) -> int:
        """Hidden units of one member."""
        with torch.no_grad():
            batch = self.pack.reader.batch_at(self.indices[:1], 0, 1)
            found = self.pack.part(0, 1).activations_shared(batch.s_tm1)
        return sum(activations[0].numel() for activations in found.values())
