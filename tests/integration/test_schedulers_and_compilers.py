"""Plain tuning that stops trials early, and a machine without a C++ compiler."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drills import STUDY, Drill, assert_same_store, contiguous, metrics

from sweep.store import Store

MakeDrill = Callable[..., Drill]


@pytest.mark.slow
def test_asha_trains_packs_of_one_and_stamps_every_trial(new_drill: MakeDrill, cluster: str) -> None:
    rates = [1e-2, 1e-3, 1e-4, 1e-6]
    study = {
        **STUDY,
        "base": {**STUDY["base"], "train_steps": 1200},
        "spaces": [{"name": "tuning", "axes": {"learning_rate": rates}, "seeds": 1}],
        "protocol": {**STUDY["protocol"], "eval_episodes": 20},
    }
    drill = new_drill(study, address=cluster)
    # One after the other: whom a trial is compared with at a rung would depend on the machine's pace otherwise.
    drill.run("--scheduler", "asha", "--workers", "1").ok()
    assert len(drill.packs()) == 4
    trials = Store(drill.root).trials("tiny").set_index("trial_id")
    assert set(trials["scheduler"]) == {"asha"}
    assert set(trials["status"]) == {"finished"}
    rows = metrics(drill.root)
    assert contiguous(rows, 50)
    last = rows.groupby("trial_id")["step"].max()
    assert last.to_dict() == trials["final_step"].to_dict(), "a trial has rows after, or none until, its end"
    stopped = trials[trials["final_step"] < 1200]
    # The first trial at a rung has nobody to lose against, so one at least reaches the end.
    assert 1 <= len(stopped) <= 3, trials["final_step"].tolist()
    assert all(step in (200, 800) for step in stopped["final_step"])

    refused = drill.sweep("export", "tiny", "correlation", "--format", "json")
    assert "early" in refused.output or "asha" in refused.output, refused.output
    assert drill.run("--scheduler", "asha").ok().output.count("0 packs trained") == 1
    assert drill.run().code == 2


@pytest.mark.slow
def test_without_a_compiler_there_is_one_warning_and_the_same_store(
    new_drill: MakeDrill, undisturbed: Drill, tmp_path: Path
) -> None:
    # All that is on PATH, compilers aside: Ray needs a shell and more.
    tools = tmp_path / "bin"
    tools.mkdir()
    compilers = re.compile(r"(.*-)?(g\+\+|c\+\+|gcc|cc|clang|clang\+\+)(-[\d.]+)?")
    for folder in os.environ["PATH"].split(os.pathsep):
        for found in Path(folder).glob("*"):
            if not compilers.fullmatch(found.name) and not (tools / found.name).exists():
                (tools / found.name).symlink_to(found)
    drill = new_drill()
    drill.environment.pop("CXX", None)
    drill.environment["PATH"] = str(tools)
    ended = drill.start_run("--compile", eager=False).wait().ok()
    assert ended.output.count("eager") == 1, ended.output
    assert "no C++ compiler was found" in ended.output
    assert "sweep doctor" in ended.output
    attempts = [drill.store.attempts(pack)[-1] for pack in drill.packs()]
    assert [one["compiled"] for one in attempts] == [False, False]
    assert_same_store(drill.root, undisturbed.root)
    assert np.isfinite(metrics(drill.root)["loss"].dropna()).all()
