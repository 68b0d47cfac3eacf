"""A real Ray cluster of two nodes with a dashboard and an object store, of this test session alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from object_store import ObjectStore
from ray_dashboard import Dashboard


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    home = tmp_path_factory.mktemp("home")
    with ObjectStore() as store:
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # Ray's token and the records of clusters are of this session alone.
        env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "200", **store.env}
        started = sweep(env, "cluster", "local", "--nodes", "2", "--cpus-per-node", "1", "--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        try:
            (about,) = json.loads(sweep(env, "cluster", "list", "--json").stdout)
            yield Dashboard(about["dashboard"], about["address"], env, store.fresh_root())
        finally:
            sweep(env, "cluster", "down", "--all")


def sweep(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from sweep.cli import main; main()", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
