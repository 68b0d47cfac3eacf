"""A finished sweep of any size, generated: a factorial and a narrow space, written through the store's own writer.

2,000 configurations of 5 seeds at `scale` 1: a full factorial of seven switches, by seven learning rates and two
environments, which is `broad`, and 104 learning rates drawn at random with all switches off, which are `narrow`.
Every trial has a row each 100 gradient steps with its loss; every 7th row has what a probe measures, every 10th what
an evaluation does, so that last values lie in different rows. The final srank follows the learning rate and the
switches, the return follows the learning rate, some switches and a share of the rank.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from search_spaces.trial import TrialConfig
from sweep.store import Store, SweepStore

NAME = "large"
LOGGED_EVERY = 100  # gradient steps
PROBED_EVERY, EVALUATED_EVERY = 7, 10  # rows
TRIALS_A_PACK = 64
STEPS_A_SEGMENT = 128
ENVIRONMENTS = ("bsuite/catch/0", "bsuite/cartpole/0")
SEEDS = 5
SWITCHES: dict[str, tuple[Any, Any]] = {
    "activation": ("relu", "tanh"),
    "layer_norm": (False, True),
    "dropout": (0.0, 0.1),
    "weight_decay": (0.0, 1e-4),
    "curl_weight": (0.0, 1e-3),
    "sam_weight": (0.0, 1.0),
    "dr3_weight": (0.0, 1e-2),
}
RANK_EFFECTS = (6.0, 2.0, -1.0, 0.0, 1.5, 0.5, -2.0)
RETURN_EFFECTS = (0.10, 0.05, 0.0, 0.0, 0.02, -0.03, 0.0)
RATES = tuple(float(rate) for rate in np.logspace(-4.5, -2.5, 7).round(6))
PROBES = (
    *("srank", "numerical_rank", "dead_units", "dormant_units", "feature_norm", "feature_dot_product"),
    *("grad_norm", "param_norm", "td_error", "q_mean", "q_max", "sparsity", "action_share", "init_distance"),
)
EVALUATIONS = ("return_mean", "return_std", "episode_length", "return_normalized", "value_gap")


@dataclass(frozen=True)
class Trial:
    """A trial as planned, its spaces, and where its curves end."""

    trial_id: str
    config: TrialConfig
    spaces: tuple[str, ...]
    rank: float
    returned: float


def generate(store: Store, rows_a_trial: int = 1000, scale: float = 1.0, seed: int = 0) -> SweepStore:
    """Plan, write, finish and compact the sweep; `scale` is the share of the 2,000 configurations."""
    sweep = store.create(NAME)
    random = np.random.default_rng(seed)
    trials = planned(rows_a_trial * LOGGED_EVERY, scale, random)
    packs = {
        f"p{start // TRIALS_A_PACK:05}": trials[start : start + TRIALS_A_PACK]
        for start in range(0, len(trials), TRIALS_A_PACK)
    }
    sweep.write_plan({"packs": {pack: {"trials": [t.trial_id for t in its]} for pack, its in packs.items()}})
    sweep.write_trials(_table(packs))
    for pack, its in packs.items():
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        for segment in _segments(its, rows_a_trial, random):
            writer.append(segment)
            writer.flush()
        outcomes = {
            # One in a hundred diverges, as late as can be: every trial has all its rows.
            trial.trial_id: {"status": "diverged" if number % 100 == 7 else "finished"}
            for number, trial in enumerate(its)
        }
        sweep.finish_pack(pack, {"attempt": attempt, "trials": outcomes})
    sweep.compact(grace_seconds=0)
    return sweep


def planned(train_steps: int, scale: float, random: np.random.Generator) -> list[Trial]:
    """The trials, five in turn of one configuration."""
    rates = RATES[: max(1, round(scale * len(RATES)))]
    around = 10 ** random.uniform(-4, -3, max(8, round(scale * 104)))
    designs = [
        (switches, rate, ("broad",)) for switches in itertools.product((0, 1), repeat=7) for rate in rates
    ]
    designs += [((0,) * 7, float(rate), ("narrow",)) for rate in around]
    trials = []
    for (switches, rate, spaces), env in itertools.product(designs, ENVIRONMENTS):
        levels = {name: values[on] for (name, values), on in zip(SWITCHES.items(), switches, strict=True)}
        off = np.log10(rate) + 3.5
        own = random.normal()  # what the configuration has and no column tells
        for number in range(SEEDS):
            config = TrialConfig(
                env=env,
                dataset=env.split("/")[1],
                seed=number,
                learning_rate=rate,
                train_steps=train_steps,
                **levels,
            )
            rank = 30 - 8 * off + np.dot(switches, RANK_EFFECTS) + 3 * own + random.normal(0, 2)
            returned = (
                0.5 - 0.2 * off**2 + np.dot(switches, RETURN_EFFECTS) + 0.004 * rank + random.normal(0, 0.1)
            )
            identity = config.trial_id("0" * 64)
            trials.append(Trial(identity, config, spaces, float(max(1.0, rank)), float(returned)))
    return trials


def _table(packs: dict[str, list[Trial]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **trial.config.model_dump(),
                "trial_id": trial.trial_id,
                "spaces": list(trial.spaces),
                "status": "planned",
                "pack_id": pack,
                "scheduler": "fifo",
                "dataset_fingerprint": "0" * 64,
            }
            for pack, trials in packs.items()
            for trial in trials
        ]
    )


def _segments(
    trials: Sequence[Trial], rows_a_trial: int, random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """The columns of each segment: trials side by side, step by step, as a pack logs them."""
    names = [trial.trial_id for trial in trials]
    rank = np.array([trial.rank for trial in trials])
    returned = np.array([trial.returned for trial in trials])
    scales = {name: random.lognormal(size=len(trials)) for name in (*PROBES, *EVALUATIONS)}
    for start in range(0, rows_a_trial, STEPS_A_SEGMENT):
        count = np.arange(start + 1, min(rows_a_trial, start + STEPS_A_SEGMENT) + 1)
        shape = (len(count), len(names))
        done = (count / rows_a_trial)[:, None]
        row = np.repeat(count, len(names))
        columns: dict[str, Any] = {
            "trial_id": names * len(count),
            "step": row * LOGGED_EVERY,
            "wall_time": 1.8e9 + row * 0.4,
            "loss": _single(np.exp(-3 * done) + random.exponential(0.1, shape)),
        }
        for every, group in ((PROBED_EVERY, PROBES), (EVALUATED_EVERY, EVALUATIONS)):
            absent = row % every != 0
            for name in group:
                values = scales[name] * random.normal(1, 0.1, shape)
                if name == "srank":
                    values = np.round(rank + 10 * np.exp(-5 * done) + random.normal(0, 0.4, shape))
                elif name == "return_mean":
                    values = returned * (1 - np.exp(-4 * done)) + random.normal(0, 0.02, shape)
                columns[name] = np.ma.masked_array(_single(values), mask=absent)
        yield columns


def _single(values: np.ndarray) -> np.ndarray:
    """Networks measure in float32."""
    return values.astype(np.float32).astype(np.float64).ravel()
