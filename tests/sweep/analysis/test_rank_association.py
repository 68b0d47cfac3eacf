"""Spearman's rho and its derivative: against scipy, finite differences and the bootstrap."""

import numpy as np
import pytest
from scipy import stats

from sweep.analysis.association import Pair
from sweep.analysis.confounding.rank_association import spearman, spearman_within
from sweep.analysis.intervals import cluster_draws, correlation_interval

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=40) * 2)  # ties, as an effective rank has
Y = np.round(X + 2 * RNG.normal(size=40))
GROUP = RNG.integers(3, size=40)


def test_rho_is_scipys() -> None:
    found = spearman(X, Y)
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(X, Y).statistic)
    assert found.influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("trial", [0, 5, 17])
def test_the_influence_of_a_trial_is_what_a_little_more_of_it_does(trial: int) -> None:
    copies = 2000
    more_x, more_y = np.r_[np.repeat(X, copies), X[trial]], np.r_[np.repeat(Y, copies), Y[trial]]
    found = spearman(X, Y)
    assert found is not None
    change = stats.spearmanr(more_x, more_y).statistic - found.rho
    assert found.influence[trial] == pytest.approx(change * copies, rel=2e-3, abs=1e-5)


def test_within_groups_it_is_the_mean_by_trials_and_so_is_its_influence() -> None:
    found = spearman_within(X, Y, GROUP)
    assert found is not None
    parts = [stats.spearmanr(X[g == GROUP], Y[g == GROUP]).statistic for g in range(3)]
    assert found.rho == pytest.approx(np.average(parts, weights=np.bincount(GROUP)))
    copies = 1000
    more = [np.r_[np.repeat(v, copies), v[3]] for v in (X, Y, GROUP)]
    change = spearman_within(*more).rho - found.rho  # type: ignore[union-attr]
    assert found.influence[3] == pytest.approx(change * copies, rel=5e-3, abs=1e-5)


def test_the_interval_is_near_the_bootstraps() -> None:
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(40), 3)
    shared = rng.normal(size=(2, 40))[:, cluster]
    x, y = shared[0] + rng.normal(size=120), shared[0] + shared[1] + rng.normal(size=120)
    found = spearman(x, y)
    assert found is not None
    interval = found.interval(cluster, 0.95)
    drawn = Pair.of(x, y, cluster).spearman(cluster_draws(40, 2000, rng))
    bootstrap = correlation_interval(found.rho, drawn, 40, 0.95)
    assert (interval.low, interval.high) == pytest.approx((bootstrap.low, bootstrap.high), abs=0.02)


def test_groups_without_a_correlation_do_not_count() -> None:
    group = np.r_[np.zeros(20, int), np.ones(18, int), 2, 2]
    flat = np.where(group == 1, 5.0, X)
    found = spearman_within(flat, Y, group)
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(X[:20], Y[:20]).statistic)
    assert found.used.sum() == 20
    assert spearman_within(np.zeros(40), Y, group) is None


def test_a_perfect_order_and_two_clusters_have_no_interval() -> None:
    perfect = spearman(np.arange(9.0), np.arange(9.0))
    assert perfect is not None
    assert not perfect.interval(np.arange(9), 0.95).exists
    found = spearman(X, Y)
    assert found is not None
    assert not found.interval(np.arange(40) % 2, 0.95).exists
