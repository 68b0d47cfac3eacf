import numpy as np
import pytest
from scipy import stats

from sweep.analysis.association import Pair


@pytest.fixture
def pair() -> Pair:
    rng = np.random.default_rng(1)
    cluster = rng.integers(0, 9, 60)
    x = np.round(rng.normal(cluster, 2.0))  # ties, as an effective rank has
    y = np.round(0.3 * x + rng.normal(size=60), 1)
    return Pair.of(x, y, cluster)


def test_whole_sample_agrees_with_scipy(pair: Pair) -> None:
    whole = np.ones((1, pair.clusters))
    assert pair.pearson(whole)[0] == pytest.approx(stats.pearsonr(pair.x, pair.y).statistic, abs=1e-12)
    assert pair.spearman(whole)[0] == pytest.approx(stats.spearmanr(pair.x, pair.y).statistic, abs=1e-12)
    line = stats.linregress(pair.x, pair.y)
    intercept, slope = pair.line(whole)
    assert (intercept[0], slope[0]) == pytest.approx((line.intercept, line.slope), abs=1e-12)


def test_every_draw_equals_scipy_on_the_trials_drawn(pair: Pair) -> None:
    draws = np.random.default_rng(2).multinomial(9, np.full(9, 1 / 9), 50).astype(float)
    pearson, spearman, (intercept, slope) = pair.pearson(draws), pair.spearman(draws), pair.line(draws)
    for d, counts in enumerate(draws):
        rows = np.repeat(np.arange(60), counts[pair.cluster].astype(int))
        x, y = pair.x[rows], pair.y[rows]
        assert pearson[d] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-10)
        assert spearman[d] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-10)
        line = stats.linregress(x, y)
        assert (intercept[d], slope[d]) == pytest.approx((line.intercept, line.slope), abs=1e-9)


def test_draws_in_chunks_are_the_draws_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), 41).astype(float)
    at_once = pair.spearman(draws)
    monkeypatch.setattr("sweep.analysis.association._CHUNK", 300)
    monkeypatch.setattr("sweep.analysis.association._FEWEST", 3)
    np.testing.assert_array_equal(pair.spearman(draws), at_once)


def test_a_draw_without_variation_has_no_correlation() -> None:
    pair = Pair.of([1.0, 1.0, 2.0, 3.0], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])
    only_first = np.array([[2.0, 0.0]])
    assert np.isnan(pair.pearson(only_first)[0])
    assert np.isnan(pair.spearman(only_first)[0])
    assert np.isnan(pair.line(only_first)[1][0])


def test_large_offsets_do_not_cancel() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=40), rng.normal(size=40)
    near, far = Pair.of(x, y, np.arange(40)), Pair.of(x + 1e9, y + 1e9, np.arange(40))
    whole = np.ones((1, 40))
    assert far.pearson(whole)[0] == pytest.approx(near.pearson(whole)[0], abs=1e-6)
