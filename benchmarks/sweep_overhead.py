"""A whole sweep, from the command to a finished store and a complete MLflow, against plain Ray Tune.

    python benchmarks/sweep_overhead.py                      # in full: the peer takes a quarter of an hour
    python benchmarks/sweep_overhead.py --peer-trials 8      # the peer's time extrapolated from 8 trials
    python benchmarks/sweep_overhead.py --only ours --trials 8 --train-steps 1000

Work: `--trials` (64) offline DQN trials of one shape (50-64-64-3, ReLU, batch 32, Adam, Huber loss; learning
rates log-spaced from 1e-5 to 1e-2, by 4 seeds) of `--train-steps` (10,000) on one Catch dataset, which is
collected before any clock starts. On both sides: a row every 100 steps with the mean loss since the last; every
measure of a probe batch of 512 (`--probe-every`, 100 here, where a study's default would be 500); 20 greedy
episodes every 1000. Every number of it in MLflow on SQLite at the end.

Ours: `sweep run`, cold (as on a machine that has never compiled anything: no compile cache, and no precompiled
headers of PyTorch's, which lie in the folder for temporary files) and warm. Peer: `plain_ray_tune.py`, a process
of one core a trial, Tune's defaults, `MLflowLoggerCallback`. Each is a process of its own, clocked from its start
to its exit, and its results are checked afterwards: every trial finished, every number in MLflow, and both
sides learnt alike. Bar: the peer's time is at least 8 times ours; the aim is 12.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from benchmarks.common import emit, judged, machine, show, unmet
from search_spaces import load_study
from sweep.datasets import collect_dataset, collect_spec
from sweep.mirror import embedded_tracking_uri
from sweep.store import Store

BAR, AIM = 8.0, 12.0
SEEDS = (0, 1, 2, 3)
DATASET = "catch-online"
ALIKE = 1.25
COMPARED = ("loss", "q_mean", "srank", "return_mean")
# Nothing leaves the machine, and no Ray that happens to run on it is joined.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1",
}  # fmt: skip

STUDY = """\
study: overhead
title: {trials} trials of one shape
question: How long does a sweep take beside its training?
datasets:
  {dataset}: {{env: bsuite/catch/0, existing: true}}
protocol: {{log_every: {log_every}, probe_every: {probe_every}, eval_every: {eval_every}, eval_episodes: 20}}
spaces:
  - name: all
    base: {{dataset: {dataset}, hidden_sizes: [64, 64], train_steps: {train_steps}}}
    axes:
      learning_rate: {learning_rates}
    seeds: {seeds}
"""


def learning_rates(count: int) -> list[float]:
    return [float(f"{rate:.6g}") for rate in np.geomspace(1e-5, 1e-2, count)]


def run_ours(
    folder: Path, data: Path, given: argparse.Namespace, scratch: Path, cache: Path | None
) -> dict[str, Any]:
    """`sweep run` in a fresh root, on the compiled code in `cache` if given; seconds and what came out.

    `scratch` stands for the machine's folder of temporary files.
    """
    root = folder / "root"
    shutil.copytree(data, root / "datasets" / DATASET)
    if cache is not None:
        shutil.copytree(cache, root / "cache")
    study = folder / "overhead.yaml"
    study.write_text(
        STUDY.format(
            **{name: value for name, value in vars(given).items() if name != "dataset"},
            dataset=DATASET,
            learning_rates=learning_rates(given.trials // 4),
            seeds=list(SEEDS),
        )
    )
    command = [sys.executable, "-c", "from sweep.cli import main; main()", "run", str(study)]
    seconds = clocked(
        [*command, "--root", str(root), "--name", "overhead"], folder / "log", TMPDIR=str(scratch)
    )
    store = Store(root).sweep("overhead")
    trials = store.trials().set_index("trial_id")
    metrics = Store(root).metrics("overhead").sort_values("step", kind="stable")
    final = metrics.groupby("trial_id")[list(COMPARED)].last()
    # The last loss depends on how long ago the target was renewed; the mean over the training is steadier.
    final["loss"] = metrics.groupby("trial_id")["loss"].mean()
    packs = [store.result(pack) for pack in sorted(store.packs_done())]
    points = int(metrics.drop(columns=["trial_id", "step", "attempt", "wall_time"]).notna().sum().sum())
    check(set(trials["status"]) == {"finished"} and len(trials) == given.trials, "ours: trials", folder)
    sent = mlflow_points(embedded_tracking_uri(root), "rankscope.trial_id")
    check(len(sent) == given.trials and sum(sent.values()) == points, "ours: MLflow", folder)
    final["learning_rate"] = trials["learning_rate"]
    return {
        "seconds": seconds,
        "packs_seconds": [round(sum(pack["seconds"].values()), 2) for pack in packs if pack],
        "train_seconds": [pack["seconds"]["train"] for pack in packs if pack],
        "probe_seconds": [pack["seconds"]["probe"] for pack in packs if pack],
        "points": points,
        "final": final,
        "cache": root / "cache",
    }


def run_peer(folder: Path, data: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Plain Ray Tune on `given.peer_trials` trials; seconds, also extrapolated to all, and what came out."""
    count, marks_file = given.peer_trials or given.trials, folder / "marks.json"
    # Spread over the learning rates, each in the middle of its share.
    chosen = ((np.arange(count // 4) + 0.5) * given.trials / count).astype(int)
    rates = [learning_rates(given.trials // 4)[place] for place in chosen]
    shared = {
        "dataset": str(data), "train_steps": given.train_steps, "batch_size": 32, "discount": 0.99,
        "target_update_period": 2500, "log_every": given.log_every, "probe_every": given.probe_every,
        "eval_every": given.eval_every, "eval_episodes": 20,
    }  # fmt: skip
    command = [
        sys.executable,
        str(Path(__file__).with_name("plain_ray_tune.py")),
        "--config",
        json.dumps(shared),
    ]
    command += ["--learning-rates", *map(str, rates), "--seeds", *map(str, SEEDS)]
    began = time.time()
    seconds = clocked([*command, "--folder", str(folder), "--marks", str(marks_file)], folder / "log")
    marks = json.loads(marks_file.read_text())
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    sent, final = mlflow_points(uri, "trial_name"), mlflow_final(uri)
    rows = given.train_steps // given.log_every
    check(marks["errors"] == 0 and len(sent) == count and min(sent.values()) > rows, "peer", folder)
    at_work = marks["end"] - marks["first_start"]
    fixed = seconds - at_work
    return {
        "seconds": seconds,
        "extrapolated": fixed + at_work * given.trials / count,
        "trials": count,
        "before_first_trial": round(marks["first_start"] - began, 2),
        "points": sum(sent.values()),
        "final": final,
    }


def clocked(command: list[str], log: Path, **environment: str) -> float:
    """Wall seconds of a process that must succeed; every process has one core for its arithmetic."""
    environment = {**os.environ, **ENVIRONMENT, **environment}
    start = time.perf_counter()
    with log.open("wb") as out:
        ended = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
    seconds = time.perf_counter() - start
    check(ended.returncode == 0, f"{command[1]} ended with {ended.returncode}", log.parent)
    return seconds


def check(fine: bool, what: str, folder: Path) -> None:
    if not fine:
        tail = (folder / "log").read_text(errors="replace")[-3000:]
        raise SystemExit(f"not comparable: {what}; its log ends:\n{tail}")


def mlflow_points(uri: str, tag: str) -> dict[str, int]:
    """Metric points of every finished run that has `tag`."""
    import sqlite3

    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        rows = database.execute(
            "select r.run_uuid, (select count(*) from metrics m where m.run_uuid = r.run_uuid) from runs r "
            "join tags t on t.run_uuid = r.run_uuid and t.key = ? where r.status = 'FINISHED'",
            (tag,),
        ).fetchall()
    return {run: int(count) for run, count in rows}


def mlflow_final(uri: str) -> pd.DataFrame:
    """Of each of the peer's runs the mean loss, the last value of the other measures, and its learning rate."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name("plain")
    rows = []
    for run in client.search_runs([found.experiment_id], max_results=10_000):
        row = {measure: run.data.metrics[measure] for measure in COMPARED}
        row["loss"] = statistics.mean(m.value for m in client.get_metric_history(run.info.run_id, "loss"))
        rows.append({**row, "learning_rate": float(run.data.params["learning_rate"])})
    return pd.DataFrame(rows)


def compare(ours: pd.DataFrame, peer: pd.DataFrame) -> dict[str, Any]:
    """Both sides' measures by learning rate, means over seeds: not the same work, and the ratio means nothing."""
    left, right = (frame.groupby("learning_rate").mean() for frame in (ours, peer))
    left = left.loc[[rate for rate in left.index if np.isclose(right.index, rate).any()]]
    right.index = left.index
    figures: dict[str, Any] = {"learning_rates": len(left)}
    for measure in COMPARED:
        figures[f"{measure}_ours"] = [round(float(value), 4) for value in left[measure]]
        figures[f"{measure}_peer"] = [round(float(value), 4) for value in right[measure]]
    ratio = float((left["loss"] / right["loss"]).median())
    return {**figures, "mean_loss_ratio": round(ratio, 3), "met": 1 / ALIKE <= ratio <= ALIKE}


def make_dataset(folder: Path, given: argparse.Namespace) -> Path:
    """The Catch dataset of the study `demo`, or a copy of what is there already."""
    if given.dataset:
        return Path(given.dataset).resolve()
    collect_dataset(folder, DATASET, collect_spec(load_study("demo").datasets[DATASET]))
    return folder / "datasets" / DATASET


def measure(given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    results, data = [], make_dataset(folder / "data", given)

    def fresh(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def record(name: str, **figures: Any) -> None:
        results.append(emit("sweep_overhead", name, trials=given.trials, steps=given.train_steps, **figures))

    peer = run_peer(fresh("peer"), data, given) if given.only != "ours" else None
    if peer is not None:
        about = {key: peer[key] for key in ("before_first_trial", "points")}
        record("peer, measured", seconds=round(peer["seconds"], 1), peer_trials=peer["trials"], **about)
        if peer["trials"] != given.trials:
            record("peer, EXTRAPOLATED", seconds=round(peer["extrapolated"], 1), from_trials=peer["trials"])
    if given.only == "peer":
        return results
    # Ray's sockets lie in it, and the system allows them 107 characters.
    with tempfile.TemporaryDirectory(prefix="so-") as short:
        scratch = Path(short)
        cold = run_ours(fresh("cold"), data, given, scratch, None)
        warm = [
            run_ours(fresh(f"warm-{turn}"), data, given, scratch, cold["cache"])
            for turn in range(given.repeats)
        ]
    for name, runs in (("ours, cold", [cold]), ("ours, warm", warm)):
        seconds = statistics.median(run["seconds"] for run in runs)
        figures = {key: runs[0][key] for key in ("packs_seconds", "train_seconds", "probe_seconds", "points")}
        # What is left when the longest pack's work is taken away: starting, joining, waiting for MLflow.
        figures["outside_packs"] = round(seconds - max(runs[0]["packs_seconds"]), 1)
        if peer is not None:
            figures |= judged(peer["extrapolated"] / seconds, BAR, "higher") | {"aim": AIM}
            figures["extrapolated"] = peer["trials"] != given.trials
        record(name, seconds=round(seconds, 2), **figures)
    if peer is not None:
        record("measures by learning rate", **compare(warm[0]["final"], peer["final"]))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=64, help="a multiple of 4 (default: %(default)s)")
    parser.add_argument("--train-steps", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--peer-trials", type=int, help="fewer, a multiple of 4; the rest is extrapolated")
    parser.add_argument("--log-every", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--probe-every", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--eval-every", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="warm runs (default: %(default)s)")
    parser.add_argument("--only", choices=("ours", "peer"), help="one side, without a ratio")
    parser.add_argument("--dataset", help="folder of a Catch dataset (default: collect the demo's)")
    parser.add_argument("--dir", type=Path, help="where to work (default: a temporary folder)")
    given = parser.parse_args()
    machine()  # its load, before there is ours
    if given.trials % 4 or (given.peer_trials or 4) % 4 or (given.peer_trials or 0) > given.trials:
        parser.error("--trials and --peer-trials must be multiples of 4, and the peer's not the larger")
    with tempfile.TemporaryDirectory(prefix="sweep-overhead-", dir=given.dir) as name:
        results = measure(given, Path(name))
    show("A sweep from command to complete MLflow, against plain Ray Tune", results)
    return int(unmet(results))


if __name__ == "__main__":
    sys.exit(main())
