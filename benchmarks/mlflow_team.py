#!/usr/bin/env python3
"""MLflow for a team: how fast a sweep is mirrored into a server on PostgreSQL while packs train beside it.

    python benchmarks/mlflow_team.py                             # 500 runs x 20 metrics x 200 points: minutes
    python benchmarks/mlflow_team.py --runs 20 --points 50       # a look
    python benchmarks/mlflow_team.py --packs 0                   # nothing trains meanwhile

The server is that of `sweep ui --backend postgresql://... --artifacts s3://...` with accounts, on a PostgreSQL and an
S3 interface (moto) of its own. A study of `--packs` packs trains in as many processes all the while, and is
mirrored into the same server. The peer is that server's own limit: `MlflowClient.log_batch` of 1000 metrics that
lie ready in memory, into runs that are there already, over as many connections as the mirror has, before and after
the mirror and under the same conditions; over one connection it is reported beside. The mirror's clock has
everything that `sweep sync` does. The bar is 0.9 x the peer. In the end SQL counts what is in the database. Needs
PostgreSQL (apt-get install postgresql).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
import yaml
from services import Postgres, postgres, s3

from benchmarks.common import emit, judged, show, unmet
from sweep.mirror import sync
from sweep.mirror.session import REQUESTS_AT_ONCE
from sweep.mirror.tracking import client_settings
from sweep.serving import Access, Backend
from sweep.store import MEASURES, Store
from sweep.ui import MlflowServer, choose_port

BAR = 0.9
BATCH = 1000
ACCOUNT = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a password for the benchmark",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for the benchmark",
    "MLFLOW_TRACKING_USERNAME": "admin",
    "MLFLOW_TRACKING_PASSWORD": "a password for the benchmark",
}
SHAPES = [(size, name) for size in (16, 24, 32, 48) for name in ("relu", "tanh")]


def build_store(root: Path, runs: int, metrics: int, points: int, members: int = 25) -> None:
    """A finished sweep, as packs of `members` trials leave it: `metrics` measures in each of `points` rows."""
    keys, random = list(MEASURES)[:metrics], np.random.default_rng(0)
    store = Store(root).create("bench")
    ids = [f"{number:016x}" for number in range(runs)]
    packs = {
        f"pack-{at // members:03d}": {"trials": ids[at : at + members]} for at in range(0, runs, members)
    }
    store.write_sweep_record({"created": 1.76e9, "title": "benchmark", "study_text": "study: bench\n"})
    store.write_plan({"packs": packs})
    store.write_trials(
        pd.DataFrame(
            {
                "trial_id": ids, "spaces": [["broad"]] * runs, "status": "planned",
                "pack_id": [pack for pack, of in packs.items() for _ in of["trials"]],
                "env": "bsuite/catch/0", "seed": range(runs), "algorithm": "dqn", "learning_rate": 1e-3,
                "batch_size": 32, "hidden_sizes": [[64, 64]] * runs, "train_steps": 100 * (points - 1),
            }
        )
    )  # fmt: skip
    for pack, of in packs.items():
        attempt = store.start_attempt(pack, {"resume_step": -1})
        writer = store.segment_writer(pack, attempt, -1)
        steps = np.repeat(np.arange(points) * 100, len(of["trials"]))
        columns: dict[str, list[object]] = {
            "trial_id": of["trials"] * points,
            "step": steps.tolist(),
            "wall_time": (1.76e9 + steps * 0.01).tolist(),
        }
        for key in keys:
            columns[key] = random.normal(size=len(steps)).tolist()
        writer.append(columns)
        writer.flush()
        ended = {trial: {"status": "finished", "final_step": 100 * (points - 1)} for trial in of["trials"]}
        store.finish_pack(pack, {"attempt": attempt, "trials": ended})


def peer(url: str, batches: int, name: str, connections: int = REQUESTS_AT_ONCE) -> float:
    """Metrics a second of the plain way; a run is of one connection."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client, random = MlflowClient(url), np.random.default_rng(1)
    experiment = client.create_experiment(name)
    keys = list(MEASURES)[:20]
    ready: dict[str, list[list[Metric]]] = {}
    for number in range(batches):
        # Four batches a run, as 20 metrics x 200 points are.
        if number % 4 == 0:
            run = client.create_run(experiment).info.run_id
            ready[run] = []
        steps = [50 * (number % 4) + i // 20 for i in range(BATCH)]
        values = random.normal(size=BATCH).tolist()
        batch = [
            Metric(keys[i % 20], value, 1_760_000_000_000 + step, step)
            for i, (step, value) in enumerate(zip(steps, values, strict=True))
        ]
        ready[run].append(batch)

    def log(run: str) -> None:
        for batch in ready[run]:
            client.log_batch(run, metrics=batch)

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(log, ready))
    return batches * BATCH / (time.perf_counter() - began)


@contextmanager
def training(root: Path, packs: int, url: str) -> Iterator[Path]:
    """`sweep run` of a study whose packs train until the block ends, all at a time."""
    root.mkdir()
    study = root.with_suffix(".yaml")
    study.write_text(
        yaml.safe_dump(
            {
                "study": "train",
                "title": "Packs that train meanwhile",
                "question": "How fast is the mirror beside training?",
                "datasets": {
                    "catch": {
                        "env": "bsuite/catch/0",
                        "collect": {"agent": "dqn", "steps": 3000, "num_envs": 16, "learning_starts": 500},
                    }
                },
                "protocol": {"log_every": 500, "probe_every": 5000, "eval_every": 100_000},
                "base": {"dataset": "catch", "train_steps": 100_000_000},
                "spaces": [
                    {
                        "name": f"size-{size}-{activation}",
                        "base": {"hidden_sizes": [size], "activation": activation},
                        "axes": {"learning_rate": [1e-4, 1e-3]},
                        "seeds": 1,
                    }
                    for size, activation in SHAPES[:packs]
                ],
            }
        )
    )
    command = [
        *(Path(sys.executable).with_name("sweep"), "run", study, "--root", root, "--name", "train"),
        *("--workers", str(packs), "--eager", "--mlflow-uri", url),
    ]
    environment = {**os.environ, "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1"}
    log = root.with_suffix(".log")
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        while len(steps_of(root)) < 2 * packs:
            if process.poll() is not None:
                raise SystemExit(f"the training ended:\n{log.read_text()[-3000:]}")
            time.sleep(1.0)
        yield root
        if process.poll() is not None:
            raise SystemExit(f"the training ended:\n{log.read_text()[-3000:]}")
    finally:
        if process.poll() is None:
            # As Ctrl-C does it: packs write a checkpoint, and the mirror sends what is left.
            os.kill(process.pid, signal.SIGINT)
        try:
            process.wait(300)
        except subprocess.TimeoutExpired:
            # What was measured is worth more than how this ended.
            os.killpg(process.pid, signal.SIGKILL)
            print(f"the training did not end within 300 s:\n{log.read_text()[-3000:]}", file=sys.stderr)


def steps_of(root: Path) -> dict[str, int]:
    """The newest committed step of every trial that trains."""
    try:
        rows = Store(root).metrics("train", columns=["trial_id", "step"])
    except Exception:  # it is being made
        return {}
    return dict(rows.groupby("trial_id")["step"].max())


class Steps:
    """Gradient steps a second of what trains."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._before, self._at = self._now(), time.perf_counter()

    def rate(self) -> float:
        """Since the last call, or the beginning."""
        before, at = self._before, self._at
        self._before, self._at = self._now(), time.perf_counter()
        return (self._before - before) / (self._at - at)

    def _now(self) -> int:
        return sum(steps_of(self._root).values()) if self._root else 0


def counts(database: Postgres) -> dict[str, int]:
    """What the database has of the mirrored sweep."""
    of = (
        "join tags t on t.run_uuid = r.run_uuid and t.key = 'rankscope.trial_id' join tags s on s.run_uuid = "
        "r.run_uuid and s.key = 'rankscope.sweep' and s.value = 'bench'"
    )
    [(runs, trials)] = database.sql(f"select count(*), count(distinct t.value) from runs r {of}")
    [(points, distinct)] = database.sql(
        f"select count(*), count(distinct (m.run_uuid, m.key, m.step)) from metrics m join runs r "
        f"on r.run_uuid = m.run_uuid {of}"
    )
    return {"runs": runs, "trials": trials, "points": points, "twice": points - distinct}


def bytes_a_point(database: Postgres) -> float:
    """What a row of the table of metrics takes on the disk, its keys included."""
    [(size, rows)] = database.sql("select pg_total_relation_size('metrics'), count(*) from metrics")
    return float(size) / float(rows)


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=500)
    options.add_argument("--metrics", type=int, default=20)
    options.add_argument("--points", type=int, default=200)
    options.add_argument("--packs", type=int, default=8, help="packs that train meanwhile, 0 to 8")
    options.add_argument("--peer-batches", type=int, default=100, help="requests of the peer, each time")
    given = options.parse_args()

    os.environ.update(ACCOUNT)
    expected = given.runs * given.metrics * given.points
    with tempfile.TemporaryDirectory(prefix="mlflow-team-") as name, postgres() as database, s3() as bucket:
        os.environ.update(bucket)
        folder = Path(name)
        build_store(folder / "root", given.runs, given.metrics, given.points)
        server = MlflowServer(
            Backend.of_url(database.url_with_password),
            artifacts="s3://sweeps/mlflow",
            log=folder / "server.log",
            port=choose_port("127.0.0.1", 0, 0, "--port"),
            workers=min(4, os.cpu_count() or 1),
            access=Access.of("127.0.0.1", auth=True),
        )
        with server, client_settings():
            peer(server.url, 4, "warm")
            beside = training(folder / "train", given.packs, server.url) if given.packs else _nothing()
            with beside as trained:
                steps = Steps(trained)
                time.sleep(20 if given.packs else 0)
                alone = steps.rate() if given.packs else 0.0
                before = peer(server.url, given.peer_batches, "before")
                one_after_the_other = peer(server.url, given.peer_batches // 2, "one connection", 1)
                steps.rate()
                began = time.perf_counter()
                summary = sync(folder / "root", "bench", server.url)
                rate = summary.metrics_sent / (time.perf_counter() - began)
                beside_it = steps.rate()
                after = peer(server.url, given.peer_batches, "after")
        found = counts(database)
        size = bytes_a_point(database)
    if found != {"runs": given.runs, "trials": given.runs, "points": expected, "twice": 0}:
        raise SystemExit(f"the database has {found}, expected {given.runs} runs and {expected} points")
    result = emit(
        "mlflow_team",
        f"{given.runs} runs x {given.metrics} x {given.points}, {given.packs} packs training",
        **found,
        peer_before_per_s=round(before),
        peer_after_per_s=round(after),
        one_connection_per_s=round(one_after_the_other),
        mirror_per_s=round(rate),
        bytes_a_point=round(size),
        mirror_s=round(summary.metrics_sent / rate, 1),
        training_alone_steps_per_s=round(alone),
        training_beside_the_mirror_steps_per_s=round(beside_it),
        **judged(rate / ((before + after) / 2), BAR, "higher"),
    )
    show("The mirror into MLflow on PostgreSQL against the server's own log_batch(1000)", [result])
    return 1 if unmet([result]) else 0


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


if __name__ == "__main__":
    sys.exit(main())
