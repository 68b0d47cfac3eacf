"""Do intervals hold their level on simulated sweeps whose correlation is known?"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sweep.analysis.association import Pair
from sweep.analysis.contrast import _difference
from sweep.analysis.intervals import cluster_draws, correlation_interval, mean_interval

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]

REPETITIONS = 400
# Binomial noise of 400 repetitions at 95 %: three standard errors are 3.3 points.
BAND = (0.915, 0.985)


@pytest.mark.parametrize(("configurations", "seeds"), [(6, 4), (12, 4), (60, 1)])
def test_a_95_percent_interval_covers_the_true_value_in_95_percent_of_sweeps(
    configurations: int, seeds: int, clustered: Simulate
) -> None:
    rng = np.random.default_rng(configurations)
    share = 0.7 if seeds > 1 else 1.0
    xs, ys = clustered(rng, configurations, seeds, 0.6, share, REPETITIONS)
    rho = 0.6 * share
    # For normal pairs Spearman's population value is a function of Pearson's.
    truth = {"pearson": rho, "spearman": 6 / np.pi * np.arcsin(rho / 2), "slope": rho}
    cluster = np.repeat(np.arange(configurations), seeds)
    whole = np.ones((1, configurations))
    hits = dict.fromkeys(truth, 0)
    for x, y in zip(xs, ys, strict=True):
        pair = Pair.of(x.ravel(), y.ravel(), cluster)
        draws = cluster_draws(configurations, 400, rng)
        found = {
            "pearson": correlation_interval(
                pair.pearson(whole)[0], pair.pearson(draws), configurations, 0.95
            ),
            "spearman": correlation_interval(
                pair.spearman(whole)[0], pair.spearman(draws), configurations, 0.95
            ),
            "slope": mean_interval(pair.line(whole)[1][0], pair.line(draws)[1], configurations, 0.95),
        }
        for name, interval in found.items():
            hits[name] += interval.low <= truth[name] <= interval.high
    for name, count in hits.items():
        assert BAND[0] <= count / REPETITIONS <= BAND[1], (name, count / REPETITIONS)


def test_seeds_as_independent_trials_would_undercover(clustered: Simulate) -> None:
    """The reason for clusters: the same interval over trials misses far too often."""
    rng = np.random.default_rng(5)
    xs, ys = clustered(rng, 6, 4, 0.0, 0.9, REPETITIONS)
    as_trials = as_configurations = 0
    for x, y in zip(xs, ys, strict=True):
        for cluster in (np.arange(24), np.repeat(np.arange(6), 4)):
            pair = Pair.of(x.ravel(), y.ravel(), cluster)
            draws = cluster_draws(pair.clusters, 300, rng)
            estimate = pair.pearson(np.ones((1, pair.clusters)))[0]
            interval = correlation_interval(estimate, pair.pearson(draws), pair.clusters, 0.95)
            covered = interval.low <= 0.0 <= interval.high
            as_trials += covered and pair.clusters == 24
            as_configurations += covered and pair.clusters == 6
    assert as_trials / REPETITIONS < 0.85
    assert BAND[0] <= as_configurations / REPETITIONS <= BAND[1]


def test_p_values_reject_no_association_in_5_percent_of_sweeps(clustered: Simulate) -> None:
    rng = np.random.default_rng(6)
    xs, ys = clustered(rng, 12, 4, 0.0, 0.7, REPETITIONS)
    cluster = np.repeat(np.arange(12), 4)
    rejected = 0
    for x, y in zip(xs, ys, strict=True):
        pair = Pair.of(x.ravel(), y.ravel(), cluster)
        draws = cluster_draws(12, 400, rng)
        p = correlation_interval(pair.spearman(np.ones((1, 12)))[0], pair.spearman(draws), 12, 0.95).p
        rejected += p < 0.05
    assert 0.02 <= rejected / REPETITIONS <= 0.085


def test_the_difference_between_two_spaces_is_covered(clustered: Simulate) -> None:
    rng = np.random.default_rng(7)
    narrow = clustered(rng, 8, 4, 0.8, 0.8, REPETITIONS)
    broad = clustered(rng, 80, 1, 0.2, 1.0, REPETITIONS)
    truth = 0.8 * 0.8 - 0.2
    hits = rejected = 0
    for i in range(REPETITIONS):
        rows = []
        for (xs, ys), clusters, seeds in ((narrow, 8, 4), (broad, 80, 1)):
            pair = Pair.of(xs[i].ravel(), ys[i].ravel(), np.repeat(np.arange(clusters), seeds))
            r = pair.pearson(np.ones((1, clusters)))[0]
            bounds = correlation_interval(r, pair.pearson(cluster_draws(clusters, 400, rng)), clusters, 0.95)
            rows.append(
                {
                    "pearson": r,
                    "pearson_low": bounds.low,
                    "pearson_high": bounds.high,
                    "n_configurations": clusters,
                    "confidence": 0.95,
                }
            )
        found = _difference(rows[0], rows[1], "pearson")
        hits += found["low"] <= truth <= found["high"]
        rejected += found["p"] < 0.05
    assert BAND[0] <= hits / REPETITIONS <= 0.99
    assert rejected / REPETITIONS > 0.3  # it has power where the spaces differ


def test_interval_is_t_times_the_bootstrap_error() -> None:
    rng = np.random.default_rng(8)
    drawn = rng.normal(2.0, 0.5, 20_000)
    interval = mean_interval(2.0, drawn, 7, 0.9)
    reach = stats.t.ppf(0.95, 6) * drawn.std(ddof=1)
    assert (interval.low, interval.high) == pytest.approx((2 - reach, 2 + reach))
    assert interval.p == pytest.approx(2 * stats.t.sf(2.0 / drawn.std(ddof=1), 6))


def test_draws_that_mostly_do_not_exist_give_no_interval() -> None:
    drawn = np.r_[np.full(90, np.nan), np.linspace(-0.1, 0.1, 910)]
    assert not mean_interval(0.0, drawn, 20, 0.95).exists
    assert mean_interval(0.0, drawn[50:], 20, 0.95).exists
