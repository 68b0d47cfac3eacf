"""Errors in clusters, against statsmodels, Welch, and the classical t of a balanced design."""

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis.interventions.least_squares import LeastSquares


def _sweep(seed: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    x = np.column_stack(
        [np.ones(len(cluster)), rng.normal(size=(len(cluster), 2)), rng.normal(size=len(sizes))[cluster]]
    )
    y = x @ [1.0, 2.0, 0.0, -1.0] + rng.normal(size=len(sizes))[cluster] + rng.normal(size=len(cluster))
    return x, y, cluster


def _unit(position: int, length: int) -> np.ndarray:
    return np.eye(length)[position]


def test_crv3_is_that_of_statsmodels() -> None:
    x, y, cluster = _sweep(0, [1, 3, 4, 4, 2, 5, 3, 3])
    squares = LeastSquares(x, cluster)
    fit = sm.OLS(y, x).fit(cov_type="cluster-crv3", cov_kwds={"groups": cluster}, use_t=True)
    assert squares.coefficients(y) == pytest.approx(fit.params, rel=1e-9)
    for k in range(4):
        contrast = squares.contrast(_unit(k, 4), power=1)
        assert squares.variance(contrast, y) == pytest.approx(fit.bse[k] ** 2, rel=1e-8)
        estimate, interval = squares.interval(contrast, y, 0.9)
        assert (interval.low, interval.high) == pytest.approx(fit.conf_int(0.1)[k], rel=1e-7)
        assert interval.p == pytest.approx(fit.pvalues[k], rel=1e-6)
        assert estimate == pytest.approx(fit.params[k])


@pytest.mark.parametrize(("power", "name"), [(0.5, "HC2"), (1, "HC3"), (0, "HC0")])
def test_trials_that_are_their_own_clusters_have_the_robust_errors_of_statsmodels(
    power: float, name: str
) -> None:
    x, y, _ = _sweep(1, [1] * 25)
    squares = LeastSquares(x, np.arange(25))
    fit = sm.OLS(y, x).fit(cov_type=name)
    # The jackknife's own factor, which HC3 leaves out.
    scale = 24 / 25 if power == 1 else 1
    for k in range(4):
        variance = squares.variance(squares.contrast(_unit(k, 4), power=power), y)
        assert variance == pytest.approx(scale * fit.bse[k] ** 2, rel=1e-8)


def test_crv2_is_its_definition_by_whole_matrices() -> None:
    """Bell and McCaffrey (2002), with the N x N matrices that the code does without."""
    x, y, cluster = _sweep(2, [2, 3, 3, 4, 4, 4])
    n, inverse = len(y), np.linalg.inv(x.T @ x)
    rest = np.eye(n) - x @ inverse @ x.T
    combination = np.array([0.0, 1.0, 0.0, 2.0])
    columns = []
    for g in range(6):
        members = np.flatnonzero(cluster == g)
        values, vectors = np.linalg.eigh(rest[np.ix_(members, members)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        columns.append(rest[:, members] @ root @ x[members] @ inverse @ combination)
    loading = np.column_stack(columns)
    across = loading.T @ loading
    squares = LeastSquares(x, cluster)
    contrast = squares.contrast(combination)
    assert squares.variance(contrast, y) == pytest.approx(((loading.T @ y) ** 2).sum(), rel=1e-9)
    assert contrast.freedom == pytest.approx(np.trace(across) ** 2 / np.trace(across @ across), rel=1e-9)


def test_two_groups_of_independent_trials_have_the_error_of_welch() -> None:
    rng = np.random.default_rng(3)
    y = np.r_[rng.normal(0, 1, 9), rng.normal(1, 4, 14)]
    treated = np.r_[np.zeros(9), np.ones(14)]
    squares = LeastSquares(np.column_stack([np.ones(23), treated]), np.arange(23))
    contrast = squares.contrast(np.array([0.0, 1.0]))
    welch = stats.ttest_ind(y[9:], y[:9], equal_var=False)
    assert contrast.weights @ y / np.sqrt(squares.variance(contrast, y)) == pytest.approx(welch.statistic)


def test_a_balanced_design_has_the_interval_of_classical_least_squares() -> None:
    """Four factors, one seed; and three seeds of each configuration, where its means are what counts."""
    cells = np.array(list(itertools.product((-1.0, 1.0), repeat=4)))
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(16), cells])
    y = cells @ [1, 0, -1, 0.5] + rng.normal(size=16)
    fit = sm.OLS(y, x).fit()
    squares = LeastSquares(x, np.arange(16))
    contrast = squares.contrast(_unit(1, 5))
    assert contrast.freedom == pytest.approx(fit.df_resid)
    interval = squares.interval(contrast, y, 0.95)[1]
    assert (interval.low, interval.high) == pytest.approx(fit.conf_int()[1])
    assert interval.p == pytest.approx(fit.pvalues[1])

    repeated = np.repeat(y, 3) + rng.normal(size=48)
    means = sm.OLS(repeated.reshape(16, 3).mean(axis=1), x).fit()
    squares = LeastSquares(np.repeat(x, 3, axis=0), np.repeat(np.arange(16), 3))
    contrast = squares.contrast(_unit(2, 5))
    interval = squares.interval(contrast, repeated, 0.95)[1]
    assert contrast.freedom == pytest.approx(11)
    assert (interval.low, interval.high) == pytest.approx(means.conf_int()[2])


def test_only_what_a_design_can_tell_apart_is_estimable() -> None:
    cells = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))
    x = np.column_stack([np.ones(4), cells, -cells[:, 0]])
    squares = LeastSquares(x, np.arange(4))
    assert squares.estimable(_unit(2, 4))
    assert not squares.estimable(_unit(1, 4))
    assert squares.estimable(np.array([0.0, 1.0, 0.0, -1.0]))
    y = np.array([0.0, 1.0, 5.0, 8.0])
    assert squares.contrast(_unit(2, 4)).weights @ y == pytest.approx(1.0)


def test_outcomes_go_through_together_as_they_do_alone() -> None:
    x, y, cluster = _sweep(5, [3] * 7)
    squares = LeastSquares(x, cluster)
    contrast = squares.contrast(_unit(1, 4))
    many = np.stack([y, 2 * y, y**2])
    together = squares.variance(contrast, many)
    assert together == pytest.approx([float(squares.variance(contrast, one)) for one in many])


def test_a_perfect_fit_or_no_residual_has_no_interval() -> None:
    cells = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))
    x = np.column_stack([np.ones(4), cells])
    perfect = LeastSquares(np.repeat(x, 2, axis=0), np.repeat(np.arange(4), 2))
    contrast = perfect.contrast(_unit(1, 3))
    assert not perfect.interval(contrast, np.repeat(x @ [1.0, 2.0, 3.0], 2), 0.95)[1].exists
    full = LeastSquares(np.column_stack([x, cells[:, 0] * cells[:, 1]]), np.arange(4))
    contrast = full.contrast(_unit(1, 4))
    assert not full.interval(contrast, np.array([1.0, 5.0, 2.0, 3.0]), 0.95)[1].exists
