"""Aggregates and their bootstrap against rliable, the authors' own library, and simulated coverage."""

from collections.abc import Callable

import numpy as np
import pytest
from rliable import library, metrics
from scipy import stats

from sweep.analysis import AnalysisError
from sweep.analysis.performance.stratified import (
    Runs,
    Statistic,
    bootstrap,
    check_kind,
    interquartile_mean,
    interval_of,
    mean,
    median,
    optimality_gap,
    share_above,
)

ORACLES: dict[str, tuple[Statistic, Callable[[np.ndarray], float]]] = {
    "iqm": (interquartile_mean, metrics.aggregate_iqm),
    "median": (median, metrics.aggregate_median),
    "mean": (mean, metrics.aggregate_mean),
    "gap": (optimality_gap(0.7), lambda scores: metrics.aggregate_optimality_gap(scores, 0.7)),
}


def _runs(scores: np.ndarray) -> Runs:
    """From a matrix as rliable's, ``[runs, environments]``; every run is a unit."""
    n, envs = scores.shape
    return Runs.of(scores.ravel(), np.tile(np.arange(envs), n), np.arange(n * envs))


@pytest.mark.parametrize("name", list(ORACLES))
@pytest.mark.parametrize("shape", [(5, 17), (3, 1), (2, 3), (7, 2), (1, 6)])
def test_aggregates_are_those_of_rliable(name: str, shape: tuple[int, int]) -> None:
    statistic, oracle = ORACLES[name]
    scores = np.random.default_rng(1).lognormal(size=shape)
    runs = _runs(scores)
    assert statistic(runs, runs.whole())[0] == pytest.approx(oracle(scores), abs=1e-12)


def test_percentile_intervals_are_those_of_rliable_up_to_the_noise_of_drawing() -> None:
    scores = np.random.default_rng(2).lognormal(size=(6, 5))
    # rliable draws from numpy's global state.
    np.random.seed(0)  # noqa: NPY002
    _, expected = library.get_interval_estimates(
        {"x": scores}, lambda x: np.array([oracle(x) for _, oracle in ORACLES.values()]), reps=3000
    )
    statistics = [statistic for statistic, _ in ORACLES.values()]
    runs = _runs(scores)
    drawn = bootstrap([runs], statistics, 8000, np.random.default_rng(3), "percentile")[0]
    for j, values in enumerate(drawn):
        found = interval_of(0.0, values, runs.freedom, 0.95, "percentile")
        # Three standard errors of a 2.5 % quantile of 3,000 normal draws are 0.15 of their spread.
        noise = 0.15 * values.std()
        assert (found.low, found.high) == pytest.approx(tuple(expected["x"][:, j]), abs=noise)


def test_profiles_are_those_of_rliable() -> None:
    scores = np.random.default_rng(4).normal(size=(5, 4))
    taus = np.linspace(-2, 2, 9)
    np.random.seed(0)  # noqa: NPY002
    expected, bands = library.create_performance_profile({"x": scores}, taus, reps=1000)
    runs, statistic = _runs(scores), share_above(taus)
    assert statistic(runs, runs.whole())[0] == pytest.approx(expected["x"], abs=1e-12)
    drawn = bootstrap([runs], [statistic], 4000, np.random.default_rng(5), "percentile")[0][0]
    found = np.quantile(drawn, [0.025, 0.975], axis=0)
    # Shares of 20 runs come in steps of 0.05: a quantile lies on one step or on its neighbour.
    assert np.abs(found - bands["x"]).max() <= 0.05 + 1e-12


def test_a_draw_is_a_sample_with_these_runs_repeated() -> None:
    scores = np.random.default_rng(6).normal(size=(4, 3))
    runs = _runs(scores)
    counts = np.array([[2, 0, 1, 1, 4, 0, 0, 0, 1, 1, 1, 1]], float)
    weights = runs.weights(counts)
    repeated = np.stack(
        [np.repeat(scores[:, e], counts[0, 4 * e : 4 * e + 4].astype(int)) for e in range(3)], 1
    )
    for statistic, oracle in ORACLES.values():
        assert statistic(runs, weights)[0] == pytest.approx(oracle(repeated), abs=1e-12)


def test_environments_count_equally_however_many_runs_they_have() -> None:
    runs = Runs.of([0.0, 0.0, 0.0, 0.0, 1.0, 1.0], list("aaaabb"), np.arange(6))
    assert mean(runs, runs.whole())[0] == pytest.approx(0.5)
    assert interquartile_mean(runs, runs.whole())[0] == pytest.approx(0.5)
    assert optimality_gap(1.0)(runs, runs.whole())[0] == pytest.approx(0.5)
    drawn = runs.drawn(100, np.random.default_rng(0), "t")
    assert (drawn[:, :4].sum(axis=1), drawn[:, 4:].sum(axis=1)) == (pytest.approx(3.0), pytest.approx(3.0))


def test_seeds_of_a_configuration_are_drawn_together() -> None:
    runs = Runs.of(np.arange(8.0), np.zeros(8), np.repeat([7, 3, 9, 5], 2))
    drawn = runs.drawn(50, np.random.default_rng(0), "percentile").reshape(50, 4, 2)
    assert (drawn[..., 0] == drawn[..., 1]).all()
    assert drawn.sum(axis=(1, 2)) == pytest.approx(8.0)
    assert drawn.std() > 0
    assert runs.units.tolist() == [4]


def test_the_draws_of_student_t_have_the_variance_of_a_mean() -> None:
    """Of n runs, plain draws have (n - 1) / n of it; n - 1 drawn units have all of it."""
    scores = np.random.default_rng(7).normal(size=(3, 2))
    runs = _runs(scores)
    expected = (scores.var(axis=0, ddof=1) / 3).sum() / 4
    of_t, plain = (
        bootstrap([runs], [mean], 40_000, np.random.default_rng(8), kind)[0][0].var()
        for kind in ("t", "percentile")
    )
    assert of_t == pytest.approx(expected, rel=0.03)
    assert plain == pytest.approx(expected * 2 / 3, rel=0.03)


def test_degrees_of_freedom_are_those_of_welch() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(0, 1, 4), rng.normal(0, 3, 7)
    runs = Runs.of(np.r_[a, b], np.repeat([0, 1], [4, 7]), np.arange(11))
    assert runs.freedom == pytest.approx(stats.ttest_ind(a, b, equal_var=False).df)
    assert np.isnan(Runs.of([1.0, 2.0, 3.0], [0, 0, 1], [0, 1, 2]).freedom)


def test_runs_that_agree_give_no_interval() -> None:
    interval = interval_of(1.0, np.full(200, 1.0), 4.0, 0.95, "t")
    assert not interval.exists


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(AnalysisError, match="interval=bca: must be t, which"):
        check_kind("bca")


def coverage(
    envs: int, seeds: int, repetitions: int, kind: str, rng: np.random.Generator, spread: float = 1.0
) -> float:
    """Share of simulated studies whose 95 % interval of the mean covers it; spreads differ ``spread``-fold."""
    deviations = np.geomspace(0.1, 0.1 * spread, envs)
    centres = rng.normal(0.5, 0.3, envs)
    hits = 0
    for _ in range(repetitions):
        runs = _runs(centres + deviations * rng.standard_normal((seeds, envs)))
        drawn = bootstrap([runs], [mean], 300, rng, kind)[0][0]  # type: ignore[arg-type]
        bounds = interval_of(mean(runs, runs.whole())[0], drawn, runs.freedom, 0.95, kind)  # type: ignore[arg-type]
        hits += bounds.low <= centres.mean() <= bounds.high
    return hits / repetitions


def test_student_t_holds_its_level_with_few_seeds_where_percentiles_do_not() -> None:
    rng = np.random.default_rng(10)
    assert 0.92 <= coverage(1, 3, 500, "t", rng) <= 0.98
    assert 0.92 <= coverage(5, 5, 500, "t", rng, spread=10) <= 0.985
    assert coverage(1, 3, 500, "percentile", rng) < 0.85
