"""The laptop's scale of every paper's study, end to end: `make test-studies`, an hour or two on two cores."""

from __future__ import annotations

import html
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from search_spaces import load_study, named_studies
from sweep.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.scheduled, pytest.mark.timeout(1500)]

LIMIT_SECONDS = 20 * 60
"""What each study may take on two cores, its data included."""

STUDIES = [study.name for study in named_studies() if "laptop" in study.scales]


def sweep(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=environment,
    )


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_on_a_laptop(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    study, root = load_study(name, "laptop"), tmp_path / "root"
    began = time.monotonic()
    ran = sweep(environment, "run", name, "--scale", "laptop", "--root", root)
    seconds = time.monotonic() - began
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert seconds < LIMIT_SECONDS

    store = Store(root).sweep(study.sweep_name)
    trials = store.trials().set_index("trial_id")
    assert len(trials) == len(study.trials())
    assert set(trials["status"]) <= {"finished", "diverged"}
    assert (trials["status"] == "finished").mean() > 0.5
    metrics = Store(root).metrics(study.sweep_name)
    assert set(metrics["trial_id"]) == set(trials.index)
    last = metrics.groupby("trial_id")["step"].max()
    finished = trials[trials["status"] == "finished"]
    assert (last[finished.index] == finished["train_steps"]).all()
    ends = metrics[metrics["step"] == metrics["trial_id"].map(trials["train_steps"])].set_index("trial_id")
    for column in ("srank", "dead_units", "return_mean", "loss"):
        assert np.isfinite(ends.loc[finished.index, column].astype(float)).all(), column

    reported = sweep(environment, "report", study.sweep_name, "--root", root)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    text = html.unescape((root / "reports" / f"{study.sweep_name}.html").read_text())
    assert study.question.split("?")[0][:60] in text
    for change in study.changed:
        assert change.what in text, "the report says what the scale changed"
    kept = store.sweep_record()
    assert kept is not None
    assert (kept["scale"], kept["study"]) == ("laptop", name)
