from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from rliable import library, metrics
from scipy import stats

from sweep.analysis import AnalysisError, improvement
from sweep.analysis.performance.improvement import permutation_p, probability, score_interval
from sweep.analysis.performance.stratified import Runs

Table = Callable[..., pd.DataFrame]


def _runs(scores: np.ndarray) -> Runs:
    n, envs = scores.shape
    return Runs.of(scores.ravel(), np.tile(np.arange(envs), n), np.arange(n * envs))


def _probability(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = _runs(x), _runs(y)
    return probability(a, b, a.whole(), b.whole())[0]


@pytest.mark.parametrize("decimals", [8, 0])
def test_the_probability_is_that_of_rliable_ties_and_all(decimals: int) -> None:
    rng = np.random.default_rng(0)
    x, y = (np.round(rng.normal(size=(n, 4)), decimals) for n in (5, 7))
    assert _probability(x, y).mean() == pytest.approx(metrics.probability_of_improvement(x, y), abs=1e-12)


def test_percentile_intervals_are_those_of_rliable_up_to_the_noise_of_drawing() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.4, 1, (6, 5)), rng.normal(0, 1, (8, 5))
    np.random.seed(0)  # noqa: NPY002
    _, expected = library.get_interval_estimates(
        {"x": [x, y]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=400
    )
    a, b = _runs(x), _runs(y)
    drawn = probability(a, b, a.drawn(6000, rng, "percentile"), b.drawn(6000, rng, "percentile")).mean(axis=1)
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx(expected["x"][:, 0], abs=0.4 * drawn.std())


def test_the_interval_is_newcombes_where_one_kind_always_wins() -> None:
    """Solved by hand: (1 - θ)² = t² θ (1 - θ) / 25 (1 + 4 ((1 - θ)/(2 - θ) + θ/(1 + θ)))."""
    n = np.array([5])
    low, high = score_interval(np.array([1.0]), 0.0, n, n, 0.95)
    t = stats.t.ppf(0.975, 8)
    right = t**2 * low * (1 - low) / 25 * (1 + 4 * ((1 - low) / (2 - low) + low / (1 + low)))
    assert (1 - low) ** 2 == pytest.approx(right)
    assert high == 1.0
    assert score_interval(np.array([0.0]), 0.0, n, n, 0.95) == (0.0, pytest.approx(1 - low))


def test_the_p_value_is_that_of_the_exact_rank_sum_test() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(0.9, 1, (7, 1)), rng.normal(0, 1, (8, 1))
    exact = stats.mannwhitneyu(x[:, 0], y[:, 0], method="exact").pvalue
    assert permutation_p(_runs(x), _runs(y), 20_000, rng) == pytest.approx(exact, abs=0.01)


def test_the_interval_covers_with_few_runs_and_no_difference_is_seldom_found() -> None:
    rng = np.random.default_rng(3)
    covered = rejected = 0
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for _ in range(400):
        x, y = _runs(rng.normal(1, 1, (5, 3))), _runs(rng.normal(0, 1, (5, 3)))
        drawn = probability(x, y, x.drawn(200, rng, "t"), y.drawn(200, rng, "t")).mean(axis=1)
        estimate = probability(x, y, x.whole(), y.whole())[0]
        low, high = score_interval(estimate, drawn.var(ddof=1), x.units, y.units, 0.95)
        covered += low <= truth <= high
        same = _runs(rng.normal(0, 1, (5, 3)))
        rejected += permutation_p(same, y, 200, rng) <= 0.05
    assert covered / 400 >= 0.93
    assert rejected / 400 <= 0.08


def _sweep(trials_table: Table, gap: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = [
        trials_table([1e-3], 6, env=env, activations=("relu", "tanh", "elu"), prefix=env[-1])
        for env in ("fam/a", "fam/b")
    ]
    trials = pd.concat(parts, ignore_index=True)
    rng = np.random.default_rng(4)
    score = rng.normal(0, 1, len(trials)) + gap * (trials["activation"] == "relu")
    return trials, pd.DataFrame(
        {"trial_id": trials["trial_id"], "step": 1000, "return_normalized": score, "return_mean": score}
    )


def test_every_pair_of_kinds_is_a_row_with_corrected_p(trials_table: Table) -> None:
    trials, measured = _sweep(trials_table, 3.0)
    table = improvement(trials, measured, draws=400)
    assert list(zip(table["first"], table["second"], strict=True)) == [
        ("activation relu", "activation tanh"),
        ("activation relu", "activation elu"),
        ("activation tanh", "activation elu"),
    ]
    values = measured["return_normalized"].to_numpy().reshape(2, 3, 6)
    by_hand = np.mean([(values[e, 0][:, None] > values[e, 1]).mean() for e in range(2)])
    row = table.iloc[0]
    assert row["improvement"] == pytest.approx(by_hand)
    assert row["improvement_low"] > 0.5
    assert (row["kind"], row["n_first"], row["n_environments"], row["unit"]) == (
        "randomised",
        6 * 2,
        2,
        "seed",
    )
    assert (table["p_holm"] >= table["improvement_p"]).all()
    assert table["improvement_p"].iloc[0] < 0.01
    assert table["improvement_p"].iloc[2] > 0.05


def test_kinds_that_differ_in_something_else_too_are_associational(trials_table: Table) -> None:
    trials, measured = _sweep(trials_table)
    trials.loc[trials["activation"] == "relu", "learning_rate"] = 1e-2
    table = improvement(trials, measured, by=["activation"], draws=100)
    assert table["kind"].tolist() == ["associational", "associational", "randomised"]
    assert table["note"].iloc[0] == "the two differ in learning_rate too"


def test_only_environments_that_both_kinds_have_are_compared(trials_table: Table) -> None:
    trials, measured = _sweep(trials_table)
    keep = (trials["activation"] != "relu") | (trials["env"] == "fam/a")
    row = improvement(trials[keep], measured, draws=100).iloc[0]
    values = measured["return_normalized"].to_numpy().reshape(2, 3, 6)
    assert row["n_environments"] == 1
    assert row["improvement"] == pytest.approx((values[0, 0][:, None] > values[0, 1]).mean())
    apart = trials[keep & ((trials["activation"] == "relu") | (trials["env"] == "fam/b"))]
    refused = improvement(apart, measured, draws=100).iloc[0]
    assert refused["note"].startswith("refused: no environment has runs of both")
    assert np.isnan(refused["improvement"])


def test_a_refused_kind_refuses_its_pairs(trials_table: Table) -> None:
    trials, measured = _sweep(trials_table)
    trials.loc[(trials["activation"] == "relu") & (trials["seed"] > 0), "status"] = "failed"
    table = improvement(trials, measured, draws=100)
    assert table["improvement"].isna().tolist() == [True, True, False]
    assert table["note"].iloc[0].startswith("refused: 1 seed in fam/a")
    with pytest.raises(AnalysisError, match="draws=3"):
        improvement(trials, measured, draws=3)
