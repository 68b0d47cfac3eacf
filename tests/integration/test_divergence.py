"""A member that explodes stops at its step; its neighbours learn what they would have learnt without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drills import STUDY, Drill, metrics
from library import make_packs, trained

from sweep.store import Store

MakeDrill = Callable[..., Drill]


def exploding(learning_rate: float) -> dict[str, Any]:
    """One pack of four by plain gradient descent on squared errors, one of them with this learning rate."""
    rates = [1e-3, learning_rate, 3e-3, 1e-2]
    base = {**STUDY["base"], "optimizer": "sgd", "loss": "mse", "train_steps": 400}
    return {**STUDY, "base": base, "spaces": [{"name": "one", "axes": {"learning_rate": rates}, "seeds": 1}]}


def test_neighbours_of_a_diverging_member_do_not_notice(
    tmp_path: Path, undisturbed: Drill, library_process: None
) -> None:
    calm_spec, wild_spec = (
        make_packs(undisturbed.root, exploding(rate), workers=1)[0] for rate in (1e-4, 1e6)
    )
    assert len(calm_spec.trials) == len(wild_spec.trials) == 4
    wild_id, calm_id = wild_spec.trials[1], calm_spec.trials[1]
    others = [trial for trial in wild_spec.trials if trial != wild_id]
    assert others == [trial for trial in calm_spec.trials if trial != calm_id]

    calm = trained(tmp_path / "calm", undisturbed.root, calm_spec)
    wild = trained(tmp_path / "wild", undisturbed.root, wild_spec)
    for read in ("metrics", "spectra"):
        found, wanted = (
            getattr(store, read)("tiny", filters=[("trial_id", "in", others)]).drop(
                columns=["wall_time", "attempt"], errors="ignore"
            )
            for store in (wild, calm)
        )
        assert len(found) == len(wanted) > 0
        for column in found.columns:
            if found[column].dtype.kind == "f":
                assert found[column].to_numpy().tobytes() == wanted[column].to_numpy().tobytes(), column
            else:
                assert all(np.array_equal(a, b) for a, b in zip(found[column], wanted[column], strict=True))

    result = wild.sweep("tiny").result(wild_spec.pack_id)
    assert result is not None
    outcome = result["trials"][wild_id]
    assert outcome["status"] == "diverged"
    assert 1 <= outcome["diverged_step"] < 100
    rows = metrics(tmp_path / "wild")
    # Nothing is reported of a member once it has diverged, and its step is the first without a finite loss.
    assert rows.loc[rows["trial_id"] == wild_id, "step"].max() < outcome["diverged_step"]
    assert np.isfinite(rows.loc[rows["step"] > 0, "loss"]).all()
    assert {t["status"] for key, t in result["trials"].items() if key != wild_id} == {"finished"}


@pytest.mark.slow
def test_the_command_line_calls_it_diverged_and_the_sweep_done(new_drill: MakeDrill, cluster: str) -> None:
    drill = new_drill(exploding(1e6), address=cluster)
    ended = drill.run().ok()
    assert "1 diverged, 3 finished" in ended.output
    trials = Store(drill.root).trials("tiny").set_index("learning_rate")
    assert trials.loc[1e6, "status"] == "diverged"
    assert trials.loc[1e6, "diverged_step"] == trials.loc[1e6, "final_step"] < 100
    assert set(trials.drop(index=1e6)["status"]) == {"finished"}
    status = json.loads(drill.sweep("status", "tiny", "--json").ok().output)
    assert status["trials"] == {"diverged": 1, "finished": 3}
    assert len(status["packs"]) == 2
    # A diverged trial is an outcome: it is not tried again.
    assert "0 packs trained" in drill.run().ok().output
    assert set(drill.attempts().values()) == {1}
