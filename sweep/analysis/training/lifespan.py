"""Phases of learning of one trial, from its rank and its return (Gulcehre et al. 2022, section 4.1, Figure 2)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtr

from sweep.analysis.association import Floats
from sweep.analysis.training.turning_points import FIRST_NOISES, Smooth, smoothed, swings, turn

MINIMUM_POINTS: Final = 5
CHANGE: Final = 1 / 3
"""Share of its height that a rank must lose in a collapse; under that it is flat or sags."""
RECOVERY: Final = 0.15
"""Share of the lost rank that must come back for phase 2."""
AT_ONCE: Final = 0.1
"""Share of the measured steps within which phase 1's collapse begins."""
LOW_START: Final = 0.25
"""A rank that begins below this share of its later peak, and stays, had collapsed before it was measured."""
LOW_POINTS: Final = 3
CLEARLY: Final = 2.0
"""Standard errors by which two mean returns differ clearly."""


@dataclass(frozen=True)
class Phase:
    """First and last measurement (indices) of a phase, None where it is not present, and the ``confidence`` in [0, 1]
    of that verdict, NaN where there is none."""

    begin: int | None
    end: int | None
    confidence: float


@dataclass(frozen=True)
class Lifespan:
    """Phases 1, 2 and 3 of a trial, and what else a person should know of them, "" for nothing."""

    phases: tuple[Phase, Phase, Phase]
    note: str = ""


@dataclass(frozen=True)
class Returns:
    """Returns ``values`` ``[E]`` measured at ``steps`` ``[E]``, without gaps."""

    steps: Floats
    values: Floats

    def during(self, begin: float, end: float) -> Floats:
        """Those from ``begin`` to ``end``, ends included."""
        return self.values[(self.steps >= begin) & (self.steps <= end)]


def lifespan(steps: Floats, rank: Floats, returns: Returns) -> Lifespan:
    """Phases of a trial whose ``rank`` ``[T]`` was measured at ``steps`` ``[T]``, ascending, both without gaps.

    1. Phase 1 is there when the rank loses a third (`CHANGE`) of its height in a fall that begins within the first
       tenth (`AT_ONCE`) of the steps, or later but then comes back, or later while the return clearly improves. It
       begins with the first measurement and ends where the rank begins to rise. A rank that begins under a quarter
       (`LOW_START`) of its later peak and stays there for 3 points had fallen before it was measured.
    2. Phase 2 is there when 15 % (`RECOVERY`) of what was lost comes back; without a fall before it, when the rank
       rises by a third of where it gets to, or is high from the start until a later fall.
    3. Phase 3 is there when the rank, in phase 2, loses a third of its height: of several such falls the last, so that
       a dip which mends is part of phase 2. It ends where the rank rises again by rule 2, else with the trial.

    A change also has to stand out of the noise (`turning_points`). A phase ends where the next begins. The confidence
    is the probability that the change is (for an absent phase: is not) as large as its rule asks, when the
    difference of two extremes of the smoothed rank has an error of twice the standard deviation of its noise, and
    Student's t as many degrees of freedom as the noise was estimated with.
    """
    if len(rank) < MINIMUM_POINTS:
        unknown = Phase(None, None, np.nan)
        few = f"refused: {len(rank)} measurements of the rank, at least {MINIMUM_POINTS} are needed"
        return Lifespan((unknown, unknown, unknown), few)
    smooth = smoothed(rank, RECOVERY)
    return _Reading.of(steps, smooth).phases(returns)


@dataclass(frozen=True)
class _Reading:
    steps: Floats
    smooth: Smooth
    at: tuple[int, ...]
    turns: tuple[int, ...]
    """Where each swing begins."""
    missed: float
    """Confidence that there is no further swing."""

    @classmethod
    def of(cls, steps: Floats, smooth: Smooth) -> "_Reading":
        found = swings(smooth.values, CHANGE, RECOVERY, smooth.least, FIRST_NOISES * smooth.first_noise)
        at = found.at
        before = (None, *at)
        turns = tuple(turn(steps, smooth, before[k], at[k], at[k + 1]) for k in range(len(at) - 1))
        missed = _sure(found.needed - found.rest, 2 * smooth.noise, smooth.freedom)
        return cls(steps, smooth, at, turns, missed)

    def phases(self, returns: Returns) -> Lifespan:
        if not self.turns:
            absent = Phase(None, None, self.missed)
            return Lifespan(
                (absent, absent, absent), "flat: no change by a third that stands out of the noise"
            )
        fall = 0 if self._falls(0) else 1
        if fall < len(self.turns) and self._first_fall_is_early(fall, returns):
            one = Phase(0, self._begin(fall + 1), self._confidence(fall))
            return self._after(one, fall + 1)
        if fall == 1:
            return self._risen()
        # High from the start: what tells of phase 2 is that there was something to lose.
        sure = self._confidence(0)
        return self._after(Phase(None, None, sure), 0, Phase(0, self._begin(0), sure))

    def _first_fall_is_early(self, fall: int, returns: Returns) -> bool:
        begins = self.turns[fall]
        share = (self.steps[begins] - self.steps[0]) / (self.steps[-1] - self.steps[0])
        if share <= AT_ONCE or fall > 0:
            return bool(share <= AT_ONCE)
        if len(self.turns) > 1:
            return True
        before = returns.during(-np.inf, self.steps[begins])
        return difference(before, returns.during(self.steps[begins], np.inf)) > CLEARLY

    def _risen(self) -> Lifespan:
        low, peak = self.smooth.values[self.at[0]], self.smooth.values[self.at[1]]
        if low > LOW_START * peak or self.turns[0] < LOW_POINTS:
            return self._after(Phase(None, None, self._confidence(0)), 0)
        sure = min(
            self._confidence(0), _sure(LOW_START * peak - low, 2 * self.smooth.noise, self.smooth.freedom)
        )
        found = self._after(Phase(0, self.turns[0], sure), 0)
        return Lifespan(found.phases, _join("the rank fell before its first measurement", found.note))

    def _after(self, one: Phase, rise: int, two: Phase | None = None) -> Lifespan:
        """Phases 2 and 3 when swing number ``rise`` opens phase 2, or ``two`` is known and ``rise`` is the fall."""
        absent = Phase(None, None, self.missed)
        if two is None and rise >= len(self.turns):
            return Lifespan((one, absent, absent), "stuck in phase 1: the rank does not come back")
        falls = [k for k in range(rise, len(self.turns)) if self._falls(k)]
        begin, sure = (two.begin, two.confidence) if two else (self.turns[rise], self._confidence(rise))
        if not falls:
            return Lifespan((one, Phase(begin, len(self.steps) - 1, sure), absent))
        last = falls[-1]
        three = Phase(self.turns[last], self._begin(last + 1), self._confidence(last))
        mended = f"{len(falls) - 1} falls of the rank within phase 2 mend" if len(falls) > 1 else ""
        again = "the rank rises again after phase 3" if last + 1 < len(self.turns) else ""
        return Lifespan((one, Phase(begin, self.turns[last], sure), three), _join(mended, again))

    def _begin(self, swing: int) -> int:
        return self.turns[swing] if swing < len(self.turns) else len(self.steps) - 1

    def _falls(self, swing: int) -> bool:
        return bool(self.smooth.values[self.at[swing + 1]] < self.smooth.values[self.at[swing]])

    def _confidence(self, swing: int) -> float:
        start, end = (float(self.smooth.values[i]) for i in self.at[swing : swing + 2])
        if end < start:
            needed = CHANGE * start
        elif swing:
            needed = RECOVERY * (float(self.smooth.values[self.at[swing - 1]]) - start)
        else:
            needed = CHANGE * end
        first = self.smooth.first_noise if self.at[swing] == 0 else 0.0
        error = float(np.hypot(2 * self.smooth.noise, first))
        return _sure(abs(end - start) - needed, error, self.smooth.freedom)


def difference(before: Floats, after: Floats) -> float:
    """Mean of ``after`` less that of ``before`` in standard errors (Welch); NaN where either has under 2 values."""
    if len(before) < 2 or len(after) < 2:
        return np.nan
    error = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    gap = after.mean() - before.mean()
    return float(gap / error) if error > 0 else float(np.sign(gap) * np.inf) if gap else 0.0


def _sure(margin: float, error: float, freedom: float) -> float:
    if error > 0:
        return float(stdtr(freedom, margin / error))
    return float(margin >= 0)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
