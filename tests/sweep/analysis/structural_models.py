"""Simulated sweeps from structural causal models whose effects are known in closed form.

Every model is linear. Independent sources of unit variance (the hyperparameters, an unseen confounder, what a
configuration and what a trial has of its own) each move the measure and the outcome by a weight; beside that the
outcome takes ``effect`` times the measure. So the slope that any regression converges to is a sum over the sources
that it leaves in: `Truth` holds it.

    effect + sum(w_measure * w_outcome) / sum(w_measure ** 2) / MEASURE_SCALE

Learning rate (4 levels), activation (2) and batch size (2) are drawn at random for each configuration, weight decay
log-uniformly, as in a random search: each configuration is one, and weight decay and batch size do nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

MEASURE, OUTCOME = "srank", "return_mean"
MEASURE_MEAN, MEASURE_SCALE = 40.0, 5.0
"""The measure is MEASURE_MEAN + MEASURE_SCALE x (weighted sum of the sources)."""
HYPERPARAMETERS = ("learning_rate", "activation", "batch_size", "weight_decay")

Noise = Literal["normal", "t3", "lognormal"]
Simulated = tuple[pd.DataFrame, pd.DataFrame, "Truth"]

_LEVELS = (1e-4, 3e-4, 1e-3, 3e-3)
_CODES = np.array([-3.0, -1.0, 1.0, 3.0]) / np.sqrt(5)  # unit variance, evenly spaced


@dataclass(frozen=True)
class Truth:
    """What a sweep that was simulated is true of; slopes are in outcome per unit of the measure.

    ``effect``: of the measure on the outcome. ``pooled``: what the slope over all trials converges to. ``within``:
    the same at one value of a hyperparameter, by its name. ``adjusted``: given all hyperparameters. ``above``: the mean
    outcome of trials above the measure's median less that of those below; ``above_adjusted``: the same given the
    hyperparameters, averaged over all trials (both of normal noise, NaN otherwise).
    """

    effect: float
    pooled: float
    within: Mapping[str, float]
    adjusted: float
    above: float
    above_adjusted: float


def simulate(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = 0.05,
    *,
    learning_rate: tuple[float, float] = (0.0, 0.0),
    activation: tuple[float, float] = (0.0, 0.0),
    hidden: tuple[float, float] = (0.0, 0.0),
    configuration: tuple[float, float] = (0.7, 0.7),
    trial: tuple[float, float] = (0.7, 0.7),
    seed_effect: tuple[float, float] = (0.0, 0.0),
    noise: Noise = "normal",
    environments: int = 1,
    environment_shift: tuple[float, float] = (0.0, 0.0),
) -> Simulated:
    """Trials and metrics of a finished sweep in space "broad", and what is true of them.

    ``effect`` is in outcome per unit of the measure. Pairs are weights of a source in the measure (before
    MEASURE_SCALE) and, directly, in the outcome: of the learning rate, of the activation, of a confounder of
    configurations that no column shows (``hidden``), of what is particular to a configuration and to a trial (drawn
    anew for measure and outcome, so never confounding), and of the seed across configurations. ``noise`` is the
    distribution of the particular parts, at unit variance. In several ``environments`` the same configurations run
    in each, and environment number e moves measure (in units) and outcome by e x ``environment_shift``.
    """
    levels, tanh = rng.integers(4, size=n_configurations), rng.integers(2, size=n_configurations)
    batch, decay = rng.integers(2, size=n_configurations), 10 ** rng.uniform(-6, -2, n_configurations)
    sources = [_CODES[levels], 2.0 * tanh - 1, rng.standard_normal(n_configurations)]
    weights = [learning_rate, activation, hidden]
    shape = (environments, n_configurations, seeds)
    by_seed = rng.standard_normal((2, 1, 1, seeds))
    measure, outcome = (
        sum((w[side] * s[None, :, None] for w, s in zip(weights, sources, strict=True)), np.zeros(shape))
        + configuration[side] * _noise(rng, noise, (1, n_configurations, 1))
        + trial[side] * _noise(rng, noise, shape)
        + seed_effect[side] * by_seed[side]
        for side in (0, 1)
    )
    number = np.arange(environments)[:, None, None]
    rank = MEASURE_MEAN + MEASURE_SCALE * measure + number * environment_shift[0]
    returns = effect * rank + outcome + number * environment_shift[1]

    env, config, seed = (index.ravel() for index in np.indices(shape))
    trials = pd.DataFrame(
        {
            "trial_id": [f"t{i:06}" for i in range(len(env))],
            "spaces": [["broad"]] * len(env),
            "status": "finished",
            "env": [f"bsuite/catch/{e}" for e in env],
            "dataset": [f"catch-{e}" for e in env],
            "seed": seed,
            "learning_rate": np.array(_LEVELS)[levels][config],
            "activation": np.array(["relu", "tanh"])[tanh][config],
            "batch_size": np.array([32, 256])[batch][config],
            "weight_decay": decay[config],
            "train_steps": 1000,
            "scheduler": "fifo",
        }
    )
    metrics = pd.DataFrame(
        {"trial_id": trials["trial_id"], "step": 1000, MEASURE: rank.ravel(), OUTCOME: returns.ravel()}
    )
    own = configuration[0] ** 2 + trial[0] ** 2 + seed_effect[0] ** 2
    named = {"learning_rate": learning_rate, "activation": activation}
    sides = _sides(effect, named, hidden, own) if noise == "normal" else (np.nan, np.nan)
    return trials, metrics, _truth(effect, named, hidden, own, sides)


def observed_confounding(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = 0.05,
    **options: object,
) -> Simulated:
    """The learning rate moves measure and outcome: the pooled slope is far too large, the adjusted one right."""
    return _model(rng, n_configurations, seeds, effect, {"learning_rate": (1.0, 1.0)}, options)


def simpson_reversal(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = -0.1,
    **options: object,
) -> Simulated:
    """The measure lowers the outcome within each activation, and the activations make it look the other way round."""
    return _model(rng, n_configurations, seeds, effect, {"activation": (1.5, 2.0)}, options)


def no_effect(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = 0.0,
    **options: object,
) -> Simulated:
    """Hyperparameters move each of measure and outcome, none both: nothing to find, pooled or adjusted."""
    weights = {"learning_rate": (1.0, 0.0), "activation": (0.0, 1.0)}
    return _model(rng, n_configurations, seeds, effect, weights, options)


def hidden_confounder(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = 0.0,
    **options: object,
) -> Simulated:
    """Something that no column shows moves both: the adjusted slope is wrong too, by `Truth.adjusted` - effect."""
    weights = {"learning_rate": (0.7, 0.7), "hidden": (0.7, 0.7)}
    return _model(rng, n_configurations, seeds, effect, weights, options)


def heavy_tails(
    rng: np.random.Generator,
    n_configurations: int = 60,
    seeds: int = 4,
    effect: float = 0.05,
    **options: object,
) -> Simulated:
    """As `observed_confounding`, with Student's t of 3 degrees of freedom for what is not explained."""
    weights = {"learning_rate": (1.0, 1.0), "noise": "t3"}
    return _model(rng, n_configurations, seeds, effect, weights, options)


def few_seeds(
    rng: np.random.Generator,
    n_configurations: int = 12,
    seeds: int = 2,
    effect: float = 0.05,
    **options: object,
) -> Simulated:
    """12 configurations of 2 seeds, confounded by the activation."""
    return _model(rng, n_configurations, seeds, effect, {"activation": (1.0, 1.0)}, options)


MODELS: Mapping[str, Callable[..., Simulated]] = {
    model.__name__: model
    for model in (
        observed_confounding,
        simpson_reversal,
        no_effect,
        hidden_confounder,
        heavy_tails,
        few_seeds,
    )
}


def _model(
    rng: np.random.Generator,
    n_configurations: int,
    seeds: int,
    effect: float,
    own: Mapping[str, object],
    given: Mapping[str, object],
) -> Simulated:
    return simulate(rng, n_configurations, seeds, effect, **{**own, **given})  # type: ignore[arg-type]


def _noise(rng: np.random.Generator, kind: Noise, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Of mean 0 and variance 1."""
    if kind == "t3":
        return rng.standard_t(3, shape) / np.sqrt(3)
    if kind == "lognormal":
        return (rng.lognormal(0, 1, shape) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
    return rng.standard_normal(shape)


def _truth(
    effect: float,
    named: Mapping[str, tuple[float, float]],
    hidden: tuple[float, float],
    own: float,
    sides: tuple[float, float],
) -> Truth:
    def slope(*without: str) -> float:
        left = [pair for name, pair in named.items() if name not in without] + [hidden]
        shared = sum(m * y for m, y in left)
        return effect + shared / (own + sum(m * m for m, _ in left)) / MEASURE_SCALE

    within = {name: slope(name) for name in HYPERPARAMETERS}
    return Truth(effect, slope(), within, slope(*named), *sides)


def _sides(
    effect: float, named: Mapping[str, tuple[float, float]], hidden: tuple[float, float], own: float
) -> tuple[float, float]:
    """`Truth.above` and `Truth.above_adjusted`: the measure is normal given the hyperparameters, its median 0."""
    (rate_m, rate_y), (tanh_m, tanh_y) = named["learning_rate"], named["activation"]
    rate, tanh = np.repeat(_CODES, 2), np.tile([-1.0, 1.0], 4)
    centre, spread = rate_m * rate + tanh_m * tanh, np.sqrt(own + hidden[0] ** 2)
    direct = rate_y * rate + tanh_y * tanh
    slope = effect * MEASURE_SCALE + hidden[0] * hidden[1] / spread**2
    share, density = stats.norm.cdf(centre / spread), stats.norm.pdf(centre / spread)
    up = direct + effect * MEASURE_SCALE * centre + slope * spread * density / share
    down = direct + effect * MEASURE_SCALE * centre - slope * spread * density / (1 - share)
    apart = float(np.average(up, weights=share) - np.average(down, weights=1 - share))
    return apart, float((up - down).mean())
