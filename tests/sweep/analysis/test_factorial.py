"""Which columns of a sweep are its two-level factors, and which level is the control."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from factorial_sweeps import AXES, measured, study, trials_of

from sweep.analysis import AnalysisError
from sweep.analysis.interventions.designs import space_of
from sweep.analysis.interventions.factorial import Factors, check_control, find_factors, read_control
from sweep.analysis.samples import samples


def found(trials: pd.DataFrame, control: Any = None, within: tuple[str, ...] = ()) -> Factors:
    metrics = measured(trials, srank=np.arange(len(trials)))
    (sample,) = samples(trials, metrics, ["srank"], across_environments=True, min_configurations=3)
    return find_factors(sample.planned, space_of(trials, "factorial"), read_control(control), within)


def test_the_papers_study_has_the_seven_factors_of_table_2_with_its_controls() -> None:
    factors = found(trials_of("gulcehre2022/atari-interventions")).factors
    assert [(f.name, f.control, f.treatment) for f in factors] == [
        ("activation", "relu", "tanh"),
        ("learning_rate", "0.0003", "3e-05"),
        ("target_update_period", "2500", "200"),
        ("sam_weight", "0", "0.05"),
        ("curl_weight", "0", "0.001"),
        ("data_fraction", "1", "0.05"),
        ("env", "atari/Asterix", "atari/Gravitar"),
    ]
    assert {f.rule for f in factors} == {"design"}
    assert factors[-1].together == ("dataset",)


def test_a_setting_of_what_is_switched_on_is_no_factor_of_its_own() -> None:
    trials = trials_of("gulcehre2022/atari-interventions", scale="laptop", known=False)
    assert trials["curl_shift"].nunique() == 2
    curl = next(f for f in found(trials).factors if f.name == "curl_weight")
    assert curl.together == ("curl_shift",)


def test_without_a_known_study_the_control_is_the_default_of_a_trial() -> None:
    trials = trials_of("gulcehre2022/atari-interventions", scale="laptop", known=False)
    by_name = {f.name: (f.control, f.rule) for f in found(trials).factors}
    assert by_name["activation"] == ("relu", "default")
    assert by_name["data_fraction"] == ("1", "default")
    assert by_name["target_update_period"] == ("250", "nearest default")
    assert by_name["env"][1] == "name order"


def test_a_control_that_is_asked_for_is_taken() -> None:
    trials = trials_of(study())
    factors = {f.name: f for f in found(trials, ["activation=tanh", "learning_rate=3e-5"]).factors}
    assert (factors["activation"].control, factors["activation"].treatment) == ("tanh", "relu")
    assert factors["learning_rate"].control == "3e-05"
    assert factors["activation"].rule == "option"
    assert found(trials, {"learning_rate": 3e-5}).factors[1].control == "3e-05"
    assert found(trials, "activation=tanh, learning_rate=3e-5").factors[1].control == "3e-05"


def test_a_dataset_stands_for_its_environment_in_a_control() -> None:
    trials = trials_of(study({"activation": ["relu", "tanh"], "dataset": ["d0", "d1"]}, 2, datasets=2))
    factor = found(trials, ["dataset=d1"]).factors[1]
    assert (factor.name, factor.control) == ("env", "bsuite/catch/1")


@pytest.mark.parametrize(
    ("control", "says"),
    [
        (["activation"], "must be NAME=LEVEL"),
        (["activation=elu"], "it has the levels relu, tanh"),
        (["batch_size=32"], "no two-level factor of this sweep; its factors are: activation, learning_rate"),
    ],
)
def test_a_control_that_cannot_be_is_refused_with_what_can(control: list[str], says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        check_control(read_control(control), [found(trials_of(study()), control)])


def test_what_follows_from_a_hyperparameter_of_three_levels_is_no_factor() -> None:
    axes = {"curl_weight": [0.0, 0.001, 0.01], "activation": ["relu", "tanh"]}
    for known in (True, False):
        factors = found(
            trials_of(study(axes, 2, design={"kind": "grid"}, base={"curl_noise": 0.3}), known=known)
        )
        assert [f.name for f in factors.factors] == ["activation"]
        assert dict(factors.others) == {"curl_weight": 3, "curl_noise": 2}


def test_the_first_value_of_an_axis_is_the_control_of_a_grid() -> None:
    axes = {"activation": ["tanh", "relu"], "learning_rate": [1e-4, 1e-3, 1e-2]}
    factor = found(trials_of(study(axes, design={"kind": "grid"}))).factors[0]
    assert (factor.control, factor.rule) == ("tanh", "axis order")


def test_one_at_a_time_says_its_control() -> None:
    design = {"kind": "one_at_a_time", "control": {"activation": "tanh"}}
    factors = found(trials_of(study(design=design))).factors
    assert [(f.control, f.rule) for f in factors[:2]] == [("tanh", "design"), ("0.0003", "design")]


def test_hyperparameters_of_other_tools_are_factors_too() -> None:
    trials = trials_of(study({"activation": ["relu", "tanh"], "learning_rate": [3e-4, 3e-5]}, 2), known=False)
    trials["config.width"] = np.where(trials["learning_rate"] == 3e-4, 64, 128)
    trials = trials.drop(columns="learning_rate")
    factors = found(trials, ["width=128"]).factors
    assert [(f.name, f.control) for f in factors] == [("activation", "relu"), ("config.width", "128")]


def test_layer_sizes_are_levels() -> None:
    trials = trials_of(study({"hidden_sizes": [[64, 64], [32]], "activation": ["relu", "tanh"]}))
    assert [(f.control, f.treatment) for f in found(trials).factors] == [("64x64", "32"), ("relu", "tanh")]


def test_within_keeps_a_factor_out() -> None:
    trials = trials_of(study())
    names = [f.name for f in found(trials[trials["activation"] == "relu"], within=("learning_rate",)).factors]
    assert names == ["target_update_period", "sam_weight"]
    assert set(AXES) - set(names) == {"activation", "learning_rate"}
