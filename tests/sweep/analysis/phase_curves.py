"""Synthetic rank and return curves of the shapes in Gulcehre et al. 2022, with the phases labelled by hand.

A curve is drawn through knots, measured with noise, and rounded as an effective rank is. Labels were read off the
drawn points by eye, before there was a detector: intervals of acceptable steps, which every later change of the
detector leaves as they are.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Floats = npt.NDArray[np.float64]


Span = tuple[float, float]
"""Acceptable steps of a boundary, ends included."""


@dataclass(frozen=True)
class Phase:
    """Where a phase may begin and end; None: at the first (last) measurement."""

    begin: Span | None
    end: Span | None


@dataclass(frozen=True)
class Labels:
    """What a person sees in a curve: phases 1, 2, 3, None for one that is not present, and why in a few words."""

    phases: tuple[Phase | None, Phase | None, Phase | None]
    because: str


def three(rise: Span, fall: Span, because: str, *, again: Span | None = None) -> Labels:
    """The rank falls at once and stays low, begins to rise in ``rise``, to fall in ``fall``, perhaps to rise again."""
    return Labels((Phase(None, rise), Phase(rise, fall), Phase(fall, again)), because)


def recovered(rise: Span, because: str) -> Labels:
    """As `three`, without the second fall."""
    return Labels((Phase(None, rise), Phase(rise, None), None), because)


def stuck(because: str) -> Labels:
    """The rank falls and never comes back."""
    return Labels((Phase(None, None), None, None), because)


def no_first(begin: Span | None, because: str, *, fall: Span | None = None) -> Labels:
    """The rank does not fall at the start; it rises from ``begin``, or is high from there, and may fall later."""
    return Labels((None, Phase(begin, fall), Phase(fall, None) if fall else None), because)


def nothing(because: str) -> Labels:
    """No phase can be told."""
    return Labels((None, None, None), because)


@dataclass(frozen=True)
class Curve:
    """How a curve is drawn: knots ``"share:value ..."`` of training, joined without overshoot."""

    name: str
    rank: str
    returns: str
    labels: Labels
    last: float = 1e6
    """Gradient steps of the whole training."""
    points: int = 200
    cadence: str = "even"
    """When it is measured: "even", "log" (denser early), "random" (gaps of any length), "bursts"."""
    noise: float = 0.02
    """Standard deviation of the rank, as a share of the highest knot."""
    memory: float = 0.0
    """Correlation of the noise from one point to the next."""
    outliers: float = 0.0
    """Share of points that are far off."""
    return_noise: float = 0.05
    return_every: int = 1
    """The return is missing but at every so many points."""
    width: int = 512
    first: float = 0.0
    """Share of training before the first measurement."""
    stops: float = 1.0
    """Share of training at which a trial that diverged ends."""

    def draw(self) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
        """Steps ``[T]`` int64, rank ``[T]`` float64 (whole numbers), return ``[T]`` float64 (NaN where missing)."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        share = np.unique(np.round(self._measured(rng), 9))
        rank = _through(self.rank)(share)
        scale = max(float(part.split(":")[1]) for part in self.rank.split())
        rank = rank + self.noise * scale * _noise(rng, len(share), self.memory)
        off = rng.random(len(share)) < self.outliers
        rank = np.where(off, rank * rng.choice([0.3, 1.8], len(share)), rank)
        returns = _through(self.returns)(share)
        height = max(abs(float(part.split(":")[1])) for part in self.returns.split())
        returns = returns + self.return_noise * height * rng.standard_normal(len(share))
        if self.return_noise == 0:
            returns = np.full(len(share), returns[0])
        returns[np.arange(len(share)) % self.return_every != 0] = np.nan
        kept = share <= self.stops
        steps = np.round(share * self.last).astype(np.int64)
        return steps[kept], np.clip(np.round(rank), 1, self.width)[kept], returns[kept]

    def _measured(self, rng: np.random.Generator) -> Floats:
        if self.cadence == "even":
            return np.linspace(self.first, 1, self.points)
        if self.cadence == "log":
            return np.r_[0.0, np.geomspace(1e-4, 1, self.points - 1)]
        if self.cadence == "random":
            gaps = rng.exponential(1, self.points - 1)
            return np.r_[0.0, np.cumsum(gaps) / gaps.sum()]
        centres = np.linspace(0, 1, self.points // 5)
        bursts = (centres[:, None] + np.arange(5) * 0.1 / self.points).ravel()
        return bursts / bursts[-1]


def _through(knots: str) -> PchipInterpolator:
    x, y = zip(*((float(a), float(b)) for a, b in (part.split(":") for part in knots.split())), strict=True)
    return PchipInterpolator(x, y)


def _noise(rng: np.random.Generator, points: int, memory: float) -> Floats:
    white = rng.standard_normal(points)
    out = white.copy()
    for i in range(1, points):
        out[i] = memory * out[i - 1] + np.sqrt(1 - memory**2) * white[i]
    return out
