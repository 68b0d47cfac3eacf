#!/usr/bin/env python3
"""The mirror's rate against its peer: a plain loop of `MlflowClient.log_batch` with 1000 metrics a call.

    python benchmarks/mirror_rate.py [--trials 16 --steps 100000] [--backends sqlite http] [--repeats 3]

Both put the same rows into the same MLflow, turn by turn: straight into an SQLite file, and through an
`mlflow server` on one. The peer's rows are Python lists before its clock starts; it makes a run a trial with
the trial's params in the first call (`--bare`: without any), sends, and ends the run. The mirror's clock has
everything that `sweep sync` does: opening the store, reading Parquet, params, tags and the parent run,
thinning, finding out what MLflow has. Metrics a second, the median of the repeats; the bar is 0.9 x the peer.
The ratio of processor time, the server's included, is given too: on a busy machine it is the steadier number.
Each result is a JSON line, and a table closes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
import psutil

from benchmarks.common import emit, judged, median_ratio, show, unmet
from sweep.mirror import embedded_tracking_uri, sync
from sweep.mirror.describe import trial_params
from sweep.mirror.tracking import client_settings, connect
from sweep.store import MEASURES, Store
from sweep.ui import MlflowServer, choose_port

BAR = 0.9
DENSE = ("loss", "td_error", "q_mean", "grad_norm")
PROBED = ("srank", "numerical_rank", "dead_units", "dormant_units", "feature_norm", "feature_dot_product")
Rows = dict[str, list[tuple[str, float, int, int]]]


def build_store(root: Path, trials: int, steps: int, log_every: int) -> Rows:
    """A finished sweep as a pack leaves it; trial -> (key, value, timestamp, step) of every metric."""
    store = Store(root).create("bench")
    ids = [f"{number:016x}" for number in range(trials)]
    store.write_sweep_record({"created": 1.76e9, "title": "benchmark", "study_text": "study: bench\n"})
    store.write_plan({"packs": {"pack": {"trials": ids}}})
    store.write_trials(
        pd.DataFrame(
            {
                "trial_id": ids, "spaces": [["broad"]] * trials, "status": "planned", "pack_id": "pack",
                "env": "bsuite/catch/0", "seed": range(trials), "algorithm": "dqn", "learning_rate": 1e-3,
                "batch_size": 32, "hidden_sizes": [[64, 64]] * trials, "train_steps": steps,
            }
        )
    )  # fmt: skip
    writer = store.segment_writer("pack", store.start_attempt("pack", {"resume_step": -1}), -1)
    random, at = np.random.default_rng(0), np.arange(0, steps + 1, log_every)
    rows: Rows = {}
    frames = []
    for trial_id in ids:
        frame: dict[str, object] = {
            "trial_id": [trial_id] * len(at),
            "step": at,
            "wall_time": 1.76e9 + at * 0.01,
        }
        points = rows.setdefault(trial_id, [])
        for key in MEASURES:
            every = 1 if key in DENSE else 5 if key in PROBED else 10
            walk = random.normal(size=len(at)).cumsum()
            measured = np.arange(len(at)) % every == 0
            frame[key] = [float(v) if m else None for v, m in zip(walk, measured, strict=True)]
            points += [
                (key, float(walk[i]), round((1.76e9 + int(at[i]) * 0.01) * 1000), int(at[i]))
                for i in np.flatnonzero(measured)
            ]
        points.sort(key=lambda point: point[3])
        frames.append(pd.DataFrame(frame))
    whole = pd.concat(frames).sort_values("step", kind="stable")
    for first in range(0, len(whole), 8192):
        part = whole.iloc[first : first + 8192]
        columns = {name: list(part[name]) for name in part.columns}
        for key in MEASURES:
            columns[key] = [None if value != value else value for value in columns[key]]
        writer.append(columns)
        writer.flush()
    results = {trial_id: {"status": "finished", "final_step": steps} for trial_id in ids}
    store.finish_pack("pack", {"attempt": 0, "trials": results})
    return rows


def peer(uri: str, rows: Rows, name: str, params: dict[str, str]) -> None:
    """The plain way."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri)
    experiment = client.create_experiment(name)
    for trial_id, points in rows.items():
        run = client.create_run(experiment, run_name=trial_id).info.run_id
        for first in range(0, len(points), 1000):
            batch = [
                Metric(key, value, stamp, step) for key, value, stamp, step in points[first : first + 1000]
            ]
            once = [Param(key, value) for key, value in params.items()] if first == 0 else []
            client.log_batch(run, metrics=batch, params=once)
        client.set_terminated(run)


def mirror(uri: str, root: Path, expected: int) -> None:
    """`sweep sync` of a sweep that MLflow has never seen."""
    # Without its mirror folder the store is a new one to MLflow.
    shutil.rmtree(root / "store" / "bench" / "mirror", ignore_errors=True)
    summary = sync(root, "bench", uri)
    if summary.metrics_sent != expected:
        raise SystemExit(f"the mirror sent {summary.metrics_sent} metrics and the peer {expected}")


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the wall, and of processor time in this process and its children."""
    wall, processor = time.perf_counter(), _processor_seconds()
    work()
    return time.perf_counter() - wall, _processor_seconds() - processor


def _processor_seconds() -> float:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family)


@contextmanager
def backend(kind: str, folder: Path) -> Iterator[str]:
    """A fresh MLflow; yields its tracking URI."""
    uri = embedded_tracking_uri(folder)
    with client_settings():
        connect(uri)
    if kind == "sqlite":
        yield uri
        return
    port = choose_port("127.0.0.1", 0, 0, "--port")
    with MlflowServer(uri, artifacts=folder / "artifacts", log=folder / "log", port=port) as server:
        yield server.url


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--steps", type=int, default=100_000, help="gradient steps of a trial")
    options.add_argument("--log-every", type=int, default=100)
    options.add_argument("--backends", nargs="+", choices=("sqlite", "http"), default=["sqlite", "http"])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--bare", action="store_true", help="the peer logs no params")
    given = options.parse_args()

    results = []
    with tempfile.TemporaryDirectory(prefix="mirror-rate-") as name, client_settings():
        root = Path(name)
        rows = build_store(root, given.trials, given.steps, given.log_every)
        trial = Store(root).trials("bench").iloc[0].to_dict()
        params = {} if given.bare else trial_params(trial)
        count = sum(len(points) for points in rows.values())
        for kind in given.backends:
            folder = root / kind
            folder.mkdir()
            peers, mirrors = [], []
            with backend(kind, folder) as uri:
                peer(uri, {"warm": next(iter(rows.values()))[:2000]}, "warm", params)
                for turn in range(given.repeats):
                    peers.append(timed(partial(peer, uri, rows, f"peer-{turn}", params)))
                    mirrors.append(timed(partial(mirror, uri, root, count)))
            wall, processor = (median_ratio([p[i] for p in peers], [m[i] for m in mirrors]) for i in (0, 1))
            results.append(
                emit(
                    "mirror_rate",
                    kind,
                    trials=given.trials,
                    metrics=count,
                    peer_per_s=round(count / statistics.median(wall for wall, _ in peers)),
                    mirror_per_s=round(count / statistics.median(wall for wall, _ in mirrors)),
                    processor_ratio=round(processor, 3),
                    bare_peer=given.bare,
                    repeats=given.repeats,
                    **judged(wall, BAR, "higher"),
                )
            )
    show("MLflow mirror against a plain log_batch(1000) loop, metrics a second", results)
    return 1 if unmet(results) else 0


if __name__ == "__main__":
    sys.exit(main())
