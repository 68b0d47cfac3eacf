"""Counter-based random bits inside a compiled update: a pure function of a key and a position.

A stateful generator cannot give each stacked member a stream that is the same in every pack, so dropout
masks come from an integer hash of (member key, step, layer, element). The same bits come out eagerly,
compiled, on CPU and on CUDA.
"""

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def mix32(x: Tensor) -> Tensor:
    """Mix 32-bit integers held in int64 (any shape) into 32-bit integers: the "lowbias32" permutation.

    Source: C. Wellons, "Prospecting for hash functions" (2018): bias 0.17 bits.
    """
    x = (x ^ (x >> 16)) & _MASK
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    # The product wraps past 63 bits; two's complement keeps its low 32 bits right.
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def keep_mask(key: Tensor, layer: int, shape: torch.Size, drop_probability: Tensor) -> Tensor:
    """Which elements dropout keeps: bool of ``shape``, each True with probability 1 - ``drop_probability``.

    ``key`` is a scalar int64 in [0, 2^32) for this member and step (see ``step_key``).
    """
    count = shape.numel()
    position = torch.arange(count, device=key.device, dtype=torch.int64).view(shape)
    bits = mix32((position * _GOLDEN + mix32(key + layer * 0x85EBCA6B & _MASK)) & _MASK)
    threshold = (drop_probability.double() * 2.0**32).long()
    return bits >= threshold


def step_key(member_key: Tensor, step: Tensor) -> Tensor:
    """The key of one gradient step: int64 scalar in [0, 2^32) from the member's key and the step number."""
    return mix32((mix32(step & _MASK) + member_key) & _MASK)
