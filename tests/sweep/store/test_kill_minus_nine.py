"""Real processes, really killed, at moments nobody chose."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from sweep.store import Store

TRAIN = """
import json, os, sys
from sweep.store import Store
root, last = sys.argv[1], 600
sweep = Store(root).create("demo")
checkpoint = os.path.join(root, "checkpoint.json")
resume = json.load(open(checkpoint))["step"] if os.path.exists(checkpoint) else -1
attempt = sweep.start_attempt("p0", {"resume_step": resume})
writer = sweep.segment_writer("p0", attempt, resume)
for step in range(resume + 1, last):
    writer.append({"trial_id": ["a", "b"], "step": [step, step], "loss": [step * 0.5, -step]})
    writer.append_spectra([{"trial_id": "a", "step": step, "name": "singular_values", "values": [step, 1]}])
    if step % 3 == 2:
        writer.flush()
    if step % 9 == 8:
        with open(checkpoint + ".new", "w") as file:
            json.dump({"step": step}, file)
        os.replace(checkpoint + ".new", checkpoint)
        print(step, flush=True)
writer.flush()
ends = {"status": "finished", "final_step": last - 1}
sweep.finish_pack("p0", {"attempt": attempt, "trials": {"a": ends, "b": ends}})
"""

COMPACT = """
import sys
from sweep.store import Store
Store(sys.argv[1]).sweep("demo").compact(grace_seconds=0, rows_per_part=1)
"""


def run(script: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_again_and_again_leaves_every_row_once(tmp_path: Path) -> None:
    store, moments = Store(tmp_path), random.Random(5)
    kills = 0
    while True:
        process = run(TRAIN, tmp_path)
        assert process.stdout
        process.stdout.readline()  # it trains
        deadline = time.monotonic() + moments.uniform(0.0, 0.25)
        while process.poll() is None and (time.monotonic() < deadline or kills >= 4):
            seen = store.metrics("demo", ["trial_id", "step", "loss"])
            assert not seen.duplicated(["trial_id", "step"]).any()
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        committed = json.loads((tmp_path / "checkpoint.json").read_text())["step"]
        seen = store.metrics("demo", ["trial_id", "step"])
        for trial in ("a", "b"):
            steps = seen["step"][seen["trial_id"] == trial].tolist()
            assert steps == list(range(len(steps))), "no hole and no row twice"
            assert len(steps) > committed, "what a checkpoint stands for is in the store"
    assert kills >= 1
    assert len(store.sweep("demo").attempts("p0")) == kills + 1
    found = store.metrics("demo")
    assert found["trial_id"].tolist() == ["a"] * 600 + ["b"] * 600
    assert found["step"].tolist() == [*range(600), *range(600)]
    assert found["loss"].tolist() == [step * 0.5 for step in range(600)] + [
        -float(step) for step in range(600)
    ]
    spectra = store.spectra("demo")
    assert [values[0] for values in spectra["values"]] == [float(step) for step in range(600)]
    assert store.sweep("demo").compact(grace_seconds=0).rows == 1200
    again = store.metrics("demo")
    assert again.equals(found)


def test_a_compactor_killed_again_and_again_leaves_every_row_once(tmp_path: Path) -> None:
    store, moments = Store(tmp_path), random.Random(6)
    sweep = store.create("demo")
    packs = [f"p{number:02}" for number in range(24)]
    for pack in packs:
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        for start in range(0, 100, 50):
            steps = list(range(start, start + 50))
            writer.append({"trial_id": [pack] * 50, "step": steps, "loss": [float(step) for step in steps]})
            writer.flush()
        sweep.finish_pack(pack, {"attempt": attempt, "trials": {pack: {"status": "finished"}}})
    before = store.metrics("demo")
    kills = 0
    while True:
        process = run(COMPACT, tmp_path)
        # From the first file on, so that the kills fall into the work and not into the imports.
        while process.poll() is None and not list(sweep.layout.parts("metrics").glob(".part*")):
            time.sleep(0.001)
        if kills < 5:
            time.sleep(moments.uniform(0, 0.03))
            process.kill()
            kills += 1
        process.communicate()
        assert store.metrics("demo").equals(before)
        if list(sweep.layout.parts("metrics").glob("*.parquet")):
            glob = f"{sweep.layout.parts('metrics')}/*.parquet"
            plain = duckdb.sql(f"select count(*), count(distinct (trial_id, step)) from '{glob}'").fetchall()
            assert plain[0][0] == plain[0][1]
        if process.returncode == 0:
            break
    assert kills == 5
    assert not list(sweep.layout.hot_root("metrics").iterdir())
    assert plain == [(2400, 2400)]
