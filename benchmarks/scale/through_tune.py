"""Thousands of trials through the real Tune: what the machinery costs when the learner only sleeps.

    python benchmarks/scale/through_tune.py                      # 1,000 trials, 2 to 3 minutes
    python benchmarks/scale/through_tune.py --trials 10000       # in full, a quarter of an hour

`run_study` with everything real but the learner: the checks, the plan, the store, Tune, a process a pack, the
progress that a display reads, compaction, the table of trials; MLflow is off. In a pack's process
`stub_learner.py` sleeps `--seconds` for each member and writes `--rows` rows of it. Reported: the driver's
processor time and memory, those of Ray's controller (GCS), Tune's overhead a pack (wall time in training without
the sleep, by the number of workers), and the time from the last row to a finished store.

Peer: plain Ray Tune on `--peer-trials` of the same configurations, a Tune trial each, the same sleep and rows,
two turns of different size so that what it costs to begin is told from what a trial costs; extrapolated to all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil

from benchmarks.common import emit, judged, show, unmet
from benchmarks.scale.stub_learner import SECONDS
from benchmarks.scale.studies import large_study, make_dataset

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BAR = 5.0
"""The peer's overhead a trial over ours: a pack has 32 of them."""


class Marks:
    """The terminal's display, as lines, that remembers when things happened."""

    def __init__(self) -> None:
        from rich.console import Console

        from sweep.cli.display import TerminalDisplay

        self._display = TerminalDisplay(Console(file=sys.stderr, force_terminal=False, width=200))
        self.at: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    def mark(self, what: str) -> None:
        self.at[what], self.processor[what] = time.time(), time.process_time()
        self.memory[what] = psutil.Process().memory_info().rss

    def say(self, text: str) -> None:
        self._display.say(text)

    @contextlib.contextmanager
    def collecting(self, root: Path, names: Sequence[str]) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def following(self, store: Any) -> Iterator[None]:
        self.mark("training")
        with self._display.following(store):
            yield
        self.mark("trained")


class Watch(threading.Thread):
    """The most memory that this process and Ray's controller hold."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver = self.gcs = 0
        self.gcs_processor = 0.0
        self.ended = threading.Event()
        self._here = psutil.Process()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            with contextlib.suppress(psutil.Error, OSError):
                self.driver = max(self.driver, self._here.memory_info().rss)
                for child in self._here.children(recursive=True):
                    if child.name() == "gcs_server":
                        self.gcs = max(self.gcs, child.memory_info().rss)
                        times = child.cpu_times()
                        self.gcs_processor = times.user + times.system


def run_ours(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`run_study` in this process; seconds, processor seconds and bytes."""
    root = folder / "root"
    make_dataset(root)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    from sweep.run import RunOptions, run_study
    from sweep.settings import quiet_environment
    from sweep.store import Store

    environment = {**quiet_environment(), "PYTHONPATH": str(REPOSITORY), SECONDS: str(given.seconds)}
    os.environ.update(quiet_environment())
    ray.init(
        address="local",
        num_cpus=given.workers,
        include_dashboard=False,
        object_store_memory=128 * 2**20,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env={
            "env_vars": environment,
            "worker_process_setup_hook": "benchmarks.scale.stub_learner.install",
        },
    )
    marks, watch = Marks(), Watch()
    before = psutil.Process().memory_info().rss
    watch.start()
    marks.mark("began")
    study = large_study(given.trials, given.rows)
    given.trials = len(study.trials())
    summary = run_study(study, "scale", root, RunOptions(mirror=False, workers=given.workers), marks)
    marks.mark("ended")
    watch.ended.set()
    watch.join()
    ray.shutdown()
    store = Store(root)
    rows = store.metrics("scale", ["trial_id", "wall_time"])
    packs = len(store.sweep("scale").packs_done())
    at, processor = marks.at, marks.processor
    if not summary.complete or len(rows) != given.trials * given.rows:
        raise SystemExit(f"not all was done: {summary.trials}, {len(rows):,} rows, {summary.failures}")
    wall = at["trained"] - at["training"]
    asleep = given.trials * given.seconds / given.workers
    return {
        "packs": packs,
        "plan_seconds": at["training"] - at["began"],
        "training_seconds": wall,
        "overhead_a_pack": (wall - asleep) * given.workers / packs,
        "overhead_a_trial": (wall - asleep) * given.workers / given.trials,
        "driver_seconds_a_pack": (processor["trained"] - processor["training"]) / packs,
        "driver_seconds_a_trial": (processor["ended"] - processor["began"]) / given.trials,
        "driver_bytes_a_trial": (marks.memory["trained"] - before) / given.trials,
        "driver_bytes_trained": marks.memory["trained"],
        "driver_bytes_most": watch.driver,
        "gcs_seconds_a_pack": watch.gcs_processor / packs,
        "gcs_bytes": watch.gcs,
        "last_row_to_store": at["ended"] - float(rows["wall_time"].max()),
    }


def run_peer(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Plain Tune twice; what each further trial costs."""
    turns = {}
    for trials in (given.peer_trials // 4, given.peer_trials):
        marks = folder / f"marks-{trials}.json"
        command = [sys.executable, str(Path(__file__).with_name("plain_tune.py"))]
        command += ["--trials", str(trials), "--seconds", str(given.seconds), "--rows", str(given.rows)]
        command += ["--workers", str(given.workers), "--marks", str(marks)]
        with (folder / f"peer-{trials}.log").open("wb") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
        turns[trials] = json.loads(marks.read_text())
        if turns[trials]["errors"]:
            raise SystemExit(f"the peer failed; see {log.name}")
    (few, first), (many, second) = turns.items()
    each = (second["wall"] - first["wall"]) / (many - few)
    return {
        "trials": many,
        "seconds_a_trial": each,
        "overhead_a_trial": each * given.workers - given.seconds,
        "driver_seconds_a_trial": (second["driver"] - first["driver"]) / (many - few),
        "extrapolated_seconds": first["wall"] + each * (given.trials - few),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.02, help="sleep for each trial")
    parser.add_argument("--rows", type=int, default=20, help="rows of each trial")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-trials", type=int, default=48, help="0: without the peer")
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True) as name:
        peer = run_peer(given, Path(name)) if given.peer_trials else None
        ours = run_ours(given, Path(name))
        results.append(emit("scale", f"{given.trials:,} trials, ours", **ours))
        if peer is not None:
            results.append(emit("scale", "plain Tune, extrapolated", **peer))
            ratio = peer["overhead_a_trial"] / ours["overhead_a_trial"]
            results.append(emit("scale", "overhead a trial", **judged(ratio, BAR, "higher")))
    show("Thousands of trials through Tune", results)
    sys.exit(unmet(results))


if __name__ == "__main__":
    main()
