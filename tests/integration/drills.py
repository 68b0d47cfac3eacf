"""What the drills share: a tiny study, the command line in processes that can be killed, stores compared by bits.

Every process that a test starts, directly or through Ray, carries a mark in its environment: that is how those
that must go away are found, and no others are ever touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import yaml

from sweep.store import Store, SweepStore, files
from sweep.store.places import is_local

MARK = "RANKSCOPE_DRILL"
PATIENCE = 240.0
"""Seconds that anything may take on a machine with other things to do."""

STUDY: dict[str, Any] = {
    "study": "tiny",
    "title": "A tiny study",
    "question": "Does the same store come out, whatever is done to the sweep?",
    "datasets": {
        "catch-tiny": {
            "env": "bsuite/catch/0",
            "collect": {"agent": "dqn", "steps": 3000, "num_envs": 16, "learning_starts": 500},
        }
    },
    "protocol": {
        "log_every": 50,
        "probe_every": 100,
        "eval_every": 200,
        "eval_episodes": 4,
        "checkpoint_every_steps": 200,
        "probe_batch_size": 64,
    },
    "base": {"dataset": "catch-tiny", "hidden_sizes": [16], "train_steps": 1600, "dropout": 0.1},
    "spaces": [
        {"name": "narrow", "axes": {"learning_rate": [1e-4, 1e-3, 1e-2]}, "seeds": 1},
        {
            "name": "broad",
            "axes": {"learning_rate": [1e-4, 1e-3, 1e-2], "activation": ["relu", "tanh"]},
            "seeds": 1,
        },
    ],
}
"""Six trials, three of them in both spaces, in two packs of three."""


@dataclass
class Finished:
    """A command that has ended: its exit code and all that it printed."""

    code: int
    output: str
    seconds: float

    def ok(self) -> Finished:
        assert self.code == 0, f"exit code {self.code} after {self.seconds:.0f} s:\n{self.output}"
        return self


class Command:
    """`sweep …` under way, in a session of its own, as a shell would have started it."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log, self.began = log, time.monotonic()
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("sweep"), *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Where the tests run in the background of a shell, Ctrl-C is ignored, and that is inherited.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, happened: Callable[[], object], what: str) -> None:
        """Wait until `happened` while the command runs; fails if it ends before, or takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert self.running, f"the command ended before {what}:\n{self.output}"
            assert time.monotonic() < deadline, f"not yet after {PATIENCE:.0f} s: {what}\n{self.output}"
            time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9` of this one process."""
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole group of processes."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self) -> Finished:
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {PATIENCE:.0f} s:\n{self.output}") from None
        return Finished(code, self.output, time.monotonic() - self.began)


@dataclass
class Drill:
    """A root with a study file, and the commands given on it. `address` is a Ray cluster to run on, if any."""

    root: Path
    environment: dict[str, str]
    study: dict[str, Any] = field(default_factory=lambda: STUDY)
    address: str | None = None
    name: str = "tiny"
    study_file: Path | None = None
    commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        if is_local(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        self.study_file = self.study_file or self.root.with_suffix(".yaml")
        self.write_study(self.study)

    @property
    def store(self) -> SweepStore:
        return Store(self.root).sweep(self.name)

    def write_study(self, study: dict[str, Any]) -> None:
        self.study = study
        assert self.study_file is not None
        self.study_file.write_text(yaml.safe_dump(study, sort_keys=False))

    def sweep(self, *arguments: str, **environment: str) -> Finished:
        """Give a command and wait for its end."""
        return self.start(*arguments, **environment).wait()

    def start(self, *arguments: str, **environment: str) -> Command:
        """Give a command."""
        assert self.study_file is not None
        log = self.study_file.with_name(f"{self.root.name}-{len(self.commands)}.log")
        command = Command([*arguments, "--root", str(self.root)], {**self.environment, **environment}, log)
        self.commands.append(command)
        return command

    def run(self, *options: str) -> Finished:
        """`sweep run` to its end."""
        return self.start_run(*options).wait()

    def start_run(
        self, *options: str, mlflow: bool = False, eager: bool = True, **environment: str
    ) -> Command:
        """`sweep run` on two cores, without MLflow unless it is asked for."""
        return self.start(
            "run",
            str(self.study_file),
            *(["--address", self.address] if self.address else ["--workers", "2"]),
            *(["--eager"] if eager else []),
            *([] if mlflow else ["--no-mlflow"]),
            *options,
            **environment,
        )

    def packs(self) -> list[str]:
        """The planned packs, none before there is a plan."""
        if self.name not in Store(self.root).sweeps():
            return []
        return [pack for plan in self.store.plans() for pack in plan["packs"]]

    def checkpointed(self, step: int) -> list[str]:
        """Packs that have a checkpoint at `step` or later."""
        folder = self.root / "checkpoints" / self.name
        return [
            pack
            for pack in self.packs()
            if any(int(Path(name).stem.split("-")[1]) >= step for name in files.list_names(folder / pack))
        ]

    def attempts(self) -> dict[str, int]:
        """How often each pack was started."""
        return {pack: len(self.store.attempts(pack)) for pack in self.packs()}


def marked(environment: Mapping[str, str]) -> list[psutil.Process]:
    """The living processes that were started, directly or not, with this environment's mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == environment[MARK]:
                found.append(process)
    return found


def gone(environment: Mapping[str, str], seconds: float = 60.0) -> list[str]:
    """Wait until no marked process is left; returns those that still are."""
    deadline = time.monotonic() + seconds
    while (left := marked(environment)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"{process.pid} {' '.join(_command_line(process))[:120]}" for process in left]


def end_marked(environment: Mapping[str, str]) -> None:
    """Kill what is left of a test."""
    for _ in range(5):
        left = marked(environment)
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["?"]


def copy_datasets(source: Path, root: Path) -> None:
    """The datasets of another root, so that they need not be collected again."""
    if is_local(root):
        shutil.copytree(source / "datasets", root / "datasets")
        return
    for path in sorted((source / "datasets").rglob("*")):
        if path.is_file():
            (root / "datasets" / path.relative_to(source / "datasets").as_posix()).write_bytes(
                path.read_bytes()
            )


# Comparing stores ----------------------------------------------------------------------------------------


def metrics(root: Path, name: str = "tiny", trials: set[str] | None = None) -> pd.DataFrame:
    """All rows without what differs between any two runs: the clock, and which attempt wrote them."""
    rows = Store(root).metrics(name).drop(columns=["wall_time", "attempt"])
    return _of(rows, trials).sort_values(["trial_id", "step"]).reset_index(drop=True)


def spectra(root: Path, name: str = "tiny", trials: set[str] | None = None) -> pd.DataFrame:
    rows = Store(root).spectra(name).drop(columns=["attempt"])
    return _of(rows, trials).sort_values(["trial_id", "step", "name"]).reset_index(drop=True)


def outcomes(root: Path, name: str = "tiny", trials: set[str] | None = None) -> pd.DataFrame:
    columns = ["trial_id", "status", "final_step", "diverged_step", "learning_rate", "activation"]
    rows = _of(Store(root).trials(name), trials)[columns]
    return rows.sort_values("trial_id").reset_index(drop=True)


def assert_same_store(
    root: Path, expected: Path, *, name: str = "tiny", trials: set[str] | None = None
) -> None:
    """The same rows once each, every learning measure equal bit for bit, the same vectors, the same outcomes.

    `trials` limits the comparison to some; then other trials do not count.
    """
    found, wanted = metrics(root, name, trials), metrics(expected, "tiny", trials)
    assert not found.duplicated(["trial_id", "step"]).any(), "a row is there twice"
    keys = ["trial_id", "step"]
    lost = pd.concat([wanted[keys], found[keys], found[keys]]).drop_duplicates(keep=False)
    extra = pd.concat([found[keys], wanted[keys], wanted[keys]]).drop_duplicates(keep=False)
    assert lost.empty, f"{len(lost)} rows are lost, the first: {lost.head(3).to_dict('records')}"
    assert extra.empty, f"{len(extra)} rows are too many, the first: {extra.head(3).to_dict('records')}"
    assert list(found.columns) == list(wanted.columns)
    for column in wanted.columns:
        differ = ~_same_bits(found[column], wanted[column])
        assert not differ.any(), (
            f"{column} differs in {differ.sum()} of {len(differ)} rows, the first: "
            f"{found[differ].iloc[0][[*keys, column]].to_dict()}, expected {wanted[differ].iloc[0][column]}"
        )
    vectors, wanted_vectors = spectra(root, name, trials), spectra(expected, "tiny", trials)
    keys = ["trial_id", "step", "name"]
    pd.testing.assert_frame_equal(vectors[keys], wanted_vectors[keys])
    for mine, theirs in zip(vectors["values"], wanted_vectors["values"], strict=True):
        assert np.asarray(mine, np.float32).tobytes() == np.asarray(theirs, np.float32).tobytes()
    pd.testing.assert_frame_equal(outcomes(root, name, trials), outcomes(expected, "tiny", trials))


def _of(rows: pd.DataFrame, trials: set[str] | None) -> pd.DataFrame:
    return rows if trials is None else rows[rows["trial_id"].isin(trials)]


def _same_bits(found: pd.Series[Any], wanted: pd.Series[Any]) -> np.ndarray:
    if found.dtype.kind != "f":
        equal: np.ndarray = (found == wanted).to_numpy()
        return equal
    assert found.dtype == wanted.dtype == np.float64
    bits: np.ndarray = found.to_numpy().view(np.int64) == wanted.to_numpy().view(np.int64)
    return bits


def contiguous(rows: pd.DataFrame, log_every: int) -> bool:
    """Whether every trial has a row at 0, log_every, 2 log_every, … without a gap."""
    steps = rows.sort_values("step").groupby("trial_id")["step"]
    return all(list(one) == [log_every * i for i in range(len(one))] for _, one in steps)


# MLflow's database, by plain SQL -----------------------------------------------------------------------------


def mlflow_runs(database: Path) -> pd.DataFrame:
    """The runs of trials that are not deleted: run, trial and status."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return pd.read_sql_query(
            "SELECT run_uuid AS run, value AS trial_id, status FROM tags JOIN runs USING (run_uuid) "
            "WHERE key = 'rankscope.trial_id' AND lifecycle_stage = 'active'",
            connection,
        )


def mlflow_points(database: Path) -> pd.DataFrame:
    """Every point of every series of every trial, in one order, clock aside."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return pd.read_sql_query(
            "SELECT tags.value AS trial_id, metrics.key AS key, step, metrics.value AS value, is_nan "
            "FROM metrics JOIN tags USING (run_uuid) WHERE tags.key = 'rankscope.trial_id' "
            "ORDER BY 1, 2, 3, 4",
            connection,
        )


def assert_mlflow_complete(database: Path, expected: Path) -> None:
    """One finished run a trial, and exactly the points of the undisturbed sweep's MLflow."""
    runs = mlflow_runs(database)
    assert sorted(runs["trial_id"]) == sorted(mlflow_runs(expected)["trial_id"]), "not one run a trial"
    assert set(runs["status"]) == {"FINISHED"}
    pd.testing.assert_frame_equal(mlflow_points(database), mlflow_points(expected))
