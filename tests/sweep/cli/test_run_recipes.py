"""The real `sweep run` makes what its study has recipes for, once, on a real Ray."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import command
from tiny_sweeps import DATASET, study

from agents.data import Dataset
from sweep.store import Store


@pytest.mark.slow
def test_run_links_and_cuts_what_is_missing_and_goes_on_without_the_server(
    dataset_root: Path, tmp_path: Path
) -> None:
    log = tmp_path / "http.log"
    server = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with log.open("w") as out:
        served = subprocess.Popen(server, cwd=dataset_root / "datasets", stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 30
        while " port " not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        port = log.read_text().split(" port ")[1].split(" ")[0]
        datasets = {
            "part": {
                "env": "bsuite/catch/0",
                "subset": {"of": "far", "returns": [0.0, 1.0], "fraction": 0.5},
            },
            "far": {"env": "bsuite/catch/0", "url": f"http://127.0.0.1:{port}/{DATASET}"},
        }
        spaces = [{"name": name, "base": {"dataset": name}} for name in datasets]
        base = {"train_steps": 60, "hidden_sizes": [8]}
        (tmp_path / "study.yaml").write_text(study(*spaces, datasets=datasets, base=base).text)
        run = ("run", tmp_path / "study.yaml", "--root", tmp_path / "root", "--eager", "--no-mlflow")
        ran = command(*run, "--workers", 2, SWEEP_CACHE=str(tmp_path / "cache"))
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "dataset far is to be fetched from http://127.0.0.1:" in ran.stdout
        assert "dataset part is to be cut out of far: returns 0 to 1, fraction 0.5" in ran.stdout
    finally:
        served.kill()
        served.wait()
    asked = [line for line in log.read_text().splitlines() if "GET" in line and "frames.npy" in line]
    # The server knows no ranges, which takes one request to find out; then the file itself, once for the node.
    assert len(asked) == 2
    assert set(Store(tmp_path / "root").trials("tiny")["status"]) == {"finished"}
    original = Dataset.open(dataset_root / "datasets" / DATASET)
    assert Dataset.open(tmp_path / "root" / "datasets" / "part").manifest.provenance["subset"][
        "fingerprint"
    ] == (original.fingerprint)
    again = command(*run, "--workers", 2, SWEEP_CACHE=str(tmp_path / "cache"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 packs trained" in again.stdout
