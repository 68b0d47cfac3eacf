"""The table of trials: typed as planned, with the state its packs are in now."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from places_of_tests import anywhere

from sweep.errors import StoreError, UsageError
from sweep.store import TRIALS, Store, SweepStore
from sweep.store.schema import HYPERPARAMETERS


def planned() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial_id": ["a", "b", "c", "d"],
            "spaces": [["narrow"], ["narrow", "broad"], ["broad"], ["broad"]],
            "status": "planned",
            "pack_id": ["p0", "p0", "p1", "p2"],
            "env": "bsuite/catch/0",
            "seed": np.arange(4),
            "hidden_sizes": [(64, 64), (64, 64), (), (512,)],
            "learning_rate": [1e-4, 1e-4, 1e-3, 1e-3],
            "batch_size": [32, 32, 32, 256],
            "reward_clip": [None, 1.0, None, None],
        }
    )


def test_every_hyperparameter_has_its_typed_column() -> None:
    trial = pytest.importorskip("search_spaces.trial")
    assert set(trial.TrialConfig.model_fields) == set(HYPERPARAMETERS)


@anywhere
def test_the_table_comes_back_typed(store: Store, sweep: SweepStore) -> None:
    sweep.write_trials(planned())
    found = store.trials("demo")
    assert list(found.columns) == list(TRIALS)
    assert found["sweep"].tolist() == ["demo"] * 4
    assert found["spaces"].tolist() == [["narrow"], ["narrow", "broad"], ["broad"], ["broad"]]
    assert found["hidden_sizes"].tolist() == [(64, 64), (64, 64), (), (512,)]
    assert len(found.groupby("hidden_sizes")) == 3, "they can be grouped by"
    assert found["seed"].dtype == np.int64
    assert found["learning_rate"].tolist() == [1e-4, 1e-4, 1e-3, 1e-3]
    assert found["reward_clip"].dtype == np.float64
    assert found["diverged_step"].isna().all()
    assert found.explode("spaces")["spaces"].tolist() == ["narrow", "narrow", "broad", "broad", "broad"]


def test_a_table_that_was_read_can_be_written_again(store: Store, sweep: SweepStore) -> None:
    sweep.write_trials(planned())
    once = store.trials("demo")
    sweep.write_trials(once)
    pd.testing.assert_frame_equal(store.trials("demo"), once)


@anywhere
def test_status_and_outcome_follow_the_packs(store: Store, sweep: SweepStore) -> None:
    sweep.write_trials(planned())
    for pack in ("p0", "p1", "p2"):
        sweep.start_attempt(pack, {"resume_step": -1})
    sweep.finish_pack(
        "p0",
        {
            "attempt": 0,
            "trials": {
                "a": {"status": "finished", "final_step": 100, "wall_seconds": 2.5},
                "b": {"status": "diverged", "final_step": 40, "diverged_step": 40},
            },
        },
    )
    sweep.fail_pack("p1", 0, {"reason": "out of memory"})
    with sweep.lock():
        found = store.trials("demo").set_index("trial_id")
        assert found["status"].to_dict() == {"a": "finished", "b": "diverged", "c": "failed", "d": "running"}
    assert found["final_step"].dropna().to_dict() == {"a": 100, "b": 40}
    assert str(found["final_step"].dtype) == "Int64"
    assert found.loc["b", "diverged_step"] == 40
    assert found.loc["c", "error"] == "out of memory"
    assert found.loc["a", "wall_seconds"] == 2.5
    assert found["attempts"].tolist() == [1, 1, 1, 1]
    assert store.trials("demo")["status"].tolist()[3] == "planned", (
        "nobody runs the sweep: it is to be gone on with"
    )
    sweep.start_attempt("p1", {"resume_step": -1})
    with sweep.lock():
        again = store.trials("demo").set_index("trial_id")
    assert again.loc["c", "status"] == "running", "a failure of an older attempt is no failure"
    assert again["attempts"].tolist() == [1, 1, 2, 1]


@anywhere
def test_a_sweep_without_trials_yet_has_an_empty_table(store: Store) -> None:
    store.create("demo")
    assert list(store.trials("demo").columns) == list(TRIALS)
    assert store.trials("demo").empty


def test_a_column_of_a_later_version_is_kept(store: Store, sweep: SweepStore) -> None:
    sweep.write_trials(planned().assign(curl_weight=[0.0, 0.5, 1.0, 2.0]))
    assert store.trials("demo")["curl_weight"].tolist() == [0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, "status 'done': it must be one of planned, running, finished, diverged, failed"),
        ({"trial_id": "a"}, "trial_id 'a' is there twice"),
        ({"seed": "x"}, "column 'seed': .*it must be int64"),
    ],
)
def test_trials_that_do_not_fit_are_refused(sweep: SweepStore, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.write_trials(planned().assign(**change))
    with pytest.raises(UsageError, match="column 'pack_id' is missing"):
        sweep.write_trials(planned().drop(columns="pack_id"))


@anywhere
def test_a_damaged_table_is_named(store: Store, sweep: SweepStore) -> None:
    sweep.write_trials(planned())
    path = sweep.layout.trials
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"trials\.parquet: damaged .*run the sweep again"):
        store.trials("demo")
