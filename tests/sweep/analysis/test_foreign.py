"""Runs of other tools become the store's tables; what is assumed is said, what cannot be is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.analysis import correlation, final, intervention_ate
from sweep.analysis.foreign import Runs, read_csv, runs_from
from sweep.analysis.frames import AnalysisError, configuration_codes, varying

# As optuna 4's study.trials_dataframe().to_csv() writes it.
OPTUNA = """\
number,value,datetime_start,datetime_complete,duration,params_activation,params_lr,user_attrs_srank,state
0,-0.30,2026-11-30 16:44:27.228149,2026-11-30 16:44:27.228596,0 days 00:00:00.000447,relu,0.0004,15.0,COMPLETE
1,0.05,2026-11-30 16:44:27.228633,2026-11-30 16:44:27.228799,0 days 00:00:00.000166,tanh,0.0004,26.7,COMPLETE
2,0.04,2026-11-30 16:44:27.228633,2026-11-30 16:44:27.228799,0 days 00:00:00.000166,tanh,0.0004,25.7,PRUNED
3,,2026-11-30 16:44:27.228633,2026-11-30 16:44:27.228799,0 days 00:00:00.000166,tanh,0.01,,FAIL
"""
# As the export of W&B's table of runs.
WANDB = """\
Name,State,env,config.lr,seed,srank,eval/return
brave-sun-1,finished,Pong,0.001,0,12,3.5
calm-sea-2,finished,Pong,0.001,1,14,4.5
dry-leaf-3,crashed,Pong,0.01,0,3,0.5
"""


def runs(text: str, **options: object) -> Runs:
    return runs_from(pd.read_csv(io.StringIO(text)), **options)  # type: ignore[arg-type]


def test_optunas_table_is_understood_without_options() -> None:
    found = runs(OPTUNA)
    assert list(found.trials["status"]) == ["finished", "finished", "finished", "failed"]
    assert list(found.trials["scheduler"]) == ["fifo", "fifo", "early stopping", "fifo"]
    assert varying(found.trials) == ["config.activation", "config.lr"]
    # Runs 1 and 2 are one configuration, and are told apart by a seed.
    assert list(configuration_codes(found.trials)) == [0, 1, 1, 2]
    assert list(found.trials["seed"]) == [0, 0, 1, 0]
    ended = final(found.trials, found.metrics, measures=["user_attrs_srank", "value"])
    np.testing.assert_array_equal(ended["user_attrs_srank"], [15.0, 26.7, 25.7, np.nan])
    assert any("no column seed" in note for note in found.notes)
    assert any("no column env" in note for note in found.notes)


def test_a_pruned_run_is_early_stopping_and_refuses_the_estimate() -> None:
    found = runs(OPTUNA)
    row = correlation(found.trials, found.metrics, "user_attrs_srank", "value").iloc[0]
    assert row["n_early_stopped"] == 1
    assert "early stopping" in row["note"]


def test_a_factor_of_a_csv_is_not_called_randomised() -> None:
    crossed = [(lr, width, seed) for lr in (0.1, 0.01) for width in (8, 64) for seed in range(4)]
    table = pd.DataFrame(crossed, columns=["lr", "width", "seed"])
    table["srank"] = np.random.default_rng(0).normal(table["width"], 1.0)
    found = runs_from(table, hyperparameters=["lr", "width"])
    effects = intervention_ate(found.trials, found.metrics, "srank", min_configurations=3)
    assert set(effects["factor"]) == {"config.lr", "config.width"}
    assert set(effects["kind"]) == {"associational"}
    assert all("no design is known" in note for note in effects["note"])


def test_wandbs_table_with_a_renamed_outcome() -> None:
    found = runs(WANDB, rename={"return_mean": "eval/return"})
    assert list(found.trials["trial_id"]) == ["brave-sun-1", "calm-sea-2", "dry-leaf-3"]
    assert list(found.trials["status"]) == ["finished", "finished", "failed"]
    assert list(found.trials["seed"]) == [0, 1, 0]
    assert list(found.metrics["return_mean"]) == [3.5, 4.5, 0.5]
    assert list(found.metrics.columns) == ["trial_id", "step", "srank", "return_mean"]
    assert found.notes == ()


def test_rows_of_steps_are_a_series() -> None:
    text = (
        "run,step,learning_rate,seed,srank,return_mean\na,10,1e-3,0,9,1\na,20,1e-3,0,8,2\nb,10,1e-4,0,7,3\n"
    )
    found = runs(text, rename={"trial_id": "run"})
    assert list(found.trials["trial_id"]) == ["a", "b"]
    assert list(found.trials["train_steps"]) == [20, 10]
    assert list(final(found.trials, found.metrics)["srank"]) == [8, 7]


def test_spaces_are_split_and_default_to_one() -> None:
    text = "learning_rate,spaces,srank\n1e-3,narrow;broad,4\n1e-4,broad,5\n"
    assert list(runs(text).trials["spaces"]) == [["narrow", "broad"], ["broad"]]
    assert list(runs("learning_rate,srank\n1e-3,4\n").trials["spaces"]) == [["all"]]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("lr,srank\n1,2\n", {}, "--hyperparameters"),
        ("lr,srank\n1,2\n", {"hyperparameters": ["width"]}, "no column 'width'"),
        ("lr,name\n1,a\n", {"hyperparameters": ["lr"]}, "no column of numbers is left as a measure"),
        ("learning_rate,srank\n", {}, "no row"),
        (
            "learning_rate,srank\n1,2\n",
            {"rename": {"return_mean": "score"}},
            "no column 'score' to be return_mean",
        ),
        ("learning_rate,srank,status\n1,2,odd\n", {}, "status 'odd' is not known"),
        ("learning_rate,srank,step\n1,2,3\n", {}, "none that names the run"),
        ("trial_id,learning_rate,srank\na,1,2\na,1,3\n", {}, "run 'a' has several rows"),
        ("trial_id,step,learning_rate,srank\na,1,1,2\na,2,5,3\n", {}, "learning_rate changes within run 'a'"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_remedy(
    text: str, options: dict[str, object], told: str
) -> None:
    with pytest.raises(AnalysisError, match=told):
        runs(text, **options)


def test_a_file_that_is_not_there_or_no_csv_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="there is no such file"):
        read_csv(tmp_path / "runs.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(AnalysisError, match="not a CSV with a row a run"):
        read_csv(tmp_path / "empty.csv")
