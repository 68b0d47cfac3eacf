"""How often an effect that is there would be found: the estimators of the analysis, on simulated sweeps.

Normal outcomes with a component of each configuration and one of each trial; a share of sweeps whose two-sided p is
below alpha. Every function simulates many sweeps at once and takes fractions of a second.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

import numpy as np
from scipy import stats

from search_spaces.factorial import Fraction, choose_generators
from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError
from sweep.analysis.intervals import cluster_draws
from sweep.analysis.interventions.factorial_model import model_columns
from sweep.analysis.interventions.least_squares import LeastSquares

Kind = Literal["correlation", "main", "difference"]
_BOOTSTRAP: Final = 300
# Numbers held at once: 64 MB.
_CHUNK: Final = 8_000_000


@dataclass(frozen=True)
class Claim:
    """An effect of a ``size``: a correlation, a factorial's main effect, or a difference between two arms."""

    kind: Kind
    size: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``correlation=0.3``, ``main=5`` or ``difference=0.5``. Raises `AnalysisError`."""
        kind, equals, size = (part.strip() for part in text.partition("="))
        try:
            number = float(size)
        except ValueError:
            number = math.nan
        if kind not in get_args(Kind) or not equals or not math.isfinite(number):
            raise AnalysisError(
                f"effect {text!r}: must be correlation=R, main=EFFECT or difference=EFFECT with a number, "
                "such as correlation=0.3."
            )
        if number == 0 or (kind == "correlation" and abs(number) >= 1):
            allowed = "between -1 and 1, and not 0" if kind == "correlation" else "other than 0"
            raise AnalysisError(f"effect {text!r}: the size must be {allowed}: it is what is to be found.")
        return cls(next(k for k in get_args(Kind) if k == kind), number)


@dataclass(frozen=True)
class Power:
    """A simulated share of sweeps that find the effect, and its Monte Carlo standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, p: Floats, alpha: float) -> Self:
        """From the p-values of many sweeps."""
        share = float((p < alpha).mean())
        return cls(share, math.sqrt(share * (1 - share) / len(p)))


def correlation_power(
    size: float,
    configurations: int,
    seeds: int,
    shares: tuple[float, float],
    *,
    alpha: float,
    draws: int,
    rng: np.random.Generator,
) -> Power:
    """Of Pearson's correlation over trials, by the bootstrap over configurations of `correlation`.

    ``shares`` of the variance of measure and outcome lie between configurations, and the correlation with them, as far
    as they can hold it; seeds add noise that is uncorrelated.
    """
    return Power.of(correlation_p(size, configurations, seeds, shares, draws, rng), alpha)


def main_effect_power(
    size: float,
    factors: int,
    configurations: int,
    seeds: int,
    spread: tuple[float, float],
    *,
    alpha: float,
    draws: int,
    rng: np.random.Generator,
) -> Power:
    """Of one of ``factors`` main effects, by the model and errors of `intervention_ate` in a balanced design.

    ``configurations`` is a power of two: a fraction of the full factorial, all of it, or several of it. ``spread``:
    standard deviations between configurations, beyond what the model explains, and between their seeds.
    Raises `AnalysisError` for a number of configurations that is no such design.
    """
    signs = two_level_design(factors, configurations)
    x, _ = model_columns(signs, np.empty((configurations, 0)), configurations, None)
    squares = LeastSquares(x, np.arange(configurations))
    contrast = squares.contrast(np.eye(x.shape[1])[1] * 2)
    if not contrast.freedom > 0:
        return Power(0.0, 0.0)
    # In a balanced design the model sees a configuration's seeds through their mean alone.
    noise = math.sqrt(spread[0] ** 2 + spread[1] ** 2 / seeds)
    p = []
    for part in _parts(draws, configurations):
        y = noise * rng.standard_normal((part, configurations))
        t = (size + y @ contrast.weights) / np.sqrt(squares.variance(contrast, y))
        p.append(2 * stats.t.sf(np.abs(t), contrast.freedom))
    return Power.of(np.concatenate(p), alpha)


def difference_power(
    size: float, seeds: int, sd_within: float, *, alpha: float, draws: int, rng: np.random.Generator
) -> Power:
    """Of the mean difference between two arms over ``seeds``, by Student's paired test of `paired_difference`.

    ``sd_within``: between the seeds of one configuration; the two of a pair are taken as independent.
    """
    if seeds < 2:
        return Power(0.0, 0.0)
    gaps = size + math.sqrt(2) * sd_within * rng.standard_normal((draws, seeds))
    t = gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / math.sqrt(seeds))
    return Power.of(2 * stats.t.sf(np.abs(t), seeds - 1), alpha)


def correlation_p(
    size: float,
    configurations: int,
    seeds: int,
    shares: tuple[float, float],
    draws: int,
    rng: np.random.Generator,
) -> Floats:
    """p-values ``[draws]`` of simulated sweeps: see `correlation_power`."""
    weights = np.vstack([np.ones(configurations), cluster_draws(configurations, _BOOTSTRAP, rng)])
    p = []
    for part in _parts(draws, configurations * max(seeds, _BOOTSTRAP // 50)):
        x, y = simulate_pairs(size, configurations, seeds, shares, part, rng)
        sums = [v.sum(axis=2) for v in (x, y, x * x, y * y, x * y)]
        # The same draws of configurations for all sweeps: products of matrices, not a loop over sweeps.
        mx, my, xx, yy, xy = (weights @ s.T / (weights.sum(axis=1, keepdims=True) * seeds) for s in sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (xy - mx * my) / np.sqrt((xx - mx**2) * (yy - my**2))
        z = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9))
        t = z[0] / z[1:].std(axis=0, ddof=1)
        p.append(2 * stats.t.sf(np.abs(t), configurations - 1))
    return np.concatenate(p)


def simulate_pairs(
    size: float,
    configurations: int,
    seeds: int,
    shares: tuple[float, float],
    draws: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Measure and outcome ``[draws, configurations, seeds]``: variance 1 each, correlation ``size`` over trials."""
    between = math.sqrt(shares[0] * shares[1])
    within = math.sqrt((1 - shares[0]) * (1 - shares[1]))
    held = max(-between, min(between, size))
    rest = (size - held) / within if within > 0 else 0.0
    first = _normal_pairs(held / between if between > 0 else 0.0, (draws, configurations, 1), rng)
    second = _normal_pairs(min(1.0, max(-1.0, rest)), (draws, configurations, seeds), rng)
    x, y = (
        math.sqrt(share) * a + math.sqrt(1 - share) * b
        for share, a, b in zip(shares, first, second, strict=True)
    )
    return x, y


def two_level_design(factors: int, runs: int) -> Floats:
    """Signs ``[runs, factors]`` of a balanced design. Raises `AnalysisError` where there is none."""
    exponent = runs.bit_length() - 1
    if runs < 2 or runs != 2**exponent or runs <= factors:
        raise AnalysisError(
            f"{runs} configurations are no two-level design of {factors} factors: take a power of two above {factors}."
        )
    fraction = choose_generators(factors, factors - exponent) if exponent < factors else Fraction(factors)
    once = np.array(list(fraction.runs()), dtype=np.float64)
    return np.tile(once, (runs // len(once), 1))


def _normal_pairs(
    correlation: float, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    a, b = rng.standard_normal(shape), rng.standard_normal(shape)
    return a, correlation * a + math.sqrt(1 - correlation**2) * b


def _parts(draws: int, size: int) -> list[int]:
    """``draws`` in parts that fit the memory, ``size`` numbers a draw."""
    most = max(1, _CHUNK // max(1, size))
    return [min(most, draws - start) for start in range(0, draws, most)]
