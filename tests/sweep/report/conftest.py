"""Sweeps in a real store, written by the store's own writer, whose measures follow a known rule.

Rank falls with the learning rate and dead units rise. In the narrow space return follows rank; in the
broad one activation and batch size move rank and leave return alone.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search_spaces.trial import TrialConfig
from sweep.store import Store, SweepStore

STEPS = 10_000
RATES = tuple(float(rate) for rate in np.geomspace(1e-4, 1e-2, 6))


def planned(broad: int = 160, atari: int = 2, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    configs: list[tuple[TrialConfig, list[str]]] = [
        (
            TrialConfig(env="bsuite/catch/0", dataset="catch", seed=s, learning_rate=rate, train_steps=STEPS),
            ["narrow", "broad"] if s == 0 and i < 2 else ["narrow"],
        )
        for i, rate in enumerate(RATES)
        for s in range(4)
    ]
    for _ in range(broad):
        config = TrialConfig(
            env="bsuite/catch/0",
            dataset="catch",
            seed=int(rng.integers(2)),
            learning_rate=RATES[rng.integers(6)],
            activation=("relu", "tanh", "elu")[rng.integers(3)],
            batch_size=(32, 256)[rng.integers(2)],
            target_update_period=(200, 2500)[rng.integers(2)],
            data_fraction=(0.05, 1.0)[rng.integers(2)],
            dropout=(0.0, 0.1)[rng.integers(2)],
            train_steps=STEPS,
        )
        configs.append((config, ["broad"]))
    configs += [
        (
            TrialConfig(
                env="atari/Asterix",
                dataset="asterix",
                seed=0,
                network="nature_dqn",
                learning_rate=(1e-4, 3e-4)[i],
                train_steps=1000,
            ),
            ["atari"],
        )
        for i in range(atari)
    ]
    rows = {}
    for config, spaces in configs:
        trial = config.trial_id("f" * 64)
        rows.setdefault(
            trial,
            {
                "trial_id": trial,
                "spaces": spaces,
                "status": "planned",
                "pack_id": f"p-{config.activation}-{config.batch_size}-{config.dropout:g}-{config.network}",
                **config.model_dump(),
                "scheduler": "fifo",
                "dataset_fingerprint": config.dataset[0] * 64,
            },
        )
    return pd.DataFrame(rows.values())


def simulated(trial: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Rows every 100 steps; rank, dead units every 500; return every 1000."""
    narrow = "narrow" in trial["spaces"]
    rate = np.log10(trial["learning_rate"]) + 4
    width = 512 if trial["network"] == "nature_dqn" else 64
    kind = {"relu": 0.0, "tanh": 14.0, "elu": -9.0}[trial["activation"]]
    batch = 0.0 if trial["batch_size"] == 32 else 8.0
    rank_end = 0.7 * width - 9 * rate + kind + batch + rng.normal(0, 2)
    level = 0.85 - (0.6 * rate if narrow else 0.15 * rate) + rng.normal(0, 0.15)
    steps = np.arange(0, trial["train_steps"] + 1, 100)
    time = steps / trial["train_steps"]
    shape = 1 - 0.7 * np.exp(-9 * time)
    if narrow and rate > 1:
        # The phases of Gulcehre et al.: a fall at the start, a recovery, a fall for good.
        shape = np.interp(time, (0, 0.15, 0.25, 0.45, 0.65, 0.85, 1), (1.2, 0.5, 0.55, 1.8, 1.75, 1, 1))
    rank = np.clip(np.round(rank_end * shape + rng.normal(0, 1, len(steps))), 1, width)
    dead = np.clip(np.round((12 * rate if trial["activation"] == "relu" else 0) * time), 0, width)
    returns = np.clip(-1 + (level + 1) * (1 - np.exp(-4 * time)) + rng.normal(0, 0.05, len(steps)), -1, 1)
    frame = pd.DataFrame(
        {
            "trial_id": trial["trial_id"],
            "step": steps,
            "wall_time": 1.7e9 + steps / 100,
            "loss": np.exp(-3 * time) * rng.lognormal(-2, 0.3, len(steps)),
            "td_error": np.exp(-2 * time),
            "q_mean": time,
            "srank": rank,
            "numerical_rank": rank / 3,
            "dead_units": dead,
            "return_mean": returns,
            "return_std": 0.2,
        }
    )
    frame.loc[frame["step"] % 500 != 0, ["srank", "numerical_rank", "dead_units"]] = np.nan
    frame.loc[frame["step"] % 1000 != 0, ["return_mean", "return_std"]] = np.nan
    return frame


def write_sweep(
    root: Path,
    name: str = "demo",
    *,
    broad: int = 160,
    atari: int = 2,
    packs_done: int | None = None,
    more: bool = False,
) -> SweepStore:
    """``more``: with errors of the values, and returns under shifts of 1 and 2 pixels."""
    trials = planned(broad, atari)
    sweep = Store(root).create(name)
    packs = {str(pack): rows["trial_id"].tolist() for pack, rows in trials.groupby("pack_id")}
    sweep.write_trials(trials)
    sweep.write_plan({"packs": {pack: {"trials": ids} for pack, ids in packs.items()}})
    sweep.write_sweep_record(
        {
            "sweep": name,
            "study": {
                "name": "demo",
                "text": "study: demo\ntitle: Rank & return <narrow, broad>\nspaces: []\n",
            },
            "git": {"commit": "0123abc", "dirty": False},
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
            "scheduler": "fifo",
        }
    )
    for pack, ids in list(packs.items())[:packs_done]:
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        outcome = {}
        for trial_id in ids:
            trial = trials.set_index("trial_id", drop=False).loc[trial_id]
            rows = simulated(trial, np.random.default_rng(int(trial_id, 16)))
            exploded = trial["learning_rate"] > 9e-3 and trial["batch_size"] == 256 and trial["seed"] == 1
            if exploded:
                rows = rows[rows["step"] <= 3000]
            if more:
                rows = rows.assign(value_error=rows["q_mean"] / rows["srank"].ffill())
                kept = rows["return_mean"].dropna().iloc[-1] + 2.0
                writer.append_spectra(
                    {
                        "trial_id": [trial_id],
                        "step": [int(rows["step"].max())],
                        "name": ["robustness_shift_returns"],
                        "values": [[kept, 0.8 * kept, 0.5 * kept]],
                    }
                )
            columns = {c: np.ma.masked_invalid(rows[c]) if rows[c].dtype == float else rows[c] for c in rows}
            writer.append(columns)
            outcome[trial_id] = {
                "status": "diverged" if exploded else "finished",
                "final_step": int(rows["step"].max()),
                **({"diverged_step": 3000} if exploded else {}),
            }
        writer.flush()
        sweep.finish_pack(pack, {"attempt": attempt, "trials": outcome})
    return sweep


@pytest.fixture(scope="session")
def make_sweep() -> Callable[..., SweepStore]:
    return write_sweep


@pytest.fixture(scope="session")
def measured_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller one, in which errors of the values and returns under shifts were measured too."""
    root = tmp_path_factory.mktemp("measured")
    write_sweep(root, broad=24, more=True).compact()
    return root


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the finished sweep ``demo``: 24 narrow trials, 160 broad (2 shared), 2 of Atari."""
    root = tmp_path_factory.mktemp("root")
    write_sweep(root).compact()
    return root


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the finished sweep ``demo``: 24 narrow trials, 12 broad."""
    root = tmp_path_factory.mktemp("small")
    write_sweep(root, broad=12, atari=0)
    return root


@pytest.fixture(scope="session")
def make_runs() -> Callable[[], pd.DataFrame]:
    """A row a run, as another tool would export it."""

    def made() -> pd.DataFrame:
        rng = np.random.default_rng(1)
        rows = [
            {"lr": lr, "width": width, "seed": seed}
            for lr in (1e-4, 3e-4, 1e-3)
            for width in (32, 64, 128)
            for seed in range(4)
        ]
        table = pd.DataFrame(rows)
        table["rank"] = 10 + 3 * np.log10(table["lr"]) + rng.normal(0, 1, len(table))
        table["accuracy"] = 0.5 + 0.02 * table["rank"] + rng.normal(0, 0.02, len(table))
        return table

    return made
