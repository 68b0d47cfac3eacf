"""Machines are taken away from a sweep one after another: what is lost, what is done twice, what is doubled.

    python benchmarks/chaos.py                      # 20 kills on a shared folder, a few minutes
    python benchmarks/chaos.py --store bucket       # the store behind a real S3 interface (moto's server)
    python benchmarks/chaos.py --kills 50 --nodes 5 --seed 7 --record chaos.json

A head without work and `--nodes` (3) worker nodes of one processor, real Ray processes each, train twelve trials
in three packs with the real `sweep run --address`. Again and again a node whose pack has got on since its last
checkpoint is ended by SIGKILL with everything on it, and a new node joins. The peer, run first, is the same sweep
undisturbed. Afterwards the two stores are compared row by row and bit by bit; every row is expected once.

Bars: no row lost, none twice, none different; no pack given up; by a kill at most one checkpoint's interval of
steps is done twice. What the kills cost in time is reported as a ratio to the undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from cluster_drills import CHECKPOINT_EVERY, LONGER_STUDY, Record, preempt
from drills import MARK, Drill, assert_same_store, copy_datasets, end_marked, metrics
from nodes import several_nodes
from object_store import ObjectStore

from benchmarks.common import emit, judged, machine, show, unmet
from sweep.store.places import root_place


def main() -> int:
    """Run the drill, print its figures, and write its record."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="rk-", dir="/tmp") as folder, _bucket(arguments) as bucket:
        environment = _environment(Path(folder), bucket)
        os.environ.update({} if bucket is None else bucket.env)
        try:
            peer = Drill(Path(folder) / "peer", environment, LONGER_STUDY)
            began = time.monotonic()
            with several_nodes(environment, arguments.nodes) as nodes:
                peer.address = nodes.address
                peer.run().ok()
            undisturbed = time.monotonic() - began
            root = Path(folder) / "root" if bucket is None else root_place(bucket.fresh_root())
            copy_datasets(peer.root, root)
            drill = Drill(root, environment, LONGER_STUDY, study_file=Path(folder) / "study.yaml")
            began = time.monotonic()
            with several_nodes(environment, arguments.nodes) as nodes:
                drill.address = nodes.address
                rng = random.Random(arguments.seed)
                record = preempt(
                    drill,
                    drill.start_run(),
                    nodes,
                    arguments.kills,
                    rng,
                    lambda text: print(text, flush=True),
                )
            disturbed = time.monotonic() - began
            result = _judge(drill, peer, record, arguments, disturbed, undisturbed)
        finally:
            end_marked(environment)
    if arguments.record:
        arguments.record.write_text(json.dumps(result["record"], indent=1) + "\n")
    show("Chaos: machines are taken away", result["rows"])
    return int(unmet(result["rows"]))


def _judge(
    drill: Drill,
    peer: Drill,
    record: Record,
    arguments: argparse.Namespace,
    disturbed: float,
    undisturbed: float,
) -> dict[str, Any]:
    found, expected = metrics(drill.root), metrics(peer.root)
    keys = ["trial_id", "step"]
    doubled = int(found.duplicated(keys).sum())
    lost = len(
        expected.merge(found[keys], how="left", indicator=True, on=keys).query("_merge == 'left_only'")
    )
    different = 0
    try:
        assert_same_store(drill.root, peer.root)
    except AssertionError as error:
        different = 1
        print(error)
    attempts = drill.attempts()
    told = {
        "store": arguments.store,
        "nodes": arguments.nodes,
        "kills": len(record.deaths),
        "resumed packs": record.resumed_packs,
        "attempts": sum(attempts.values()),
        "rows expected": len(expected),
        "rows found": len(found),
        "duplicates": doubled,
        "rows lost": lost,
        "stores differ": bool(different),
        "packs given up": len(drill.store.failures()),
        "checkpoint interval": CHECKPOINT_EVERY,
        "most steps done twice by a kill": record.most_wasted,
        "mean steps done twice by a kill": round(
            sum(death.wasted_steps for death in record.deaths) / max(len(record.deaths), 1), 1
        ),
        "seconds": round(disturbed, 1),
        "seconds undisturbed": round(undisturbed, 1),
        "machine": machine(),
    }
    rows = [
        emit("chaos", "rows lost, doubled or different", **judged(lost + doubled + different, 0, "lower"),
             expected=len(expected), found=len(found)),
        emit("chaos", "packs given up", **judged(told["packs given up"], 0, "lower"), kills=told["kills"],
             resumed=told["resumed packs"]),
        emit("chaos", "most steps done twice by a kill, in checkpoint intervals",
             **judged(record.most_wasted / CHECKPOINT_EVERY, 1.0, "lower"),
             mean=told["mean steps done twice by a kill"] / CHECKPOINT_EVERY),
        emit("chaos", "time, to the undisturbed run's", ratio=round(disturbed / undisturbed, 2),
             seconds=told["seconds"], undisturbed=told["seconds undisturbed"],
             per_kill=round((disturbed - undisturbed) / max(len(record.deaths), 1), 1)),
    ]  # fmt: skip
    return {"record": told, "rows": rows}


@contextlib.contextmanager
def _bucket(arguments: argparse.Namespace) -> Iterator[ObjectStore | None]:
    if arguments.store == "folder":
        yield None
        return
    with ObjectStore() as store:
        yield store


def _environment(folder: Path, bucket: ObjectStore | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return {
        **kept,
        **({} if bucket is None else bucket.env),
        MARK: uuid.uuid4().hex,
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "COLUMNS": "400",
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="nodes to take away [20]")
    parser.add_argument("--nodes", type=int, default=3, help="worker nodes at a time [3]")
    parser.add_argument("--store", choices=("folder", "bucket"), default="folder")
    parser.add_argument("--seed", type=int, default=1, help="of which node is taken, and when [1]")
    parser.add_argument("--record", type=Path, help="write the counts to this JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
