"""The benchmark of a team's MLflow at a tenth of its size: a sweep is mirrored whole while eight packs train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from services import MISSING, postgres_programs

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "mlflow_team.py"


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(postgres_programs() is None, reason=MISSING)
def test_every_point_arrives_once_while_eight_packs_train(environment: dict[str, str]) -> None:
    command = [sys.executable, BENCHMARK, "--runs", "50", "--packs", "8", "--peer-batches", "10"]
    # Its status tells of the rate, which another machine's load decides.
    ended = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=1400
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    assert lines, ended.stdout + ended.stderr
    found = json.loads(lines[-1])
    assert (found["runs"], found["trials"], found["points"], found["twice"]) == (50, 50, 50 * 20 * 200, 0)
    assert found["training_beside_the_mirror_steps_per_s"] > 0, "nothing trained meanwhile"
