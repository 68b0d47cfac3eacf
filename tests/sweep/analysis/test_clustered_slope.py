"""A coefficient beside others, with clustered errors: against statsmodels, and against the definition."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis.confounding.clustered_slope import Slope, difference, independent

RNG = np.random.default_rng(3)
CLUSTER = np.repeat(np.arange(9), 3)
LEVEL = RNG.integers(3, size=9)[CLUSTER]
X = RNG.normal(size=27) + LEVEL
Y = 0.5 * X + LEVEL + RNG.normal(size=9)[CLUSTER] + RNG.normal(size=27)
ONE = np.ones((27, 1))
LEVELS = (LEVEL[:, None] == np.arange(3)).astype(float)


def _slope(others: np.ndarray) -> Slope:
    slope = Slope.of(Y, X, others, CLUSTER)
    assert slope is not None
    return slope


def test_estimate_and_naive_interval_are_those_of_statsmodels() -> None:
    slope = _slope(np.hstack([ONE, LEVELS]))  # redundant: the levels sum to the constant
    fit = sm.OLS(Y, np.column_stack([X, LEVELS])).fit()
    assert slope.estimate == pytest.approx(fit.params[0])
    assert slope.regressors == 4
    assert slope.classical_error == pytest.approx(fit.bse[0])
    naive = slope.naive_interval(0.9)
    assert (naive.low, naive.high) == pytest.approx(fit.conf_int(0.1)[0])
    assert naive.p == pytest.approx(fit.pvalues[0])


def test_variance_and_freedom_of_a_difference_are_those_of_the_definition() -> None:
    pooled, within = _slope(ONE), _slope(LEVELS)
    estimate, interval = difference(pooled, within, 0.95)
    rows = []
    for g in range(9):
        row = np.zeros(27)
        for sign, slope in ((1, pooled), (-1, within)):
            x = slope.model.x
            maker = np.eye(27) - x @ np.linalg.inv(x.T @ x) @ x.T
            row += sign * maker @ (slope.contrast.adjusted * (g == CLUSTER))
        rows.append(row)
    form = np.array(rows) @ np.array(rows).T
    freedom = np.trace(form) ** 2 / np.trace(form @ form)
    error = np.sqrt(((np.array(rows) @ Y) ** 2).sum())
    assert estimate == pytest.approx(pooled.estimate - within.estimate)
    assert interval.high - estimate == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert interval.p == pytest.approx(2 * stats.t.sf(abs(estimate) / error, freedom))


def test_a_slope_less_itself_has_no_interval() -> None:
    estimate, interval = difference(_slope(ONE), _slope(ONE), 0.95)
    assert estimate == 0
    assert not interval.exists


def test_a_measure_that_the_other_regressors_decide_has_no_slope() -> None:
    assert Slope.of(Y, LEVEL.astype(float), LEVELS, CLUSTER) is None
    assert Slope.of(Y, np.ones(27), ONE, CLUSTER) is None


def test_a_perfect_fit_has_no_interval() -> None:
    slope = Slope.of(2 * X + 1, X, ONE, CLUSTER)
    assert slope is not None
    assert slope.estimate == pytest.approx(2)
    assert not slope.interval(0.95).exists


def test_independent_columns_span_what_was_given() -> None:
    basis = independent(np.hstack([ONE, LEVELS, 1e6 * LEVELS[:, :1], np.zeros((27, 1))]))
    assert basis.shape == (27, 3)
    assert basis.T @ basis == pytest.approx(np.eye(3))
    assert basis @ (basis.T @ LEVELS) == pytest.approx(LEVELS)
