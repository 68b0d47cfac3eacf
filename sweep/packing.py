"""How many members a pack has: from memory, from what is worth fusing, and from the workers there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agents.spec import TORSOS, hidden_widths
from search_spaces import TrialConfig
from sweep.step_cost import applied_outputs, num_outputs, samples_of_a_step

__all__ = [
    "PACKS_PER_CARD",
    "PACK_SIZES",
    "NetworkCost",
    "largest_pack",
    "memory_on_card",
    "network_cost",
    "split",
]

PACK_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64)
"""Sizes that a pack is padded to. The size is part of what is compiled, so few sizes share compiled code."""

PACKS_PER_CARD = 4
"""Packs that are planned to share a card before their memory has been measured."""

_CARD_SHARE = 0.8
"""What of a card's memory packs may plan with; the rest is for contexts and fragments."""

# Where fusing stops paying. Small MLPs gain up to about 32 members (docs/benchmarks.md, pack_throughput);
# convolutions fill a CPU core with 4, and every further member only makes a lost checkpoint dearer.
_WORTH_FUSING = {
    "cpu": {"mlp": 32, "minatar": 8, "nature_dqn": 4},
    "cuda": {"mlp": 64, "minatar": 32, "nature_dqn": 16},
}


@dataclass(frozen=True)
class NetworkCost:
    """What one member costs: `parameters`, `activations` (floats a sample), `flops` (forward, a sample)."""

    parameters: int
    activations: int
    flops: float


def network_cost(config: TrialConfig, observation_shape: Sequence[int], num_actions: int) -> NetworkCost:
    """Counted from the layers; a multiply-add is two floating-point operations, and norms are not counted as any."""
    parameters = activations = 0
    flops = 0.0
    # A gain and a bias a unit, and what is normalised is kept beside what comes of it.
    normalised = int(config.layer_norm)
    width = math.prod(observation_shape)
    if config.network in TORSOS:
        channels, height, columns = observation_shape
        for out, kernel, stride in TORSOS[config.network]:
            height, columns = (height - kernel) // stride + 1, (columns - kernel) // stride + 1
            parameters += out * (channels * kernel * kernel + 1 + 2 * normalised)
            activations += out * height * columns * (1 + normalised)
            flops += 2.0 * out * channels * kernel * kernel * height * columns
            channels = out
        width = channels * height * columns
    for out in hidden_widths(config.hidden_sizes, config.bottleneck):
        parameters += out * (width + 1 + 2 * normalised)
        activations += out * (1 + normalised)
        flops += 2.0 * out * width
        width = out
    if config.algorithm == "r2d2":
        # Four gates, each of the input and of the last output, with a bias.
        parameters += 4 * config.lstm_size * (width + config.lstm_size + 1)
        activations += 6 * config.lstm_size
        flops += 8.0 * config.lstm_size * (width + config.lstm_size)
        width = config.lstm_size
    applied = applied_outputs(config, num_actions)
    head = num_outputs(config, num_actions) * (width + 1)
    return NetworkCost(parameters + head, activations + applied, flops + 2.0 * applied * width)


def memory_on_card(card_bytes: float) -> float:
    """Bytes that each of `PACKS_PER_CARD` packs may plan with on a card of `card_bytes`."""
    return card_bytes / PACKS_PER_CARD * _CARD_SHARE


def largest_pack(
    config: TrialConfig, observation_shape: Sequence[int], num_actions: int, device: str, memory_bytes: float
) -> int:
    """The largest of PACK_SIZES that is worth fusing and fits `memory_bytes`; 1 where not even one fits.

    A member holds parameters, targets, gradients and two optimiser slots, and for each of a batch's samples
    the activations of three passes with as much again for gradients, and its observations as float32.
    """
    cost = network_cost(config, observation_shape, num_actions)
    sample = 6 * cost.activations + 4 * math.prod(observation_shape)
    member_bytes = 4 * (6 * cost.parameters + samples_of_a_step(config) * sample)
    kind = "cuda" if device.startswith("cuda") else "cpu"
    cap = min(_WORTH_FUSING[kind][config.network], int(memory_bytes // member_bytes))
    return max((size for size in PACK_SIZES if size <= cap), default=1)


def split(counts: Sequence[int], largest: Sequence[int], workers: int) -> list[list[int]]:
    """Members of each pack of each group: `counts[i]` trials in packs of at most `largest[i]`.

    As few packs as there may be, then more of the largest until every worker has one: a second pack of a
    shape costs no second compilation.
    """
    packs = [math.ceil(count / cap) for count, cap in zip(counts, largest, strict=True)]
    while sum(packs) < workers:
        per_pack = [count / k if count > k else 0.0 for count, k in zip(counts, packs, strict=True)]
        heaviest = max(range(len(packs)), key=lambda i: per_pack[i])
        if per_pack[heaviest] <= 1:
            break
        packs[heaviest] += 1
    return [
        [count // k + (1 if i < count % k else 0) for i in range(k)]
        for count, k in zip(counts, packs, strict=True)
    ]
