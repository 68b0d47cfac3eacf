"""What a dataset cannot teach is refused while a sweep is planned, with the reason; what it can is trained."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
from tiny_sweeps import DATASET, RECIPE, root_with, rows, study, train_all

from agents.data import Manifest, read_manifest
from agents.data.dataset import Dataset
from agents.data.subset import Fraction, make_subset
from agents.objectives import build_objective
from agents.spec import LearnerShape
from search_spaces import Study, catalog
from search_spaces.algorithms import ALGORITHMS
from sweep.errors import UsageError
from sweep.objective_checks import COLUMNS, RECURRENT, check_objectives, check_target_policies
from sweep.preview import preview
from sweep.run import Display, RunOptions, run_study
from sweep.run_checks import check_sweep
from sweep.store import Store

FINISHED = "tiny/0123456789abcdef"
GRID = {"env": "gridworld/smooth/0", "collect": {"agent": "random", "steps": 400, "num_envs": 4}}
RLU = {"env": "atari/Pong", "import": {"format": "rlu-atari", "source": "gs://rl_unplugged/atari/Pong"}}


def of(algorithm: str, recipe: dict[str, Any] | None = None, **base: Any) -> Study:
    datasets = {DATASET: recipe or RECIPE}
    if recipe is not None and "subset" in recipe:
        datasets["whole"] = RECIPE
    settings = {"dataset": DATASET, "train_steps": 60, "hidden_sizes": [16], "algorithm": algorithm}
    return study({"name": "one"}, datasets=datasets, base={**settings, **base})


def refusal(planned: Study, found: dict[str, Manifest | None] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        check_objectives(planned, found or dict.fromkeys(planned.datasets))
    return str(caught.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_planning_knows_of_an_algorithm_is_what_its_objective_asks_for(algorithm: str) -> None:
    """Planning does not load torch to ask the objectives."""
    shape = LearnerShape(objective=algorithm, observation_shape=(5,), num_actions=3)
    objective = build_objective(shape)
    assert objective.columns == COLUMNS.get(algorithm, ())
    assert objective.recurrent == (algorithm in RECURRENT)


@pytest.mark.parametrize("base", [{}, {"target_policy": "optimal"}], ids=["oracle", "fqe"])
def test_true_values_are_refused_where_there_are_none(base: dict[str, Any]) -> None:
    algorithm = "fqe" if base else "oracle"
    assert "bsuite/catch/0 has none. Choose" in refusal(of(algorithm, **base))
    check_objectives(of(algorithm, GRID, **base), {DATASET: None})
    message = refusal(of(algorithm, GRID, discount=1.0, **base))
    assert "discount is 1. Set it lower, such as 0.99." in message


@pytest.mark.parametrize("algorithm", ["sarsa", "bve", "mc"])
def test_a_random_part_of_the_transitions_is_refused_as_soon_as_it_is_planned(algorithm: str) -> None:
    part = {"env": "bsuite/catch/0", "subset": {"of": "whole", "fraction": 0.5}}
    message = refusal(of(algorithm, part))
    assert message.startswith(f"{algorithm} learns from")
    assert "'random-catch' holds single transitions" in message
    assert message.endswith("`data_fraction` in place of a subset.")
    check_objectives(
        of(algorithm, part | {"subset": {"of": "whole", "prefix": 0.5}}), {DATASET: None, "whole": None}
    )


def test_sequences_of_a_random_part_are_refused_as_soon_as_they_are_planned() -> None:
    part = {"env": "bsuite/catch/0", "subset": {"of": "whole", "fraction": 0.5}}
    message = refusal(of("r2d2", part))
    assert message.startswith(
        "r2d2 learns from sequences, and dataset 'random-catch' holds single transitions"
    )
    check_objectives(of("r2d2", n_step=3), {DATASET: None})


def test_n_step_targets_of_a_random_part_are_refused_of_an_algorithm_without_columns() -> None:
    part = {"env": "bsuite/catch/0", "subset": {"of": "whole", "fraction": 0.5}}
    assert "n_step 3 needs the rewards of the next 3 steps" in refusal(of("dqn", part, n_step=3))
    check_objectives(of("dqn", part), {DATASET: None, "whole": None})


def test_a_subset_that_was_made_is_judged_by_what_is_in_it(dataset_root: Path, tmp_path: Path) -> None:
    root = root_with(dataset_root, tmp_path / "root")
    whole = Dataset.open(root / "datasets" / DATASET)
    make_subset(whole, root / "datasets" / "part", [Fraction(0.5)])
    found = {DATASET: read_manifest(root / "datasets" / "part")}
    existing = {"env": "bsuite/catch/0", "existing": True}
    assert "holds single transitions" in refusal(of("mc", existing), cast(Any, found))


def test_an_import_is_judged_when_it_is_there(dataset_root: Path) -> None:
    """Whether its episodes are whole, only the data tell: until then nothing is refused."""
    planned = of("mc", RLU, network="nature_dqn")
    check_objectives(planned, {DATASET: None})
    manifest = read_manifest(dataset_root / "datasets" / DATASET)
    there = manifest.model_copy(update={"consecutive": False})
    assert "mc learns from Monte Carlo returns" in refusal(planned, {DATASET: there})


def test_an_objective_of_ones_own_that_cannot_be_imported_is_refused() -> None:
    assert "objective 'nowhere.at.all:Mine' cannot be imported" in refusal(of("nowhere.at.all:Mine"))


def test_label_noise_is_refused_where_the_network_is_too_large_and_where_there_are_no_values() -> None:
    noise = {"dr3_weight": 0.1, "dr3_variant": "label_noise"}
    assert "at most 50,000 are taken" in refusal(of("dqn", **{**noise, "hidden_sizes": [400, 400]}))
    assert "objective bc has none" in refusal(of("bc", **noise))


def test_a_policy_of_no_known_trial_is_refused(tiny_root: Path) -> None:
    planned = of("fqe", target_policy=FINISHED)
    with pytest.raises(UsageError, match=r"^target_policy 'tiny/0123456789abcdef': "):
        check_target_policies([trial.config for trial in planned.trials()], tiny_root)


def test_a_run_is_refused_before_anything_is_planned_or_collected(tmp_path: Path) -> None:
    for planned in (of("oracle"), of("fqe", target_policy=FINISHED)):
        with pytest.raises(UsageError, match=r"bsuite/catch/0 has none|tiny"):
            run_study(planned, "refused", tmp_path / "root", RunOptions(), cast(Display, mock.Mock()))
        assert not (tmp_path / "root" / "datasets").exists()
        assert not list((tmp_path / "root").rglob("plan*.json"))


def test_a_preview_refuses_what_a_run_would_and_needs_no_torch(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bsuite/catch/0 has none"):
        preview(of("oracle"), tmp_path / "root")
    code = "import sys, sweep.preview, sweep.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("algorithm", ["sarsa", "bve", "td_policy", "mc", "fqe", "fqi", "dqn of 3 steps"])
def test_every_algorithm_trains_in_a_sweep(dataset_root: Path, tmp_path: Path, algorithm: str) -> None:
    planned = of("dqn", n_step=3) if algorithm.startswith("dqn") else of(algorithm)
    frame = rows(train_all(root_with(dataset_root, tmp_path / "root"), planned))
    assert frame["loss"].dropna().gt(0).all()
    assert frame["td_error"].notna().any()


def test_a_finished_trials_policy_is_evaluated_in_another_sweep(dataset_root: Path, tmp_path: Path) -> None:
    root = root_with(dataset_root, tmp_path / "root")
    (trial,) = train_all(root, of("dqn"), "trained").trials()["trial_id"]
    evaluation = of("fqe", target_policy=f"trained/{trial}")
    check_target_policies([one.config for one in evaluation.trials()], root)
    frame = rows(train_all(root, evaluation, "evaluated"))
    assert frame["q_mean"].notna().any()
    # What was evaluated may be deleted when the evaluation is done.
    shutil.rmtree(root / "store" / "trained")
    store = Store(root).sweep("evaluated")
    assert check_sweep(store, evaluation, root, "fifo").keys() == evaluation.datasets.keys()
    with pytest.raises(UsageError, match=f"trained/{trial}"):
        check_sweep(store, of("fqe", target_policy=f"trained/{trial}", discount=0.5), root, "fifo")


def test_the_studies_that_come_with_the_package_can_learn_what_they_want() -> None:
    for named in catalog.named_studies():
        for scale in named.scales or (None,):
            planned = catalog.load_study(named.name, scale)
            check_objectives(planned, dict.fromkeys(planned.datasets))
