"""What a run may use: hours by the clock, and hours of graphics cards; and what a sweep has used so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import UsageError

__all__ = ["Budget", "PlannedEnd", "Slot", "planned_end"]

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Budget:
    """`max_hours` are those of one command; `max_gpu_hours` those of the sweep, all its runs together.

    A pack uses its share of a card for as long as its process holds it. None is no limit. Raises UsageError for
    what is no positive number.
    """

    max_hours: float | None = None
    max_gpu_hours: float | None = None

    def __post_init__(self) -> None:
        for option, hours in (("--max-hours", self.max_hours), ("--max-gpu-hours", self.max_gpu_hours)):
            if hours is not None and not (math.isfinite(hours) and hours > 0):
                raise UsageError(f"{option} {hours}: it must be more than 0 hours; half an hour is 0.5.")

    def used_up(self, hours: float, gpu_hours: float) -> str | None:
        """Why a run that lasts for `hours`, of a sweep that has used `gpu_hours`, is to stop; else None."""
        if self.max_hours is not None and hours >= self.max_hours:
            return f"--max-hours {self.max_hours:g} is used up"
        if self.max_gpu_hours is not None and gpu_hours >= self.max_gpu_hours:
            used = f"{gpu_hours:.2f} GPU-hours, all runs of this sweep together"
            return f"--max-gpu-hours {self.max_gpu_hours:g} is used up ({used})"
        return None

    def said(self, gpu_hours: float = 0.0) -> str | None:
        """`stops after 3 h or 10 GPU-hours`, with what earlier runs have used; None without a limit."""
        parts = []
        if self.max_hours is not None:
            parts.append(f"{self.max_hours:g} h")
        if self.max_gpu_hours is not None:
            used = f" ({gpu_hours:.2f} of them used by earlier runs)" if gpu_hours > 0 else ""
            parts.append(f"{self.max_gpu_hours:g} GPU-hours{used}")
        return f"stops after {' or '.join(parts)}" if parts else None


@dataclass(frozen=True)
class Slot:
    """When a pack is expected to run, in seconds from the start, and the share of a card that it holds."""

    begins: float
    ends: float
    gpus: float = 0.0


@dataclass(frozen=True)
class PlannedEnd:
    """Where a budget is expected to end a sweep: after `seconds`, with `done` packs done and `begun` under way."""

    seconds: float
    done: int
    begun: int


def planned_end(slots: Sequence[Slot], budget: Budget) -> PlannedEnd:
    """What of a schedule fits a budget."""
    seconds = max((slot.ends for slot in slots), default=0.0)
    if budget.max_hours is not None:
        seconds = min(seconds, budget.max_hours * 3600)
    if budget.max_gpu_hours is not None:
        seconds = min(seconds, _when_used(slots, budget.max_gpu_hours * 3600))
    within = seconds * (1 + _TOLERANCE)
    done = sum(slot.ends <= within for slot in slots)
    return PlannedEnd(seconds, done, sum(slot.begins < seconds for slot in slots) - done)


def _when_used(slots: Sequence[Slot], gpu_seconds: float) -> float:
    """When so many seconds of cards have been used; infinity where the schedule uses no more."""
    changes = sorted(
        [(slot.begins, slot.gpus) for slot in slots] + [(slot.ends, -slot.gpus) for slot in slots]
    )
    used, held, before = 0.0, 0.0, 0.0
    for moment, change in changes:
        if held > _TOLERANCE and used + held * (moment - before) >= gpu_seconds:
            return before + (gpu_seconds - used) / held
        used += held * (moment - before)
        held, before = held + change, moment
    return math.inf
