"""Slopes beside all hyperparameters: against statsmodels, and right where a simulated sweep says they are."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from structural_models import MEASURE, MODELS, OUTCOME, Simulated, observed_confounding

from sweep.analysis.confounding.adjusted import adjusted, fit_of, strength
from sweep.analysis.confounding.clustered_slope import independent
from sweep.analysis.confounding.covariates import covariates
from sweep.analysis.confounding.sensitivity import partial_r2
from sweep.analysis.confounding.within_groups import Points


def _points(simulated: Simulated) -> Points:
    trials, metrics, _ = simulated
    frame = trials.merge(metrics, on="trial_id")
    frame["configuration"] = np.unique(frame["weight_decay"], return_inverse=True)[1]
    return Points.of(frame[MEASURE].to_numpy(), frame[OUTCOME].to_numpy(), frame, "own units")


def test_main_effects_and_seeds_are_those_of_a_formula_in_statsmodels() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(0), 40, 3)
    points = _points((trials, metrics, _))
    points = Points.of(
        points.frame[MEASURE].to_numpy(), points.frame[OUTCOME].to_numpy(), points.frame, "own units"
    )
    found = adjusted(points, covariates(points.frame.drop(columns="weight_decay")))
    assert found.slope is not None
    data = points.frame.assign(x=points.x, y=points.y)
    fit = smf.ols("y ~ x + C(learning_rate) + C(activation) + C(batch_size) + C(seed)", data).fit()
    assert found.slope.estimate == pytest.approx(fit.params["x"])
    assert found.slope.classical_error == pytest.approx(fit.bse["x"])
    assert found.slope.regressors == len(fit.params)
    assert "learning_rate (4 levels)" in found.words
    assert "seeds as a block (3): 8 coefficients beside the measure's, 40 configurations" in found.words
    crossed = adjusted(points, covariates(points.frame.drop(columns="weight_decay")), interactions=True)
    assert crossed.slope is not None
    fit = smf.ols("y ~ x + (C(learning_rate) + C(activation) + C(batch_size))**2 + C(seed)", data).fit()
    assert crossed.slope.estimate == pytest.approx(fit.params["x"])


def test_adjustment_mends_what_an_observed_hyperparameter_does_and_not_what_is_hidden() -> None:
    for name, right in (
        ("observed_confounding", True),
        ("simpson_reversal", True),
        ("hidden_confounder", False),
    ):
        simulated = MODELS[name](np.random.default_rng(2), 300, 4)
        points, truth = _points(simulated), simulated[2]
        slope = adjusted(points, covariates(points.frame)).slope
        assert slope is not None
        interval = slope.interval(0.99)
        assert interval.low < truth.adjusted * points.measure_sd < interval.high
        assert (interval.low < truth.effect * points.measure_sd < interval.high) == right


def test_a_number_of_many_values_bends_the_line_that_a_learning_rate_has() -> None:
    rng = np.random.default_rng(2)
    rate = 10 ** rng.uniform(-5, -1, 120)
    hump = -((np.log10(rate) + 3) ** 2)
    frame = pd.DataFrame({"configuration": range(120), "learning_rate": rate, "seed": 0})
    x, y = hump + rng.normal(size=120), hump + rng.normal(size=120)
    points = Points.of(x, y, frame, "")
    slope = adjusted(points, covariates(frame)).slope
    assert slope is not None
    assert covariates(frame).words == {"learning_rate": "a spline"}
    interval = slope.interval(0.95)
    assert interval.low < 0 < interval.high
    assert points.pooled is not None
    assert points.pooled.interval(0.95).low > 0.5


def test_fewer_configurations_take_plainer_forms() -> None:
    values = np.geomspace(1e-5, 1e-1, 9)
    frame = pd.DataFrame({"configuration": range(9), "learning_rate": values, "seed": 0})
    assert covariates(frame).words == {"learning_rate": "a line and a square"}  # 4 with the constant, of 9
    assert covariates(frame.iloc[:6]).words == {"learning_rate": "a line and a square"}
    two = frame.assign(batch_size=[2, 4, 8] * 3, discount=[0.9, 0.95, 0.99] * 3)
    assert set(covariates(two).words.values()) == {"a line"}


def test_seeds_that_configurations_do_not_share_are_no_block() -> None:
    frame = pd.DataFrame({"configuration": range(9), "activation": list("abc") * 3, "seed": range(9)})
    assert covariates(frame).seeds.shape == (9, 0)


def test_refusals_say_how_much_is_left() -> None:
    points = _points(observed_confounding(np.random.default_rng(3), 10, 1))
    found = adjusted(points, covariates(points.frame))
    assert found.refusal is None or "degrees of freedom are left" in found.refusal
    crossed = adjusted(points, covariates(points.frame), interactions=True)
    assert crossed.refusal is not None
    assert "coefficients, more than half of the 10 configurations" in crossed.refusal
    levels = points.frame.assign(activation=[f"a{i}" for i in range(10)])
    decided = adjusted(points, covariates(levels))
    assert decided.refusal == "refused: the hyperparameters decide the measure; nothing of it is left"
    fewer = points.frame.drop(columns="weight_decay").assign(activation=[f"a{min(i, 3)}" for i in range(10)])
    few = adjusted(points, covariates(fewer))
    assert few.refusal is not None
    assert "degrees of freedom are left beside the hyperparameters" in few.refusal
    alone = points.frame[["configuration", "seed"]]
    assert adjusted(points, covariates(alone)).refusal == "refused: no hyperparameter varies"
    one = adjusted(points, covariates(points.frame[["configuration", "activation"]]), interactions=True)
    assert one.refusal == "refused: one hyperparameter varies, which has nothing to interact with"


def test_a_fit_for_the_sensitivity_analysis_has_the_partial_r2_of_statsmodels() -> None:
    points = _points(observed_confounding(np.random.default_rng(4), 50, 2))
    given = covariates(points.frame)
    slope = adjusted(points, given).slope
    assert slope is not None
    whole = sm.OLS(points.y, np.column_stack([points.x, independent(given.main())])).fit()
    without = sm.OLS(points.y, independent(given.main())).fit()
    assert partial_r2(fit_of(slope)) == pytest.approx(1 - whole.ssr / without.ssr)
    assert fit_of(slope).error * fit_of(slope).inflation == pytest.approx(np.sqrt(slope.variance))
    found = strength(points, given, "learning_rate")
    fewer = sm.OLS(
        points.y, np.column_stack([points.x, independent(given.main(without="learning_rate"))])
    ).fit()
    assert found.outcome == pytest.approx(1 - whole.ssr / fewer.ssr)
    on_measure = [
        sm.OLS(points.x, independent(given.main(without=w))).fit().ssr for w in (None, "learning_rate")
    ]
    assert found.measure == pytest.approx(1 - on_measure[0] / on_measure[1])


def test_a_hyperparameter_that_does_nothing_explains_nothing_rather_than_less() -> None:
    rng = np.random.default_rng(5)
    half = np.tile([0, 1], 20)
    frame = pd.DataFrame(
        {"configuration": range(40), "activation": half, "batch_size": np.repeat([1, 2], 20)}
    )
    balanced = np.repeat(rng.normal(size=20), 2)  # the same at both levels: nothing is left to explain
    points = Points.of(balanced + 0.0 * half, np.roll(balanced, 4), frame, "")
    found = strength(points, covariates(frame), "activation")
    assert found.measure == pytest.approx(0, abs=1e-12)
    assert found.measure >= 0
    assert found.outcome >= 0
