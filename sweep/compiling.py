"""Whether compiling a pack's update pays: what it costs against what its steps save.

Measured on one core by `benchmarks/compiling.py`; see docs/benchmarks.md. Good to a factor of two, which is enough:
where the two sides are close it hardly matters which is taken. On cards nothing has been measured, and everything is
compiled.
"""

from __future__ import annotations

from search_spaces import TrialConfig
from sweep.packing import NetworkCost
from sweep.step_cost import relative_passes, samples_of_a_step

__all__ = ["compile_seconds", "eager_because", "saved_seconds"]

_COLD_SECONDS = {"mlp": 15.0, "minatar": 20.0, "nature_dqn": 30.0}
"""The first compiled step of a process where nothing is in the cache, of DQN."""
_MORE_SECONDS = {"td_policy": 16.0, "fqe": 4.0, "rem": 11.0, "r2d2": 9.0}
_CURL_SECONDS, _DROPOUT_SECONDS = 24.0, 15.0
_WARM_SECONDS = 2.0
_LAUNCH_SECONDS = 2.5e-3
"""What an eager step takes longer, however small its arrays: some hundred operations are called one by one."""
_ACTIVATION_SECONDS = 12e-9
"""What it takes longer for each activation of each sample, which goes through memory once an operation."""


def compile_seconds(config: TrialConfig) -> float:
    """Seconds to compile the update of `config`'s shape with an empty cache. SAM's update holds the gradient twice."""
    seconds = _COLD_SECONDS[config.network] + _MORE_SECONDS.get(config.algorithm, 0.0)
    seconds += _CURL_SECONDS * (config.curl_weight > 0) + _DROPOUT_SECONDS * (config.dropout > 0)
    return seconds * (2 if config.sam_weight > 0 else 1)


def saved_seconds(config: TrialConfig, cost: NetworkCost, size: int) -> float:
    """Seconds that a pack of `size` takes longer eagerly than compiled."""
    activations = size * samples_of_a_step(config) * cost.activations
    step = relative_passes(config) * (_LAUNCH_SECONDS + _ACTIVATION_SECONDS * activations)
    return config.train_steps * step


def eager_because(config: TrialConfig, cost: NetworkCost, size: int, packs: int, device: str) -> str | None:
    """Why `packs` packs of one shape and `size` had better train eagerly; None where compiling pays.

    They share what is compiled: the first compiles it, the others find it in the cache.
    """
    if device.startswith("cuda"):
        return None
    compiling = compile_seconds(config) + (packs - 1) * _WARM_SECONDS
    saved = packs * saved_seconds(config, cost, size)
    return (
        None if saved >= compiling else f"compiling would take about {compiling:.0f} s and save {saved:.0f} s"
    )
