"""The simulated sweeps are what they say: at a large size, statsmodels finds the slopes that `Truth` holds."""

import numpy as np
import pytest
import statsmodels.formula.api as smf
from structural_models import MEASURE, MODELS, OUTCOME, Truth, simulate

SEEN = "C(learning_rate) + C(activation) + C(batch_size)"


@pytest.mark.parametrize("name", MODELS)
def test_the_slopes_of_a_large_sweep_are_those_of_the_truth(name: str) -> None:
    trials, metrics, truth = MODELS[name](np.random.default_rng(0), 20_000, 2)
    table = trials.merge(metrics, on="trial_id")
    formulas = {
        truth.pooled: "1",
        truth.within["learning_rate"]: "C(learning_rate)",
        truth.within["activation"]: "C(activation)",
        truth.within["batch_size"]: "C(batch_size)",
        truth.adjusted: SEEN,
    }
    for expected, given in formulas.items():
        found = smf.ols(f"{OUTCOME} ~ {MEASURE} + {given}", table).fit().params[MEASURE]
        assert found == pytest.approx(expected, abs=0.005), given


@pytest.mark.parametrize("name", ["observed_confounding", "simpson_reversal", "hidden_confounder"])
def test_the_differences_between_the_sides_of_the_median_are_those_of_the_truth(name: str) -> None:
    trials, metrics, truth = MODELS[name](np.random.default_rng(1), 100_000, 1)
    table = trials.merge(metrics, on="trial_id")
    table["above"] = table[MEASURE] > table[MEASURE].median()
    apart = table.groupby("above")[OUTCOME].mean()
    assert apart[True] - apart[False] == pytest.approx(truth.above, abs=0.03)
    cells = table.groupby(["learning_rate", "activation", "above"])[OUTCOME].mean().unstack()
    assert (cells[True] - cells[False]).mean() == pytest.approx(truth.above_adjusted, abs=0.03)
    assert np.isnan(MODELS["heavy_tails"](np.random.default_rng(0), 6, 1)[2].above)


@pytest.mark.parametrize("noise", ["normal", "t3", "lognormal"])
def test_noise_has_mean_0_and_variance_1(noise: str) -> None:
    _, metrics, _ = simulate(
        np.random.default_rng(1), 200_000, 1, 0.0, configuration=(1, 1), trial=(0, 0), noise=noise
    )
    assert metrics[OUTCOME].mean() == pytest.approx(0, abs=0.03)
    assert metrics[OUTCOME].std() == pytest.approx(1, abs=0.15 if noise == "t3" else 0.05)


def test_confounding_is_where_the_models_say_it_is() -> None:
    truths: dict[str, Truth] = {
        name: model(np.random.default_rng(0), 6, 1)[2] for name, model in MODELS.items()
    }
    assert truths["observed_confounding"].pooled > 2 * truths["observed_confounding"].effect
    assert truths["simpson_reversal"].pooled > 0 > truths["simpson_reversal"].within["activation"]
    assert truths["no_effect"].pooled == truths["no_effect"].adjusted == 0
    assert truths["hidden_confounder"].adjusted > 0.05 > truths["hidden_confounder"].effect
    for name in ("observed_confounding", "heavy_tails", "few_seeds", "simpson_reversal"):
        assert truths[name].adjusted == truths[name].effect


def test_environments_share_configurations_and_differ_by_their_shift() -> None:
    trials, metrics, _ = simulate(
        np.random.default_rng(2), 2000, 1, environments=2, environment_shift=(10.0, -3.0)
    )
    means = trials.merge(metrics, on="trial_id").groupby("env")[[MEASURE, OUTCOME]].mean()
    assert means[MEASURE].diff().iloc[1] == pytest.approx(10, abs=0.5)
    assert means[OUTCOME].diff().iloc[1] == pytest.approx(-3 + 10 * 0.05, abs=0.1)
    assert trials.groupby("weight_decay")["env"].nunique().eq(2).all()
