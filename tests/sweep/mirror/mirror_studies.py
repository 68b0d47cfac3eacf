"""Real stores, written by the real writer, and what MLflow's database then has, by plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.mirror import embedded_tracking_uri
from sweep.store import Store

START = 1_763_000_000.123


@dataclass
class Study:
    """A sweep in a store, whose packs commit rows when told to: random walks for learning curves."""

    root: Path
    name: str = "demo"
    packs: int = 2
    members: int = 3
    train_steps: int = 1000
    log_every: int = 100
    dense: tuple[str, ...] = ("loss", "td_error")
    trials: pd.DataFrame = field(init=False)
    _at: dict[str, int] = field(default_factory=dict)
    _writers: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.root).create(self.name)
        self.store.write_sweep_record(
            {
                "created": START - 60,
                "title": "Rank and return",
                "study_text": "study: demo\ntitle: Rank and return\n",
                "git": {"commit": "0123456789abcdef", "dirty": False},
                "versions": {"torch": "2.13.0"},
            }
        )
        ids = {p: [f"{p:04x}{m:012x}" for m in range(self.members)] for p in range(self.packs)}
        self.store.write_plan({"packs": {f"pack-{p}": {"trials": of} for p, of in ids.items()}})
        self.trials = pd.DataFrame(
            [
                {
                    "trial_id": trial_id,
                    "spaces": ["narrow", "broad"] if m == 0 else ["broad"],
                    "status": "planned",
                    "pack_id": f"pack-{p}",
                    "env": "bsuite/catch/0",
                    "seed": m,
                    "algorithm": "dqn",
                    "hidden_sizes": [64, 64],
                    "activation": ("relu", "tanh")[p % 2],
                    "learning_rate": 0.0001 * (p + 1),
                    "batch_size": 32,
                    "reward_clip": None,
                    "train_steps": self.train_steps,
                    "scheduler": "fifo",
                    "dataset_fingerprint": "f" * 16,
                }
                for p, of in ids.items()
                for m, trial_id in enumerate(of)
            ]
        )
        self.store.write_trials(self.trials)

    @property
    def root_uri(self) -> str:
        return embedded_tracking_uri(self.root)

    @property
    def names(self) -> list[str]:
        return [f"pack-{p}" for p in range(self.packs)]

    def rows(self, pack: str, first: int, last: int) -> pd.DataFrame:
        """Rows of a pack with first < step <= last; equal for equal steps, whenever they are asked for."""
        frames = []
        for trial_id in self.trials.trial_id[self.trials.pack_id == pack]:
            random = np.random.default_rng(int(trial_id, 16))
            steps = np.arange(0, self.train_steps + 1, self.log_every)
            frame = pd.DataFrame({"trial_id": trial_id, "step": steps, "wall_time": START + steps * 0.0131})
            for key in self.dense:
                frame[key] = random.normal(size=len(steps)).cumsum()
            frame["srank"] = np.where(
                steps % (5 * self.log_every) == 0, random.normal(size=len(steps)), np.nan
            )
            frame["return_mean"] = np.where(steps == self.train_steps, 1.5, np.nan)
            frames.append(frame)
        rows = pd.concat(frames)
        return rows[(rows.step > first) & (rows.step <= last)].sort_values(["step", "trial_id"])

    def commit(self, pack: str, last: int, *, attempt: bool = False, resume: int = -1, **override) -> None:
        """Commit the rows up to step `last` as one segment; a new attempt goes on from step `resume`."""
        if attempt or pack not in self._writers:
            number = self.store.start_attempt(pack, {"resume_step": resume})
            self._writers[pack] = self.store.segment_writer(pack, number, resume)
            self._at[pack] = resume
        rows = self.rows(pack, self._at[pack], last)
        if attempt:
            rows["wall_time"] += 1000.0
        columns = {name: list(rows[name]) for name in ("trial_id", "step", "wall_time", *self.dense)}
        for name in ("srank", "return_mean"):
            columns[name] = [None if np.isnan(value) else value for value in rows[name]]
        for name, change in override.items():
            columns[name] = change(rows)
        self._writers[pack].append(columns)
        self._writers[pack].flush()
        self._at[pack] = last

    def finish(self, pack: str, **outcome: dict) -> None:
        of = self.trials.trial_id[self.trials.pack_id == pack]
        results = {
            t: {"status": "finished", "final_step": self.train_steps, **outcome.get(t, {})} for t in of
        }
        attempt = self.store.next_attempt(pack) - 1
        self.store.finish_pack(pack, {"attempt": attempt, "trials": results})

    def run_all(self, segments: int = 3) -> Study:
        """Commit every pack to its end in some segments, and finish it."""
        for pack in self.names:
            for last in np.linspace(0, self.train_steps, segments + 1).astype(int)[1:]:
                self.commit(pack, int(last))
            self.finish(pack)
        return self


def truth(study: Study) -> dict[tuple[str, str], list[tuple[int, int, float | None]]]:
    """(trial, measure) -> [(step, milliseconds, value)] straight from the store; value None for NaN."""
    table, _ = study.store.table()
    found: dict[tuple[str, str], list[tuple[int, int, float | None]]] = {}
    for row in table.to_pylist():
        for key, value in row.items():
            if key in ("trial_id", "step", "attempt", "wall_time") or value is None:
                continue
            point = (row["step"], round(row["wall_time"] * 1000), stored(value))
            found.setdefault((row["trial_id"], key), []).append(point)
    return found


def stored(value: float) -> float | None:
    """A value as MLflow's database keeps it."""
    if value != value:
        return None
    return float(np.clip(value, -np.finfo(float).max, np.finfo(float).max))


@dataclass
class Mlflow:
    """What is in an MLflow database, an SQLite file or what answers SQL with `?` for values, by plain SQL."""

    path: Path | Callable[..., list[tuple[Any, ...]]]

    def query(self, sql: str, *values: object) -> list[tuple]:
        if not isinstance(self.path, Path):
            return self.path(sql, *values)
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20) as connection:
            return connection.execute(sql, values).fetchall()

    def trial_runs(self, name: str = "demo") -> dict[str, list[str]]:
        """trial id -> its active runs."""
        found: dict[str, list[str]] = {}
        for run, trial in self.query(
            "select r.run_uuid, t.value from runs r join tags t on t.run_uuid = r.run_uuid and"
            " t.key = 'rankscope.trial_id' join tags s on s.run_uuid = r.run_uuid and"
            " s.key = 'rankscope.sweep'"
            " where r.lifecycle_stage = 'active' and s.value = ?",
            name,
        ):
            found.setdefault(trial, []).append(run)
        return found

    def points(self, name: str = "demo") -> dict[tuple[str, str], list[tuple[int, int, float | None]]]:
        """As `truth`, from MLflow's table of metrics."""
        trial_of = {run: trial for trial, runs in self.trial_runs(name).items() for run in runs}
        found: dict[tuple[str, str], list[tuple[int, int, float | None]]] = {}
        for run, key, step, time, value, is_nan in self.query(
            "select run_uuid, key, step, timestamp, value, is_nan from metrics order by step, timestamp"
        ):
            if run in trial_of:
                point = (step, time, None if is_nan else value)
                found.setdefault((trial_of[run], key), []).append(point)
        return found

    def tags(self, run: str) -> dict[str, str]:
        return dict(self.query("select key, value from tags where run_uuid = ?", run))

    def params(self, run: str) -> dict[str, str]:
        return dict(self.query("select key, value from params where run_uuid = ?", run))

    def assert_complete(self, study: Study) -> None:
        """Every trial has exactly one run, and every series all its points, each once."""
        runs = self.trial_runs(study.name)
        expected = set(study.trials.trial_id)
        assert runs.keys() == expected, f"missing {expected - runs.keys()}, unknown {runs.keys() - expected}"
        several = {trial: of for trial, of in runs.items() if len(of) > 1}
        assert not several, f"more than one run of {several}"
        assert self.points(study.name) == truth(study)
