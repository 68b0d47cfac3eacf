"""What is said of the trials that an audit stands on."""

import numpy as np
import pandas as pd
import pytest
from structural_models import MEASURE, OUTCOME, no_effect

from sweep.analysis.confounding.caveats import caveats
from sweep.analysis.samples import Sample, samples

Sweep = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture
def sweep() -> Sweep:
    trials, metrics, _ = no_effect(np.random.default_rng(0), 40, 3)
    return trials, metrics


def _sample(sweep: Sweep) -> Sample:
    return next(samples(*sweep, [MEASURE, OUTCOME]))


def test_a_whole_sweep_has_none(sweep: Sweep) -> None:
    assert caveats(_sample(sweep)) == []


def test_divergence_is_said_to_be_where_it_is(sweep: Sweep) -> None:
    trials, metrics = sweep
    fast = trials["learning_rate"] == 3e-3
    trials.loc[fast & (trials["seed"] < 2), "status"] = "diverged"
    lost = int((fast & (trials["seed"] < 2)).sum())
    (told,) = [text for text in caveats(_sample((trials, metrics))) if "diverged" in text]
    inside = f"{lost} of {fast.sum()} with learning_rate 0.003, 0 of the other {(~fast).sum()}"
    assert (
        told
        == f"{lost} of 120 trials diverged and are left out: {inside}; estimates are about trials that ended"
    )


def test_divergence_anywhere_is_only_counted(sweep: Sweep) -> None:
    trials, metrics = sweep
    trials.loc[[3, 50, 111], "status"] = "diverged"
    assert "3 of 120 trials diverged and are left out" in caveats(_sample((trials, metrics)))


def test_missing_seeds_are_counted_by_configuration(sweep: Sweep) -> None:
    trials, metrics = sweep
    trials.loc[[0, 3, 4, 6, 7, 8], "status"] = (
        "failed"  # one of one configuration, two of another, all of a third
    )
    assert (
        "2 of 39 configurations have fewer than 3 seeds; of 1 of 40 configurations no trial is left"
        in caveats(_sample((trials, metrics)))
    )


def test_a_rare_level_is_named(sweep: Sweep) -> None:
    trials, metrics = sweep
    trials["activation"] = np.where(trials.index < 6, "elu", "relu")
    assert "unbalanced: activation elu has 6 of 120 trials" in caveats(_sample((trials, metrics)))


def test_few_configurations_are_counted() -> None:
    trials, metrics, _ = no_effect(np.random.default_rng(1), 8, 2)
    assert caveats(_sample((trials, metrics)))[0].startswith("few configurations (8)")
