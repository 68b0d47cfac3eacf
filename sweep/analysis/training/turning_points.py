"""Where a noisy curve turns for good: swings that are large beside the noise, and the point at which each begins.

Three parts. `smoothed` averages as much as the noise asks for and estimates what noise is left. `swings` walks along
and calls a reversal only what has come back far enough (hysteresis). `turn` puts the turn between two swings where a
level and a straight line meet with the least squares.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from sweep.analysis.association import Floats

SHORT: Final = 30
"""Below this many points a curve is taken as it is: an average would swallow its turns."""
FALSE_ALARMS: Final = 0.05
"""Share of curves of nothing but noise, without drift, that swing by ``Smooth.least``: 2 to 11 % in simulation."""
FIRST_NOISES: Final = 4.0
"""Standard deviations by which a curve must leave its first point, which is one unsmoothed draw."""

_WIDTHS: Final = (1, 3, 5, 9, 17, 33, 65)
# Second differences further apart than this share of a curve would mostly see its own bends.
_STRAIGHT: Final = 1 / 16
_NORMAL_QUARTILE: Final = 0.6745
_ROUNDING: Final = 12**-0.5
# A median of 3 normal draws has the variance of a mean of 2.2, and leaves that of long means as it is.
_MEDIAN_OF_3: Final = 1.2
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Smooth:
    """A curve ``[T]`` in two strengths: ``values`` to look for swings in, and ``light``, without lone outliers only, to
    place turns in.

    The first point is as it was measured in both: the untrained network is a place of its own. ``noise`` and
    ``first_noise`` are standard deviations of ``values`` and of that point.
    """

    values: Floats
    light: Floats
    width: int
    """Points averaged in ``values``."""
    noise: float
    first_noise: float
    freedom: float
    """Degrees of freedom that the noise was estimated with, about."""

    @property
    def least(self) -> float:
        """The smallest swing that stands out: as far as the extremes of as many normal draws as points seldom lie."""
        return 2 * self.noise * _extreme(len(self.values))


@dataclass(frozen=True)
class Swings:
    """Extremes ``at`` (indices) that a curve swings between, empty for a flat one; the largest reversal since the last
    of them, ``rest``, and from which size it would be one if there were no noise, ``needed``."""

    at: tuple[int, ...]
    rest: float
    needed: float


def smoothed(curve: Floats, smallest: float) -> Smooth:
    """A curve ``[T]`` averaged until a swing of ``smallest`` of its range would count.

    A running median of 3, then the narrowest running mean that does, or the widest under a sixteenth of the curve. The
    noise is that of second differences (their median size) at any distance from the mean's width to a sixteenth of the
    curve, which straight stretches do not touch and drifting noise does. Curves under `SHORT` points are left alone;
    their noise is what is left of them by at most four monotone pieces, each at least a third of the range.
    """
    rounding = _ROUNDING if (curve == np.round(curve)).all() else 0.0
    if len(curve) < SHORT:
        left, freedom = _about_monotone_pieces(curve)
        noise = max(left, rounding)
        return Smooth(curve, curve, 1, noise, noise, freedom)
    light = median_filter(curve[1:], 3, mode="nearest")
    white, first_noise = _second_differences(curve[1:], 1), max(_drift(curve[1:], 1), rounding)
    for width in _WIDTHS:
        if width > 1 and _lag(width) > len(curve) * _STRAIGHT:
            break
        values = uniform_filter1d(light, width, mode="nearest")
        # Drift is judged by few independent stretches; noise that does not drift, by every point.
        noise = max(_drift(values, _lag(width)), white / (width + _MEDIAN_OF_3) ** 0.5, rounding / width**0.5)
        found = Smooth(
            np.r_[curve[0], values], np.r_[curve[0], light], width, noise, first_noise, len(values) / width
        )
        if found.least <= smallest * np.ptp(found.values):
            break
    return found


def swings(values: Floats, change: float, recovery: float, least: float, first_least: float = 0.0) -> Swings:
    """Alternating swings of ``values`` ``[T]``, each of at least ``least`` (from the first point, ``first_least``).

    A fall must lose ``change`` of the height that it begins from; a rise must win ``recovery`` of what the fall before
    it lost, or if there was none, have begun ``change`` below where it gets.
    """
    points = values.tolist()
    begin, first_least = points[0], max(least, first_least)
    at: list[int] = []
    # Until the first swing the curve is looked at both ways; then `extreme` is what a reversal is measured from.
    high, high_at, low, low_at = begin, 0, begin, 0
    for i, value in enumerate(points):
        if value > high:
            high, high_at = value, i
        elif value < low:
            low, low_at = value, i
        if high - value >= max(change * high, least if high_at else first_least, _TINY):
            at, falling, height, extreme = [high_at], True, high, value
            break
        if value - low >= max(change * value, least if low_at else first_least, _TINY):
            at, falling, height, extreme = [low_at], False, high, value
            break
    else:
        return Swings((), high - low, change * high)
    extreme_at, rest = i, 0.0
    needed = recovery * (height - extreme) if falling else change * extreme
    for j in range(i + 1, len(points)):
        value = points[j]
        back = value - extreme if falling else extreme - value
        if back < 0:
            extreme, extreme_at, rest = value, j, 0.0
            needed = recovery * (height - extreme) if falling else change * extreme
        elif back > rest:
            rest = back
            if back >= needed and back >= least and back > _TINY:
                at.append(extreme_at)
                falling, height, extreme, extreme_at, rest = not falling, extreme, value, j, 0.0
                needed = recovery * (height - extreme) if falling else change * extreme
    return Swings((*at, extreme_at), rest, needed)


def turn(steps: Floats, smooth: Smooth, before: int | None, at: int, after: int) -> int:
    """Index at which the curve leaves the level around the extreme ``at`` for the next extreme, ``after``.

    Looked for from where the swing from the extreme ``before`` was three quarters done (None: from the start) to
    where the next swing is.
    """
    begin = 0 if before is None else _done(smooth.values, before, at)
    end = _done(smooth.values, at, after)
    return begin + hinge(steps[begin : end + 1], smooth.light[begin : end + 1])


def hinge(x: Floats, y: Floats) -> int:
    """The index k for which ``c + m max(0, x - x[k])`` leaves the least squares of ``y``; all ``[T]``."""
    if len(x) < 3:
        return 0
    x = (x - x[0]) / (x[-1] - x[0])
    y = y - y.mean()
    # Sums over the points from k on, of u = x - x[k]; before it u is zero.
    n = np.arange(len(x), 0, -1.0)
    sx, sxx, sy, sxy = (np.cumsum(part[::-1])[::-1] for part in (x, x * x, y, x * y))
    u, uu, uy = sx - n * x, sxx - 2 * x * sx + n * x * x, sxy - x * sy
    spread = uu - u**2 / len(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = np.where(spread > 1e-12, uy**2 / spread, 0.0)
    return int(np.argmax(explained))


def _done(values: Floats, start: int, stop: int) -> int:
    way = (values[start : stop + 1] - values[start]) / (values[stop] - values[start])
    return start + int(np.argmax(way >= 0.75))


def _lag(width: int) -> int:
    return width + 2  # the running median spreads a point over 3


def _extreme(draws: float) -> float:
    return float(ndtri(1 - FALSE_ALARMS / draws))


def _drift(values: Floats, lag: int) -> float:
    lags = [lag]
    while lags[-1] * 2 <= len(values) * _STRAIGHT:
        lags.append(lags[-1] * 2)
    return max(_second_differences(values, lag) for lag in lags)


def _second_differences(values: Floats, lag: int) -> float:
    differences = values[: -2 * lag] - 2 * values[lag:-lag] + values[2 * lag :]
    middle = len(differences) // 2
    median = float(np.partition(np.abs(differences), middle)[middle])  # np.median takes three times as long
    return median / _NORMAL_QUARTILE / 6**0.5


def _about_monotone_pieces(curve: Floats) -> tuple[float, int]:
    for share in (1 / 3, 1 / 2, 2 / 3, 1.0):
        edges = sorted({0, *swings(curve, 0.0, 0.0, share * float(np.ptp(curve))).at, len(curve) - 1})
        if len(edges) <= 5:
            break
    left = curve.copy()
    for start, stop in pairwise(edges):
        piece = curve[start : stop + 1]
        left[start : stop + 1] = piece - isotonic_regression(piece, increasing=bool(piece[-1] >= piece[0])).x
    freedom = max(1, len(curve) - len(edges))
    return float(np.sqrt((left**2).sum() / freedom)), freedom
