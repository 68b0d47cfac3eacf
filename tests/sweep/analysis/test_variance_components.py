"""Variances between and within configurations, against a textbook example, statsmodels and simulation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from factorial_sweeps import measured, signs, study, trials_of

from sweep.analysis import AnalysisError, variance_components
from sweep.analysis.planning.variance_components import components

RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


def test_components_of_a_balanced_table_are_those_of_one_way_anova_by_hand() -> None:
    """Davies (1967): yields of dyestuff, 6 batches of 5; Searle, Casella and McCulloch use it throughout."""
    yields = np.array(
        [
            [1545, 1440, 1440, 1520, 1580],
            [1540, 1555, 1490, 1560, 1495],
            [1595, 1550, 1605, 1510, 1560],
            [1445, 1440, 1595, 1465, 1545],
            [1595, 1630, 1515, 1635, 1625],
            [1520, 1455, 1450, 1480, 1445],
        ],
        dtype=float,
    )
    found = components(yields.ravel(), np.repeat(np.arange(6), 5), np.ones((30, 1)), None)
    # The published mean squares are 11271.5 with 5 and 2451.25 with 24 degrees of freedom.
    assert found.within == pytest.approx(2451.25)
    assert found.between == pytest.approx((11271.5 - 2451.25) / 5)
    assert found.freedom == (5, 24)
    assert found.repeats == pytest.approx(5)
    assert found.share == pytest.approx(1764.05 / (1764.05 + 2451.25))


def test_missing_seeds_are_weighed_as_the_expected_mean_squares_say() -> None:
    """Unbalanced, without seed blocks: n0 = (N - sum of n squared / N) / (groups - 1)."""
    sizes = [1, 2, 5, 5, 3]
    cluster = np.repeat(np.arange(5), sizes)
    y = np.random.default_rng(0).normal(size=16) + np.arange(5.0)[cluster]
    found = components(y, cluster, np.ones((16, 1)), None)
    n0 = (16 - sum(n * n for n in sizes) / 16) / 4
    means = pd.Series(y).groupby(cluster).mean().to_numpy()
    ms_between = sum(n * (m - y.mean()) ** 2 for n, m in zip(sizes, means, strict=True)) / 4
    ms_within = ((y - means[cluster]) ** 2).sum() / 11
    assert found.repeats == pytest.approx(n0)
    assert found.within == pytest.approx(ms_within)
    assert found.between == pytest.approx(max(0, (ms_between - ms_within) / n0))


def test_a_table_agrees_with_restricted_maximum_likelihood() -> None:
    """Balanced and positive, both are the same estimates; seeds are a fixed effect."""
    trials = trials_of(study({"learning_rate": RATES}, 5, design={"kind": "grid"}))
    rng = np.random.default_rng(1)
    y = 3 * rng.normal(size=6).repeat(5) + rng.normal(size=30) + 10.0 * trials["seed"].to_numpy()
    row = variance_components(trials, measured(trials, srank=y), ["srank"]).iloc[0]
    data = pd.DataFrame({"y": y, "seed": trials["seed"], "rate": trials["learning_rate"]})
    fit = smf.mixedlm("y ~ C(seed)", data, groups="rate").fit(reml=True)
    assert row["sd_within"] == pytest.approx(np.sqrt(fit.scale), rel=1e-3)
    assert row["sd_between"] == pytest.approx(np.sqrt(float(fit.cov_re.iloc[0, 0])), rel=1e-3)
    assert row["mean"] == pytest.approx(y.mean())
    assert "about 5 seeds a configuration: so few mislead" in row["note"]


@pytest.mark.parametrize(("configurations", "seeds", "sd"), [(12, 5, 1.0), (8, 3, 0.3)])
def test_an_upper_bound_is_above_the_truth_in_80_percent_of_pilots(
    configurations: int, seeds: int, sd: float
) -> None:
    rng = np.random.default_rng(configurations)
    cluster = np.repeat(np.arange(configurations), seeds)
    seed = np.tile(np.arange(seeds), configurations)
    above = np.zeros(3)
    for _ in range(600):
        y = sd * rng.normal(size=configurations)[cluster] + rng.normal(size=len(cluster))
        found = components(y, cluster, np.ones((len(cluster), 1)), seed)
        above += [
            found.between_upper >= sd**2,
            found.within_upper >= 1,
            found.share_upper >= sd**2 / (sd**2 + 1),
        ]
    # Three standard errors of 600 repetitions are 4.9 points.
    assert (np.abs(above / 600 - 0.8) < 0.05).all(), above / 600


def test_effects_of_factors_are_taken_out_of_what_a_factorials_error_is_made_of() -> None:
    trials = trials_of(study(seeds=3))
    rng = np.random.default_rng(2)
    coded = signs(trials)
    noise = rng.normal(size=16).repeat(3) + 0.5 * rng.normal(size=48)
    metrics = measured(trials, srank=20 * coded["activation"] - 10 * coded["learning_rate"] + noise)
    with_effects = variance_components(trials, metrics, ["srank"]).iloc[0]
    without = variance_components(trials, metrics, ["srank"], factorial=True).iloc[0]
    assert with_effects["sd_between"] > 20
    assert without["sd_between"] < 2
    assert without["sd_within"] == pytest.approx(with_effects["sd_within"])
    assert (without["freedom_between"], without["removed"]) == (11, "4 main effects, blocks: seed")


def test_one_seed_cannot_tell_and_all_counts_as_between() -> None:
    trials = trials_of(study({"learning_rate": RATES}, design={"kind": "grid"}))
    y = np.random.default_rng(3).normal(size=6)
    row = variance_components(trials, measured(trials, srank=y), ["srank"]).iloc[0]
    assert row["sd_between"] == pytest.approx(y.std(ddof=1))
    assert row["share_between"] == 1
    assert np.isnan(row["sd_within"])
    assert row["note"].startswith("one seed a configuration")


def test_a_pilot_that_cannot_say_is_refused() -> None:
    few = trials_of(study({"learning_rate": RATES[:4]}, 5, design={"kind": "grid"}))
    note = variance_components(few, measured(few, srank=np.arange(20.0)), ["srank"])["note"].iloc[0]
    assert note.startswith("refused: 4 configurations with srank, at least 5 are needed")
    star = trials_of(study(seeds=2, design={"kind": "one_at_a_time"}))
    y = np.random.default_rng(4).normal(size=len(star))
    note = variance_components(star, measured(star, srank=y), ["srank"], factorial=True)["note"].iloc[0]
    assert "the design has as many coefficients" in note
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        variance_components(star, measured(star, srank=y), ["srank"], confidence=80)
