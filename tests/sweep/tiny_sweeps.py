"""Studies that train in seconds, and what is needed to run their packs without Ray."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from agents.environments import describe
from search_spaces import Study
from sweep.datasets import find_datasets, fingerprints
from sweep.pack_loop import train_pack
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.store import Store, SweepStore

DATASET = "random-catch"
RECIPE = {"env": "bsuite/catch/0", "collect": {"agent": "random", "steps": 400, "num_envs": 4}}
TIMES = ["attempt", "wall_time"]


def study(*spaces: dict[str, Any], **changes: Any) -> Study:
    """A study on Catch: two learning rates, 60 steps, unless told otherwise."""
    content: dict[str, Any] = {
        "study": "tiny",
        "title": "Two members",
        "question": "Does it run?",
        "datasets": {DATASET: RECIPE},
        "base": {"dataset": DATASET, "train_steps": 60, "hidden_sizes": [16, 8]},
        "protocol": {
            "log_every": 10,
            "probe_every": 20,
            "eval_every": 30,
            "eval_episodes": 3,
            "probe_batch_size": 64,
            "checkpoint_every_steps": 20,
            "checkpoint_every_seconds": 3600.0,
        },
        "spaces": list(spaces) or [{"name": "rates", "axes": {"learning_rate": {"values": [1e-3, 1e-2]}}}],
    }
    return Study.model_validate({**content, **changes})


def cpu(workers: int = 1, **changes: Any) -> Resources:
    return Resources(**{"workers": workers, "memory_bytes": 1e9, "compile": False, **changes})


def planned(
    root: Path, of: Study, resources: Resources | None = None, scheduler: str = "fifo"
) -> list[PackSpec]:
    """The packs of a study whose datasets are under the root."""
    prints = fingerprints(of, find_datasets(root, of))
    trials = [(trial.config.trial_id(prints[trial.config.dataset]), trial) for trial in of.trials()]
    return plan_packs(trials, prints, describe, resources or cpu(), scheduler)  # type: ignore[arg-type]


def begin(root: Path, of: Study, name: str = "tiny") -> tuple[SweepStore, list[PackSpec]]:
    """A planned sweep, as `sweep run` leaves it before the first pack starts."""
    store, packs = Store(root).create(name), planned(root, of)
    spaces = {trial.config: list(trial.spaces) for trial in of.trials()}
    store.write_plan({"packs": {pack.pack_id: pack.model_dump(mode="json") for pack in packs}})
    rows = [
        {
            **member.config.model_dump(),
            "trial_id": member.trial_id,
            "sweep": name,
            "spaces": spaces[member.config],
            "status": "planned",
            "pack_id": pack.pack_id,
            "scheduler": pack.scheduler,
            "dataset_fingerprint": pack.dataset_fingerprint,
        }
        for pack in packs
        for member in pack.members
    ]
    store.write_trials(pd.DataFrame(rows))
    store.write_sweep_record({"study": of.name, "scheduler": "fifo", "spaces": [s.name for s in of.spaces]})
    return store, packs


def root_with(dataset_root: Path, root: Path) -> Path:
    """A root of its own with the session's dataset."""
    shutil.copytree(dataset_root / "datasets", root / "datasets")
    return root


def train_all(root: Path, of: Study, name: str = "tiny") -> SweepStore:
    store, packs = begin(root, of, name)
    for pack in packs:
        train_pack(pack, store, root, "cpu")
    return store


def rows(store: SweepStore) -> pd.DataFrame:
    """All metric rows without what differs from run to run, columns that are null everywhere left out."""
    frame = Store(store.layout.root).metrics(store.name).drop(columns=TIMES)
    return frame.dropna(axis="columns", how="all").reset_index(drop=True)


def finish(store: SweepStore, pack: PackSpec, seconds: dict[str, float], **about: object) -> None:
    """Record a pack as trained in `seconds`, without training it."""
    attempt = store.start_attempt(pack.pack_id, {"resume_step": -1})
    ended = {trial: {"status": "finished", "final_step": 60} for trial in pack.trials}
    result = {"attempt": attempt, "trials": ended, "seconds": seconds, "device": "cpu", "compiled": True}
    store.finish_pack(pack.pack_id, {**result, **about})
