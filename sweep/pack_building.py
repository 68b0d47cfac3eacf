"""A pack as its spec and its dataset say, and what draws its minibatches: for whoever trains or measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.columns.building import build_columns
from agents.objectives import objective_class
from agents.pack import Pack
from agents.sampling import MinibatchSampler
from agents.sequences import SequenceSampler, Windows
from sweep.learner import learner_shape, member_hypers
from sweep.plan import PackSpec
from sweep.policies import target_policy

if TYPE_CHECKING:
    from agents.data import Dataset

__all__ = ["Draw", "build_pack"]

Draw = Callable[[int, int], "np.ndarray | Windows"]
"""Selections for a number of steps from a step on, as `Pack.update` takes them."""


def build_pack(spec: PackSpec, dataset: Dataset, root: Path, device: str) -> tuple[Pack, Draw]:
    """The pack of `spec`, at its first step, on `device`. Raises AgentError where spec and dataset do not fit."""
    members = [member_hypers(member.config) for member in spec.members]
    shape = learner_shape(spec.config, dataset.spec)
    sequences: SequenceSampler | None = None
    if objective_class(shape.objective).recurrent:
        sequences = SequenceSampler.for_shape(shape, members, dataset)
        draw: Draw = sequences.windows
    else:
        draw = MinibatchSampler(members, dataset.arrays["subset_order"], shape.batch_size).indices
    pack = Pack(
        shape,
        members,
        dataset.transitions,
        build_columns(shape, members, dataset, target_policy(root, spec.config), device),
        sequences=sequences,
        pack_size=spec.size,
        device=device,
        compile=spec.compile,
        strategy=spec.strategy,
        precision=spec.precision,
        members_at_once=spec.members_at_once,
    )
    return pack, draw
