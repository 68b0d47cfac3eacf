"""Bootstrap draws split at a quantile of their own, against numpy on the expanded draws, and how often that covers."""

from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis.intervals import cluster_draws
from sweep.analysis.thresholds.side_contrast import contrasts
from sweep.analysis.thresholds.split import Split

QUANTILES = (0.05, 0.25, 0.5, 0.55, 0.75, 0.95)


@pytest.mark.parametrize("size", [4, 41, 101, 201])
def test_thresholds_are_numpys_quantiles(size: int) -> None:
    x = np.random.default_rng(size).normal(size=size)
    split = Split.of(x, x, np.arange(size))
    for quantile in QUANTILES:
        assert split.threshold(quantile) == pytest.approx(np.quantile(x, quantile), rel=1e-12)


def test_a_quantile_that_is_a_trials_own_value_leaves_that_trial_below() -> None:
    # 0.55 * 100 rounds to a little more than 55.
    x = np.arange(101.0)
    split = Split.of(x, x, np.arange(101))
    assert split.threshold(0.55) == 55
    assert split.above(0.55).sum() == 45


@pytest.mark.parametrize("whole", [True, False])
def test_each_draw_is_split_at_its_own_quantile(whole: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, 40)
    x = np.round(x) if whole else x
    y = rng.normal(100, 1, 40)
    cluster = np.r_[np.arange(30) // 3, 10 + np.arange(10)]  # of three seeds and of one
    draws = cluster_draws(20, 60, rng)
    found = Split.of(x, y, cluster).differences(QUANTILES, draws)
    for row, counts in zip(found, draws, strict=True):
        times = counts[cluster].astype(int)
        xs, ys = np.repeat(x, times), np.repeat(y, times)
        for value, quantile in zip(row, QUANTILES, strict=True):
            above = xs > np.quantile(xs, quantile)
            expected = ys[above].mean() - ys[~above].mean() if above.any() else np.nan
            assert value == pytest.approx(expected, nan_ok=True)


def test_standard_error_of_a_threshold_that_no_draw_moves_is_cluster_robust_least_squares() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(80), 3)
    x = np.where(group < 48, 10.0, 50.0)  # whatever is drawn, the median is 10
    y = 0.5 * (x > 10) + rng.normal(size=80)[group] + rng.normal(size=240)
    (found,) = contrasts(Split.of(x, y, group), [0.5], cluster_draws(80, 4000, rng))
    fit = sm.OLS(y, sm.add_constant((x > 10).astype(float))).fit(
        cov_type="cluster-crv3", cov_kwds={"groups": group}, use_t=True
    )
    assert found.estimate == pytest.approx(fit.params[1])
    assert found.error == pytest.approx(fit.bse[1], rel=0.05)
    assert (found.trials, found.configurations) == ((96, 144), (32, 48))
    means = y.reshape(80, 3).mean(axis=1)
    welch = stats.ttest_ind(means[48:], means[:48], equal_var=False)
    assert found.freedom == pytest.approx(welch.df, rel=0.01)  # scipy's variances are less one configuration
    low, high = welch.confidence_interval(0.95)
    assert found.interval(0.95).high - found.interval(0.95).low == pytest.approx(high - low, rel=0.05)
    assert found.interval(0.95).p == pytest.approx(
        2 * stats.t.sf(abs(found.estimate) / found.error, found.freedom)
    )


REPETITIONS = 300
# Binomial noise of 300 repetitions at 95 %: three standard errors are 3.8 points.
BAND = (0.912, 0.988)


@pytest.mark.parametrize(
    ("configurations", "seeds", "share", "quantile"), [(16, 4, 0.7, 0.5), (60, 1, 1.0, 0.95)]
)
def test_a_95_percent_interval_covers_in_95_percent_of_sweeps(
    clustered: Callable[..., tuple[np.ndarray, np.ndarray]],
    configurations: int,
    seeds: int,
    share: float,
    quantile: float,
) -> None:
    rng = np.random.default_rng(configurations)
    xs, ys = clustered(rng, configurations, seeds, 0.6, share, REPETITIONS)
    # Of a normal pair: correlation x density at the threshold / (share above x share below).
    z = stats.norm.ppf(quantile)
    truth = 0.6 * share * stats.norm.pdf(z) / (quantile * (1 - quantile))
    cluster = np.repeat(np.arange(configurations), seeds)
    covered, naive = [], []
    for x, y in zip(xs, ys, strict=True):
        split = Split.of(x.ravel(), y.ravel(), cluster)
        (found,) = contrasts(split, [quantile], cluster_draws(configurations, 300, rng))
        bounds = found.interval(0.95)
        if not bounds.exists:
            continue
        covered.append(bounds.low <= truth <= bounds.high)
        above = split.above(quantile)
        welch = stats.ttest_ind(split.y[above], split.y[~above], equal_var=False)
        error = found.estimate / welch.statistic
        naive.append(abs(found.estimate - truth) <= stats.norm.ppf(0.95) * error)
    assert len(covered) > 0.9 * REPETITIONS
    assert BAND[0] <= np.mean(covered) <= BAND[1]
    # The paper's interval: trials as independent, and 1.645 standard errors for 95 %.
    assert np.mean(naive) < 0.85
