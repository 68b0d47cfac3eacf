"""What a sweep keeps about how it came to be."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from tiny_sweeps import cpu, study

from agents.data.provenance import COMMIT_FILE, git_state
from search_spaces import load_study
from sweep.provenance import sweep_record


def test_the_record_has_the_studys_full_text_and_versions() -> None:
    demo = load_study("demo")
    record = sweep_record(demo, {"d": {"fingerprint": "f"}}, cpu(2), "fifo", None)
    assert record["study_text"] == demo.text
    assert "# The main path, small" in record["study_text"], "comments too"
    assert record["datasets"] == {"d": {"fingerprint": "f"}}
    assert record["scheduler"] == "fifo"
    assert record["spaces"] == ["narrow", "broad", "atari"]
    for package in ("torch", "ray", "mlflow", "numpy", "pyarrow", "rankscope"):
        assert record["versions"][package] == metadata.version(package)
    assert record["versions"]["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert record["machine"]["cores"] >= 1
    json.dumps(record)


def test_every_run_is_kept_and_the_first_moment_stays() -> None:
    first = sweep_record(study(), {}, cpu(1), "fifo", None)
    time.sleep(0.01)
    second = sweep_record(study(), {}, cpu(4), "fifo", first)
    assert second["created"] == first["created"]
    assert [run["resources"]["workers"] for run in second["runs"]] == [1, 4]
    assert second["runs"][1]["started"] > second["runs"][0]["started"]


def test_the_commit_is_the_one_git_tells_and_dirt_is_told() -> None:
    here = Path(__file__).parent
    told = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True)
    if told.returncode != 0:
        pytest.skip("not a git checkout")
    changed = subprocess.run(
        ["git", "-C", str(here), "diff", "HEAD", "--quiet"], capture_output=True, check=False
    )
    state = git_state()
    assert state is not None
    assert state["commit"] == told.stdout.strip()
    assert state["dirty"] == bool(changed.returncode)


def test_code_that_was_sent_without_git_tells_the_commit_it_came_with(tmp_path: Path) -> None:
    package = tmp_path / "agents" / "data"
    package.mkdir(parents=True)
    source = Path(sys.modules[git_state.__module__].__file__ or "")
    (package / "provenance.py").write_text(source.read_text())
    (tmp_path / COMMIT_FILE).write_text('{"commit": "abc", "dirty": true}')
    ask = "import json, provenance; print(json.dumps(provenance.git_state()))"
    said = subprocess.run(
        [sys.executable, "-c", ask], cwd=package, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == {"commit": "abc", "dirty": True}
