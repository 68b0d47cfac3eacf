"""What a group of probes gives back, and how a pack is divided so that measuring stays within a bound of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from agents.pack import Pack

Measures = dict[str, npt.NDArray[np.float64]]
Spectra = dict[str, npt.NDArray[np.float32]]

CHUNK_BYTES = 256 * 2**20
"""Memory that the intermediate arrays of members measured together may take."""


@dataclass(frozen=True)
class ProbeResult:
    """Of N members. A measure or a spectrum that has no meaning for a pack's objective or data is left out.

    ``measures``: float64 ``[N]`` by name, masked where one has no meaning for a member; ``spectra``: long
    vectors, float32 ``[N, K]`` by name.
    """

    measures: Measures = field(default_factory=dict)
    spectra: Spectra = field(default_factory=dict)

    @property
    def singular_values(self) -> npt.NDArray[np.float32]:
        """Of the penultimate features, ``[N, K]``, descending."""
        return self.spectra["singular_values"]


class Probe(Protocol):
    """A group of probes of one pack."""

    def measure(self) -> ProbeResult:
        """Take every measure of every member now."""
        ...


def as_result(measures: Mapping[str, Tensor], spectra: Mapping[str, Tensor] | None = None) -> ProbeResult:
    """Tensors ``[M]`` and ``[M, K]`` as a result."""
    return ProbeResult(
        {name: value.detach().double().cpu().numpy() for name, value in measures.items()},
        {name: value.detach().float().cpu().numpy() for name, value in (spectra or {}).items()},
    )


def in_chunks(pack: Pack, member_bytes: int, measure: Callable[[int, int], ProbeResult]) -> ProbeResult:
    """``measure(first, last)`` of as many members at a time as fit, put together.

    ``member_bytes`` is what one member's intermediate arrays take.
    """
    return joined([measure(first, last) for first, last in _chunks(pack, member_bytes)])


def joined(parts: Sequence[ProbeResult]) -> ProbeResult:
    """Results of consecutive members as one."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return ProbeResult(
        {name: _joined([part.measures[name] for part in parts]) for name in first.measures},
        {name: np.concatenate([part.spectra[name] for part in parts]) for name in first.spectra},
    )


def _joined(arrays: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    # numpy's own function drops the masks.
    if any(np.ma.isMaskedArray(array) for array in arrays):
        masked: npt.NDArray[np.float64] = np.ma.concatenate(arrays)  # type: ignore[no-untyped-call]
        return masked
    return np.concatenate(arrays)


def _chunks(pack: Pack, member_bytes: int) -> Iterator[tuple[int, int]]:
    members = len(pack.members)
    together = min(max(1, CHUNK_BYTES // max(1, member_bytes)), pack.members_at_once)
    for first in range(0, members, together):
        yield first, min(first + together, members)
