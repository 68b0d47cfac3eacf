"""Curves with known turns, drawn at random, and how well their phases are found.

``python tests/sweep/analysis/phase_simulation.py`` prints the numbers of docs/how-to/analysis/training.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.signal import lfilter

from sweep.analysis.training.lifespan import Lifespan, Returns, lifespan

Floats = npt.NDArray[np.float64]
PRESENT = {
    "three": (True, True, True),
    "two": (True, True, False),
    "stuck": (True, False, False),
    "flat": (False, False, False),
    "rise": (False, True, False),
}
POINTS = (10, 20, 40, 100, 200, 1000)
NOISE = (0.01, 0.05, 0.12)


@dataclass(frozen=True)
class Simulated:
    """A curve over shares of training; which phases are there, and where phases 2 and 3 begin (NaN: nowhere)."""

    share: Floats
    rank: Floats
    present: tuple[bool, bool, bool]
    turns: tuple[float, float]

    def found(self) -> Lifespan:
        return lifespan(self.share, self.rank, Returns(np.zeros(0), np.zeros(0)))


def simulated(kind: str, points: int, noise: float, memory: float, rng: np.random.Generator) -> Simulated:
    """A curve of a ``kind`` of `PRESENT`; ``noise`` as a share of its initial rank, correlated by ``memory``."""
    height = rng.uniform(40, 300)
    low, peak = height * rng.uniform(0.03, 0.1), height * rng.uniform(0.4, 1)
    rises, falls = rng.uniform(0.08, 0.2), rng.uniform(0.5, 0.75)
    high, gone = rises + rng.uniform(0.1, 0.2), falls + rng.uniform(0.05, 0.2)
    start = [(0, height), (0.002, low), (rises, low)]
    knots = {
        "three": [*start, (high, peak), (falls, peak), (gone, 0.7 * low), (1, 0.6 * low)],
        "two": [*start, (high, peak), (1, peak)],
        "stuck": [*start, (1, low)],
        "flat": [(0, height), (1, height)],
        "rise": [(0, 0.35 * peak), (0.3, peak), (1, 1.05 * peak)],
    }[kind]
    share = np.linspace(0, 1, points)
    drift = lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.standard_normal(points + 100))[100:]
    rank = PchipInterpolator(*zip(*knots, strict=True))(share) + noise * height * drift
    turns = (rises if kind in ("three", "two") else np.nan, falls if kind == "three" else np.nan)
    return Simulated(share, np.clip(np.round(rank), 1, None), PRESENT[kind], turns)


def judged(curve: Simulated) -> tuple[bool, list[float], list[tuple[float, bool]]]:
    """Whether each phase is rightly there or not; if so, how far off turns are; each confidence, and if it is right."""
    found = curve.found().phases
    right = [(phase.begin is not None) == there for phase, there in zip(found, curve.present, strict=True)]
    off = []
    if all(right):
        for phase, turn in zip(found[1:], curve.turns, strict=True):
            if phase.begin is not None and np.isfinite(turn):
                off.append(float(abs(curve.share[phase.begin] - turn)))
    return all(right), off, [(phase.confidence, ok) for phase, ok in zip(found, right, strict=True)]


def study(
    points: int, noise: float, memory: float, seed: int, each: int = 60
) -> Iterator[tuple[bool, list[float], list[tuple[float, bool]]]]:
    """`judged` curves, ``each`` of every kind."""
    rng = np.random.default_rng([seed, points, int(100 * noise), int(100 * memory)])
    for kind in PRESENT:
        for _ in range(each):
            yield judged(simulated(kind, points, noise, memory, rng))


def _print() -> None:
    verdicts: list[tuple[float, bool]] = []
    for memory in (0.0, 0.8):
        for points in POINTS:
            cells = []
            for noise in NOISE:
                results = list(study(points, noise, memory, seed=0))
                off = [gap for _, gaps, _ in results for gap in gaps]
                share = np.mean([right for right, _, _ in results])
                cells.append(f"{share:.0%} / {100 * np.median(off):.1f} / {100 * np.quantile(off, 0.9):.1f}")
                verdicts += [verdict for _, _, given in results for verdict in given] if memory == 0 else []
            print(f"memory {memory}, {points:4} points | " + " | ".join(cells))
    confidence, right = np.array(verdicts, dtype=float).T
    for low, high in ((0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 0.99), (0.99, 1.01)):
        there = (confidence >= low) & (confidence < high)
        print(f"confidence from {low}: {right[there].mean():.1%} right of {there.sum()}")


if __name__ == "__main__":
    _print()
