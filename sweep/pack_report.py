"""Where a pack is, as its training process says."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """Where a pack is: `step` of `train_steps`; `return_mean` is the members' last mean return, NaN before one."""

    pack_id: str
    attempt: int
    step: int
    train_steps: int
    members: int
    active: int
    steps_per_second: float
    compiled: bool
    return_mean: float
    evaluated: bool
