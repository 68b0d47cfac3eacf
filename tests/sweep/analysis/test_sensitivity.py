"""Robustness values and E-values against published worked examples, and against regressions with the confounder in."""

import numpy as np
import pytest
import statsmodels.api as sm

from sweep.analysis.confounding.sensitivity import (
    Confounder,
    Fit,
    adjusted,
    as_strong_as,
    e_value,
    e_values_of_difference,
    partial_r2,
    robustness_value,
)

# Cinelli & Hazlett (2020), section 5: being directly harmed in Darfur on attitudes to peace. Numbers to all digits
# from the tests of their package sensemakr (tests/testthat/test-02-darfur.R).
DARFUR = Fit(estimate=0.09731582, error=0.02325654, freedom=783)


def test_the_published_robustness_values_of_darfur() -> None:
    assert DARFUR.estimate / DARFUR.error == pytest.approx(4.18445, abs=1e-5)
    assert partial_r2(DARFUR) == pytest.approx(0.02187309, abs=1e-7)
    assert robustness_value(DARFUR) == pytest.approx(0.138776, abs=1e-5)
    assert robustness_value(DARFUR, 0.95) == pytest.approx(0.07625797, abs=1e-6)


def test_the_published_bounds_of_a_confounder_once_twice_and_thrice_as_strong_as_gender() -> None:
    # What gender explains, such that once its strength is what was published.
    measure = 0.00916428667504862 / 1.00916428667504862
    shared = measure**2 / (1 - measure) ** 2
    own = 0.12464092303637 * (1 - shared) / (1 + np.sqrt(shared)) ** 2
    female = Confounder(measure, own / (1 + own))
    published = {
        1: (0.00916428667504862, 0.12464092303637, 0.0752202698486415, 0.0322829603, 0.1181575794),
        2: (0.0183285733500972, 0.249324064199975, 0.0529151689180575, 0.0129680276, 0.0928623102),
        3: (0.0274928600251459, 0.374050471038094, 0.0303960178770157, -0.0062532913, 0.0670453271),
    }
    for times, (with_measure, with_outcome, *expected) in published.items():
        bound = as_strong_as(female, times)
        assert bound is not None
        assert bound.measure == pytest.approx(with_measure, abs=1e-12)
        assert bound.outcome == pytest.approx(with_outcome, abs=1e-9)
        # sensemakr takes Student's t of 783 degrees of freedom; with the confounder in there are 782.
        assert adjusted(DARFUR, bound, 0.95) == pytest.approx(expected, abs=2e-7)


def test_a_confounder_of_the_robustness_value_takes_the_estimate_to_zero() -> None:
    value = robustness_value(DARFUR)
    assert adjusted(DARFUR, Confounder(value, value), 0.95)[0] == pytest.approx(0, abs=1e-12)
    half = robustness_value(DARFUR, share=0.5)
    assert adjusted(DARFUR, Confounder(half, half), 0.95)[0] == pytest.approx(DARFUR.estimate / 2)
    assert adjusted(DARFUR, Confounder(partial_r2(DARFUR), 1.0), 0.95)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("inflation", [1.0, 2.0])
def test_a_confounder_of_the_robustness_value_of_a_level_takes_the_bound_to_zero(inflation: float) -> None:
    fit = Fit(0.5, 0.08, 200, inflation, 19)
    value = robustness_value(fit, 0.95)
    assert 0 < value < robustness_value(fit)
    assert adjusted(fit, Confounder(value, value), 0.95)[1] == pytest.approx(0, abs=1e-9)
    assert robustness_value(Fit(0.1, 0.08, 200, inflation, 19), 0.95) == 0


def test_a_very_strong_association_has_a_robustness_value_below_1() -> None:
    strong = Fit(10.0, 0.5, 12)
    value = robustness_value(strong, 0.95)
    assert 0.9 < value < 1
    # No confounder of this share of the measure, however much of the outcome it explains, brings the bound to zero.
    lows = [adjusted(strong, Confounder(value - 1e-6, r), 0.95)[1] for r in np.linspace(0, value, 200)]
    assert min(lows) > 0
    lows = [adjusted(strong, Confounder(value + 1e-6, r), 0.95)[1] for r in np.linspace(0, value, 2000)]
    assert min(lows) < 0


def test_the_adjusted_estimate_is_that_of_the_regression_with_the_confounder() -> None:
    rng = np.random.default_rng(0)
    unseen, seen = rng.normal(size=(2, 300))
    measure = 0.6 * unseen + 0.3 * seen + rng.normal(size=300)
    outcome = 0.4 * measure + 0.5 * unseen + 0.2 * seen + rng.normal(size=300)
    without = sm.OLS(outcome, sm.add_constant(np.column_stack([measure, seen]))).fit()
    beside = sm.OLS(outcome, sm.add_constant(np.column_stack([measure, seen, unseen]))).fit()
    of_measure = sm.OLS(measure, sm.add_constant(np.column_stack([seen, unseen]))).fit()
    strength = Confounder(
        of_measure.tvalues[-1] ** 2 / (of_measure.tvalues[-1] ** 2 + of_measure.df_resid),
        beside.tvalues[-1] ** 2 / (beside.tvalues[-1] ** 2 + beside.df_resid),
    )
    fit = Fit(without.params[1], without.bse[1], without.df_resid)
    assert adjusted(fit, strength, 0.9) == pytest.approx((beside.params[1], *beside.conf_int(0.1)[1]))


def test_nothing_can_be_so_strong_as_to_explain_more_than_there_is() -> None:
    assert as_strong_as(Confounder(0.4, 0.1), 2) is None
    bound = as_strong_as(Confounder(0.1, 0.6), 3)
    assert bound is not None
    assert bound.outcome == 1.0


def test_what_explains_all_or_nothing_is_no_division_by_zero() -> None:
    assert as_strong_as(Confounder(1.0, 0.5), 1) is None
    assert as_strong_as(Confounder(0.1, 1.0), 1) == Confounder(pytest.approx(0.1 / 0.9), 1.0)
    assert as_strong_as(Confounder(0.0, 0.0), 5) == Confounder(0.0, 0.0)


def test_published_e_values() -> None:
    # VanderWeele & Ding (2017): smoking and lung cancer, 10.73 (8.02 to 14.36); leukaemia, 0.80 (0.71 to 0.91).
    assert e_value(10.73) == pytest.approx(20.94777, abs=1e-5)
    assert e_value(8.02) == pytest.approx(15.52336, abs=1e-5)
    assert e_value(0.80) == pytest.approx(1.81, abs=5e-3)
    assert e_value(0.91) == pytest.approx(1.43, abs=5e-3)
    assert e_value(1.0) == 1.0


def test_e_values_of_a_difference_do_not_depend_on_its_sign_and_are_1_where_the_interval_holds_zero() -> None:
    up, down = e_values_of_difference(0.5, 0.2, 0.8), e_values_of_difference(-0.5, -0.8, -0.2)
    assert up == pytest.approx(down)
    ratio = np.exp(0.91 * 0.5)
    assert up[0] == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)))
    assert up[1] == pytest.approx(e_value(float(np.exp(0.91 * 0.2))))
    assert e_values_of_difference(0.5, -0.1, 1.1)[1] == 1.0
