"""What an evaluation adds to a pack's rows: value errors, value biases, perturbed returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_sweeps import root_with, rows, study, train_all

from agents.environments import tabular_model
from search_spaces import DatasetRecipe
from sweep.datasets import collect_dataset, collect_spec
from sweep.errors import UsageError
from sweep.run import Display, RunOptions, run_study
from sweep.store import Store

GRID = "random-grid"
GRID_RECIPE = {"env": "gridworld/smooth/0", "collect": {"agent": "random", "steps": 400, "num_envs": 4}}


@pytest.fixture(scope="module")
def grid_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grid")
    recipe = DatasetRecipe.model_validate({"name": GRID, **GRID_RECIPE})
    collect_dataset(root, GRID, collect_spec(recipe), lambda *_: None)
    return root


def grid_study(**changes: Any) -> Any:
    return study(
        {"name": "discounts", "axes": {"discount": [0.5, 0.95, 1.0]}},
        datasets={GRID: GRID_RECIPE},
        base={"dataset": GRID, "train_steps": 60, "hidden_sizes": [8]},
        **changes,
    )


def test_a_gridworld_trial_reports_its_error_against_the_true_values(grid_root: Path) -> None:
    store = train_all(grid_root, grid_study())
    frame = rows(store).merge(Store(grid_root).trials("tiny")[["trial_id", "discount"]], on="trial_id")
    evaluated = frame[frame["return_mean"].notna()]
    assert evaluated.loc[evaluated["discount"] < 1, "value_error"].notna().all()
    assert evaluated.loc[evaluated["discount"] == 1, "value_error"].isna().all(), "no value, so null"
    stored = [pq.read_table(path) for path in (grid_root / "store/tiny/hot").rglob("*.parquet")]
    errors = [value for table in stored for value in table["value_error"].to_pylist()]
    assert None in errors
    assert all(value is None or value == value for value in errors), "null and not NaN"
    assert evaluated["value_bias"].notna().all()
    assert frame.loc[frame["return_mean"].isna(), "value_error"].isna().all()
    grid = tabular_model("gridworld/smooth/0")
    assert grid is not None
    # An untrained network's values are near 0, so its error is near the root mean square of Q*.
    for discount in (0.5, 0.95):
        scale = np.sqrt((grid.q_optimal(discount)[grid.reachable] ** 2).mean())
        first = evaluated[(evaluated["discount"] == discount) & (evaluated["step"] == 0)]["value_error"]
        assert first.item() == pytest.approx(scale, rel=0.25)


def test_catch_has_no_value_error_but_a_bias(tiny_root: Path) -> None:
    frame = rows(train_all(tiny_root, study()))
    evaluated = frame[frame["return_mean"].notna()]
    assert evaluated["value_bias"].notna().all()
    # `rows` leaves out what is null everywhere.
    assert not {"value_error", "return_mean_perturbed", "return_normalized_dqn"} & set(frame.columns)


def test_a_perturbation_adds_a_return_and_changes_nothing_else(tiny_root: Path, tmp_path: Path) -> None:
    clean = rows(train_all(root_with(tiny_root, tmp_path / "clean"), study()))
    protocol = {**PROTOCOL, "eval_perturbation": {"kind": "noise", "amount": 2.0}}
    noisy = rows(train_all(root_with(tiny_root, tmp_path / "noisy"), study(protocol=protocol)))
    assert noisy["return_mean_perturbed"].notna().sum() == noisy["return_mean"].notna().sum() > 0
    others = [c for c in clean.columns if c not in ("return_mean_perturbed", "attempt", "wall_time")]
    assert clean[others].equals(noisy[others])
    assert (noisy["return_mean_perturbed"].dropna() != noisy["return_mean"].dropna()).any()


PROTOCOL = {
    "log_every": 10,
    "probe_every": 20,
    "eval_every": 30,
    "eval_episodes": 3,
    "probe_batch_size": 64,
    "checkpoint_every_steps": 20,
    "checkpoint_every_seconds": 3600.0,
}


def test_a_perturbation_that_means_nothing_is_refused_before_anything_starts(tmp_path: Path) -> None:
    shift = study(protocol={**PROTOCOL, "eval_perturbation": {"kind": "shift", "amount": 2}})
    with pytest.raises(
        UsageError, match=r"'shift' moves images, but bsuite/catch/0 shows vectors of shape \[50\]"
    ):
        run_study(shift, "tiny", tmp_path / "root", RunOptions(), cast(Display, None))
    assert not (tmp_path / "root").exists()
