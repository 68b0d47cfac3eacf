"""Which groups the trials of a sweep fall into, by each hyperparameter."""

import numpy as np
import pandas as pd
import pytest
from structural_models import MEASURE, OUTCOME, simulate

from sweep.analysis.confounding.environments import apart_and_together, standardised
from sweep.analysis.confounding.grouping import grouping_of, groupings


def _trials(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"configuration": range(40), **columns})


def test_a_number_of_many_values_is_cut_into_bins_of_about_as_many_configurations() -> None:
    drawn = 10 ** np.random.default_rng(0).uniform(-5, -2, 40)
    found = grouping_of(_trials(learning_rate=drawn), "learning_rate")
    assert found.bins == 5
    assert found.sizes.tolist() == [8] * 5
    for code in range(4):
        assert drawn[found.codes == code].max() < drawn[found.codes == code + 1].min()
    few = _trials(learning_rate=drawn).iloc[:24]
    assert grouping_of(few, "learning_rate").bins == 3


def test_bins_count_configurations_not_trials() -> None:
    trials = pd.DataFrame({"configuration": np.r_[np.arange(30), np.zeros(300, int)]})
    trials["learning_rate"] = trials["configuration"] / 30
    found = grouping_of(trials, "learning_rate")
    assert found.sizes.tolist() == [306, 6, 6, 6, 6]


def test_few_values_names_flags_lists_and_nothing_are_groups_as_they_are() -> None:
    trials = _trials(
        batch_size=[32, 256] * 20,
        layer_norm=[True] * 10 + [False] * 30,
        hidden_sizes=[[64, 64]] * 30 + [[8]] * 10,
        bottleneck=[None] * 39 + [4.0],
    )
    assert grouping_of(trials, "batch_size").labels == ("32", "256")
    assert grouping_of(trials, "layer_norm").labels == ("False", "True")
    assert grouping_of(trials, "hidden_sizes").labels == ("64x64", "8")
    assert grouping_of(trials, "bottleneck").labels == ("none", "4.0")


def test_a_number_drawn_anew_for_each_configuration_is_cut_where_others_vary_too() -> None:
    trials = pd.DataFrame({"configuration": range(9), "learning_rate": np.geomspace(1e-5, 1e-1, 9)})
    (alone,) = groupings(trials)
    assert (alone.bins, len(alone.labels)) == (None, 9)
    several = {g.name: g for g in groupings(trials.assign(activation=["relu", "tanh", "elu"] * 3))}
    assert (several["learning_rate"].bins, several["learning_rate"].sizes.tolist()) == (3, [3, 3, 3])
    environments = pd.concat([trials.assign(env="a"), trials.assign(env="b")])
    assert {g.name: g.bins for g in groupings(environments)} == {"env": None, "learning_rate": None}


def test_hyperparameters_that_change_together_are_one_grouping_unless_named() -> None:
    trials = _trials(
        env=["a"] * 20 + ["b"] * 20,
        dataset=["da"] * 20 + ["db"] * 20,
        activation=["relu", "tanh"] * 20,
        batch_size=32,
    )
    found = groupings(trials)
    assert [(g.name, g.together) for g in found] == [("env", ("dataset",)), ("activation", ())]
    assert [g.name for g in groupings(trials, ["dataset", "env", "batch_size"])] == ["dataset", "env"]


def test_environments_together_count_settings_not_configurations() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(0), 12, 2, environments=3)
    found = {s.key["env"]: s for s in apart_and_together(trials, metrics, [MEASURE, OUTCOME])}
    assert list(found) == ["bsuite/catch/0", "bsuite/catch/1", "bsuite/catch/2", "all"]
    assert [s.clusters for s in found.values()] == [12, 12, 12, 12]
    assert len(found["all"].included) == 72
    few = list(apart_and_together(trials, metrics, [MEASURE, OUTCOME], min_configurations=13))[-1]
    assert few.refusal == "refused: 12 settings in 3 environments, at least 13 are needed (72 of 72 trials)"


def test_environments_together_without_a_finished_trial_are_refused_by_the_same_minimum() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(0), 12, 2, environments=2)
    none = list(apart_and_together(trials.assign(status="planned"), metrics, [MEASURE, OUTCOME]))[-1]
    assert none.refusal == "refused: 0 settings in 0 environments, at least 5 are needed (0 of 48 trials)"
    pruned = list(apart_and_together(trials.assign(scheduler="asha"), metrics, [MEASURE, OUTCOME]))[-1]
    assert pruned.refusal is not None
    assert "under early stopping" in pruned.refusal


def test_one_environment_is_not_there_twice() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(0), 12, 2)
    assert [s.key["env"] for s in apart_and_together(trials, metrics, [MEASURE, OUTCOME])] == [
        "bsuite/catch/0"
    ]


def test_an_environment_without_spread_says_nothing() -> None:
    found = standardised(np.array([1.0, 3.0, 5.0, 7.0, 7.0]), pd.Series(list("aaabb")))
    assert found[:3] == pytest.approx([-1, 0, 1])
    assert np.isnan(found[3:]).all()
