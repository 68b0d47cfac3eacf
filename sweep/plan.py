"""From trials to packs: deterministic, stored, and never changed afterwards.

A trial stays in its pack for good, so that a sweep that was stopped, or a study that has grown, goes on with
the same packs and, on the same machine, the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agents.environments import EnvironmentSpec
from search_spaces import PlannedTrial, ResolvedProtocol, TrialConfig
from sweep.compiling import eager_because
from sweep.members import Members, PackTrial
from sweep.packing import PACK_SIZES, NetworkCost, largest_pack, network_cost, split
from sweep.step_cost import relative_passes, samples_of_a_step

__all__ = ["PackSpec", "PackTrial", "Resources", "plan_packs"]

Scheduler = Literal["fifo", "asha", "median"]
StrategyChoice = Literal["auto", "fused", "looped"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(_Frozen):
    """What packs may use. `workers`: packs that can run at once; memory in bytes for each of them.

    `compile`: whether updates are compiled; None: where it pays (`sweep.compiling`).
    """

    device: str = "cpu"
    workers: int
    memory_bytes: float
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    strategy: StrategyChoice = "auto"
    compile: bool | None = True


class PackSpec(_Frozen):
    """All that a training process needs to know of its pack; plain data, stored in the plan."""

    pack_id: str
    trials: tuple[str, ...]
    members: Members
    size: int
    protocol: ResolvedProtocol
    dataset: str
    dataset_fingerprint: str
    scheduler: Scheduler = "fifo"
    device: str = "cpu"
    cpus: float = 1
    gpus: float = 0
    """Share of a card that Ray gives it and its process may use: measured (`sweep.calibration`), or a guess."""
    gpu_context_bytes: float = 0
    """What its process takes of the card beside tensors, as measured."""
    threads: int = 1
    strategy: Literal["fused", "looped"] = "fused"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    compile: bool = True
    eager_by_choice: str | None = None
    """Why `compile` is False where compiling was left to the plan."""
    members_at_once: int | None = None
    """Not of the plan: how many are computed together after memory ran out (`sweep.halving`); None: all."""
    work: float = 0.0
    """Arithmetic of the whole pack in floating-point operations of forward passes: for order and progress."""

    @property
    def config(self) -> TrialConfig:
        """The configuration of the first member: what the whole pack shares can be read from it."""
        return self.members[0].config

    @property
    def train_steps(self) -> int:
        """Gradient steps of every member."""
        return self.config.train_steps


def plan_packs(
    trials: Iterable[tuple[str, PlannedTrial]],
    fingerprints: Mapping[str, str],
    describe: Callable[[str], EnvironmentSpec],
    resources: Resources,
    scheduler: Scheduler = "fifo",
) -> list[PackSpec]:
    """Packs for `trials` (id and trial, in the study's order), those that take longest first.

    Trials share a pack if their shape keys and protocols are equal. A scheduler that stops single trials
    gets packs of one. `fingerprints` maps dataset names to fingerprints, `describe` an environment's id to
    its description.
    """
    groups: dict[Any, list[tuple[str, PlannedTrial]]] = {}
    for trial_id, trial in trials:
        groups.setdefault((trial.config.shape_key(), trial.protocol), []).append((trial_id, trial))
    ordered = list(groups.values())
    caps = [_cap(group[0][1].config, describe, resources, scheduler) for group in ordered]
    sizes = split([len(group) for group in ordered], caps, resources.workers)
    packs = []
    for group, counts in zip(ordered, sizes, strict=True):
        first = 0
        # One size for the packs of a group: they share the compiled code.
        size = _padded(max(counts))
        eager = None
        if resources.compile is None:
            config = group[0][1].config
            cost = _cost(config, describe)
            eager = eager_because(config, cost, size, len(counts), resources.device)
        for count in counts:
            members = group[first : first + count]
            work = size * _work_of_member(members[0][1].config, describe)
            packs.append(_pack(members, size, fingerprints, resources, scheduler, work, eager))
            first += count
    return sorted(packs, key=lambda pack: (-pack.work, pack.pack_id))


def _cap(
    config: TrialConfig,
    describe: Callable[[str], EnvironmentSpec],
    resources: Resources,
    scheduler: Scheduler,
) -> int:
    if scheduler != "fifo":
        return 1
    env = describe(config.env)
    return largest_pack(
        config, env.observation_shape, env.num_actions, resources.device, resources.memory_bytes
    )


def _padded(members: int) -> int:
    return min(size for size in PACK_SIZES if size >= members)


def _pack(
    group: Sequence[tuple[str, PlannedTrial]],
    size: int,
    fingerprints: Mapping[str, str],
    resources: Resources,
    scheduler: Scheduler,
    work: float,
    eager: str | None,
) -> PackSpec:
    config, protocol = group[0][1].config, group[0][1].protocol
    ids = tuple(trial_id for trial_id, _ in group)
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:10]
    kind = f"{config.network}-{config.activation}-b{config.batch_size}".replace("_", "-")
    on_gpu = resources.device.startswith("cuda")
    return PackSpec(
        pack_id=f"{kind}-{digest}",
        trials=ids,
        members=Members.of((trial_id, trial.config) for trial_id, trial in group),
        size=size,
        protocol=protocol,
        dataset=config.dataset,
        dataset_fingerprint=fingerprints[config.dataset],
        scheduler=scheduler,
        device=resources.device,
        gpus=_gpu_share(config) if on_gpu else 0,
        strategy=_strategy(config, resources),
        precision=resources.precision,
        compile=eager is None if resources.compile is None else resources.compile,
        eager_by_choice=eager,
        work=work,
    )


def _gpu_share(config: TrialConfig) -> float:
    # Small networks leave a card idle most of the time, so several packs share one.
    return 0.25 if config.network == "mlp" else 0.5


def _strategy(config: TrialConfig, resources: Resources) -> Literal["fused", "looped"]:
    """`auto` follows docs/benchmarks.md: fused won for every network that was measured, all on CPUs."""
    return "fused" if resources.strategy == "auto" else resources.strategy


def _work_of_member(config: TrialConfig, describe: Callable[[str], EnvironmentSpec]) -> float:
    flops = _cost(config, describe).flops
    return config.train_steps * samples_of_a_step(config) * flops * relative_passes(config)


def _cost(config: TrialConfig, describe: Callable[[str], EnvironmentSpec]) -> NetworkCost:
    env = describe(config.env)
    return network_cost(config, env.observation_shape, env.num_actions)
