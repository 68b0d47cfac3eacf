"""Power by simulation, against closed forms and statsmodels where trials are independent."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factorial_sweeps import study
from scipy import stats
from statsmodels.stats.power import FTestAnovaPower, TTestPower

from sweep.analysis import AnalysisError, paired_difference
from sweep.analysis.association import Pair
from sweep.analysis.intervals import cluster_draws, correlation_interval
from sweep.analysis.planning.pilot import read_pilot
from sweep.analysis.planning.power import (
    Claim,
    correlation_p,
    correlation_power,
    difference_power,
    main_effect_power,
    simulate_pairs,
    two_level_design,
)
from sweep.analysis.planning.power_plan import Size, Spread, plan_power, study_size

OPTIONS: dict[str, Any] = {"alpha": 0.05, "draws": 2000}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("size", "n"), [(0.3, 40), (0.3, 100), (-0.6, 25)])
def test_a_correlation_of_independent_trials_has_the_power_of_fishers_z(size: float, n: int) -> None:
    found = correlation_power(size, n, 1, (1.0, 1.0), rng=rng(), **OPTIONS)
    z = math.atanh(size) * math.sqrt(n - 3)
    expected = stats.norm.sf(1.959964 - z) + stats.norm.cdf(-1.959964 - z)
    assert found.value == pytest.approx(expected, abs=3 * found.error + 0.02)


@pytest.mark.parametrize(("configurations", "seeds", "level"), [(12, 4, 0.07), (60, 1, 0.055)])
def test_without_an_effect_a_correlation_is_found_at_the_estimators_own_level(
    configurations: int, seeds: int, level: float
) -> None:
    """Nominally 5 %: the bootstrap of 12 configurations of 4 seeds has 7 %, and power is reported as it is."""
    found = correlation_power(1e-12, configurations, seeds, (0.7, 0.7), rng=rng(1), **OPTIONS)
    assert found.value == pytest.approx(level, abs=0.015)


def test_p_values_are_those_of_the_tables_own_estimator() -> None:
    """One sweep at a time through `Pair`, whose bootstrap has draws of its own."""
    found = correlation_p(0.4, 20, 3, (0.6, 0.8), 40, rng(2))
    # The simulation draws its configurations first, then its sweeps.
    again = rng(2)
    weights = cluster_draws(20, 300, again)
    x, y = simulate_pairs(0.4, 20, 3, (0.6, 0.8), 40, again)
    for i in range(40):
        pair = Pair.of(x[i].ravel(), y[i].ravel(), np.repeat(np.arange(20), 3))
        estimate = float(pair.pearson(np.ones((1, 20)))[0])
        assert found[i] == pytest.approx(correlation_interval(estimate, pair.pearson(weights), 20, 0.95).p)


@pytest.mark.parametrize("size", [0.3, 0.8, -0.5])
def test_simulated_pairs_have_the_correlation_and_the_shares_that_were_asked_for(size: float) -> None:
    """0.8 is more than the configurations can hold of shares 0.5 and 0.7: the seeds hold the rest."""
    x, y = simulate_pairs(size, 2000, 5, (0.5, 0.7), 10, rng(3))
    assert np.corrcoef(x.ravel(), y.ravel())[0, 1] == pytest.approx(size, abs=0.02)
    assert x.var() == pytest.approx(1, abs=0.03)
    assert np.cov(x[..., 0].ravel(), x[..., 1].ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.cov(y[..., 0].ravel(), y[..., 1].ravel())[0, 1] == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("seeds", "spread"), [(1, (2.0, 0.0)), (1, (1.6, 1.2)), (4, (0.0, 4.0))])
def test_a_main_effect_has_the_power_of_the_f_test_of_a_balanced_design(
    seeds: int, spread: tuple[float, float]
) -> None:
    """64 configurations whose means have a standard deviation of 2, 4 factors and their 6 interactions."""
    found = main_effect_power(1.5, 4, 64, seeds, spread, rng=rng(4), **OPTIONS)
    # Cohen's f of two groups is half the difference in standard deviations; 64 - 11 degrees of freedom by noncentral F.
    noncentrality = 64 * (1.5 / 2 / 2) ** 2
    expected = stats.ncf.sf(stats.f.ppf(0.95, 1, 53), 1, 53, noncentrality)
    assert found.value == pytest.approx(expected, abs=3 * found.error + 0.005)
    # statsmodels spends two coefficients alone: 62 degrees of freedom.
    nearly = FTestAnovaPower().power(effect_size=1.5 / 2 / 2, nobs=64, alpha=0.05, k_groups=2)
    assert found.value == pytest.approx(nearly, abs=0.05)


@pytest.mark.parametrize("n", [5, 12, 30])
def test_a_paired_difference_has_the_power_of_statsmodels(n: int) -> None:
    found = difference_power(0.5, n, 0.7, alpha=0.05, draws=20_000, rng=rng(5))
    expected = TTestPower().power(effect_size=0.5 / (0.7 * math.sqrt(2)), nobs=n, alpha=0.05)
    assert found.value == pytest.approx(expected, abs=4 * found.error)


def test_a_paired_difference_is_tested_as_the_analysis_does() -> None:
    gaps = 0.5 + math.sqrt(2) * 0.7 * rng(6).standard_normal((50, 8))
    found = difference_power(0.5, 8, 0.7, alpha=0.05, draws=50, rng=rng(6))
    zero = pd.Series(0.0, index=range(8))
    excluded = [
        not bounds.low <= 0 <= bounds.high
        for bounds in (paired_difference(pd.Series(row, index=range(8)), zero) for row in gaps)
    ]
    assert found.value == pytest.approx(np.mean(excluded))
    assert difference_power(9.0, 1, 0.1, alpha=0.05, draws=100, rng=rng()).value == 0


def test_seeds_help_against_their_own_noise_and_not_against_that_of_configurations() -> None:
    few = main_effect_power(1.0, 3, 32, 1, (0.2, 2.0), rng=rng(7), **OPTIONS).value
    many = main_effect_power(1.0, 3, 32, 10, (0.2, 2.0), rng=rng(7), **OPTIONS).value
    assert many > few + 0.3
    few = main_effect_power(1.0, 3, 32, 1, (2.0, 0.2), rng=rng(7), **OPTIONS).value
    many = main_effect_power(1.0, 3, 32, 10, (2.0, 0.2), rng=rng(7), **OPTIONS).value
    assert many == pytest.approx(few, abs=0.02)


@pytest.mark.parametrize(("factors", "runs"), [(7, 8), (7, 16), (7, 128), (3, 32)])
def test_two_level_designs_are_orthogonal(factors: int, runs: int) -> None:
    signs = two_level_design(factors, runs)
    assert signs.T @ signs == pytest.approx(runs * np.eye(factors))
    assert signs.sum(axis=0) == pytest.approx(0)


@pytest.mark.parametrize("runs", [4, 7, 12])
def test_numbers_of_configurations_that_are_no_design_are_refused(runs: int) -> None:
    with pytest.raises(AnalysisError, match=f"{runs} configurations are no two-level design of 7 factors"):
        two_level_design(7, runs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.3", "must be correlation=R, main=EFFECT or difference=EFFECT"),
        ("slope=2", "must be correlation=R"),
        ("main=much", "must be correlation=R"),
        ("correlation=1.2", "between -1 and 1, and not 0"),
        ("difference=0", "other than 0"),
    ],
)
def test_a_claim_that_is_none_is_refused_with_what_is(text: str, says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        Claim.parse(text)


def test_the_size_of_a_study_comes_from_its_trials() -> None:
    claim = Claim("main", 5)
    assert study_size(study(seeds=3), None, claim) == Size("factorial", 16, 3, 4)
    axes = {
        "activation": ["relu", "tanh"],
        "learning_rate": [1e-4, 1e-3, 1e-2],
        "dataset": ["d0", "d1", "d2"],
    }
    grid = study(axes, 2, design={"kind": "grid"}, datasets=3)
    assert study_size(grid, None, claim) == Size("factorial", 18, 2, 1)
    assert study_size(grid, "factorial", Claim("correlation", 0.3)).configurations == 6
    with pytest.raises(AnalysisError, match="has the spaces factorial; name one"):
        study_size(grid, "broad", claim)
    rates = study({"learning_rate": [1e-4, 1e-3, 1e-2]}, design={"kind": "grid"})
    with pytest.raises(AnalysisError, match="no two-level factor in any space"):
        study_size(rates, None, claim)


def test_a_plan_is_around_the_study_and_finds_the_design_of_fewest_trials() -> None:
    spread, upper = Spread.declared(2, 1), Spread.declared(3, 1.5)
    plan = plan_power(Claim("main", 2), Size("s", 32, 2, 4), spread, upper, draws=500)
    assert sorted(set(plan.table["configurations"])) == [8, 16, 32, 64]
    assert sorted(set(plan.table["seeds"])) == [1, 2, 3, 5, 10]
    assert plan.table["study"].sum() == 1
    assert (plan.table["power_upper"] <= plan.table["power"]).all()
    by_size = plan.table.set_index(["configurations", "seeds"])["power"]
    assert by_size[64, 1] > by_size[32, 1] > by_size[16, 1]
    assert plan.smallest is not None
    assert plan.smallest_upper is not None
    enough = plan.table[plan.table["power"] >= 0.8]
    assert plan.smallest["trials"] == enough["trials"].min()
    assert float(str(plan.smallest_upper["trials"])) > float(str(plan.smallest["trials"]))


def test_the_smallest_number_of_configurations_is_that_of_fishers_z() -> None:
    plan = plan_power(Claim("correlation", 0.4), Size("s", 10, 1, 0), Spread.declared(1, 0), None, seeds=None)
    assert plan.smallest is not None
    z = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / math.atanh(0.4)
    assert plan.smallest["configurations"] == pytest.approx(z**2 + 3, abs=5)
    assert plan.smallest["seeds"] == 1
    assert plan.table["power_upper"].isna().all()
    assert plan.smallest_upper is None


def test_the_smallest_number_of_seeds_is_that_of_statsmodels() -> None:
    plan = plan_power(Claim("difference", 1), Size("s", 10, 5, 0), Spread.declared(0, 1), None, draws=4000)
    needed = math.ceil(TTestPower().solve_power(effect_size=1 / math.sqrt(2), alpha=0.05, power=0.8))
    assert plan.smallest is not None
    assert plan.smallest["seeds"] == pytest.approx(needed, abs=1)
    assert plan.smallest["trials"] == 2 * int(str(plan.smallest["seeds"]))


def test_numbers_that_were_asked_for_are_the_only_ones() -> None:
    plan = plan_power(
        Claim("correlation", 0.1),
        Size("s", 10, 1, 0),
        Spread.declared(1, 1),
        None,
        configurations=[6, 20],
        seeds=[2],
    )
    assert plan.table[["configurations", "seeds", "trials"]].to_numpy().tolist() == [[6, 2, 12], [20, 2, 40]]
    assert plan.smallest is None


@pytest.mark.parametrize(
    ("claim", "options", "says"),
    [
        ("main=1", {"alpha": 5}, "alpha=5: must lie between 0 and 1"),
        ("main=1", {"power": 80}, "power=80: must lie between 0 and 1"),
        ("main=1", {"draws": 10}, "at least 100 simulated sweeps"),
        ("main=1", {"configurations": [48]}, "48 configurations are no two-level design"),
        ("correlation=0.5", {"configurations": [4]}, "configurations=4: must be 5 or more"),
        ("correlation=0.5", {"seeds": [0]}, "seeds=0: must be 1 or more"),
        ("difference=1", {"seeds": [1, 5]}, "seeds=1, 5: must be 2 or more"),
        ("difference=1", {"configurations": [8]}, "a difference is between two arms"),
    ],
)
def test_plans_that_cannot_be_are_refused(claim: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        plan_power(Claim.parse(claim), Size("s", 16, 2, 4), Spread.declared(1, 1), None, **options)


@pytest.mark.parametrize(("between", "within"), [(0, 0), (-1, 1), (math.inf, 1)])
def test_a_spread_that_is_none_is_refused(between: float, within: float) -> None:
    with pytest.raises(AnalysisError, match="must be 0 or more and not both 0"):
        Spread.declared(between, within)


def pilot_table(**changes: Any) -> pd.DataFrame:
    rows = [
        {
            "env": env,
            "space": "small",
            "measure": measure,
            "sd_between": 2.0,
            "sd_between_upper": 3.0,
            "sd_within": within,
            "sd_within_upper": 2 * within,
            "share_between": 0.6,
            "share_between_upper": 0.8,
            "note": None,
        }
        for env, within in (("a", 1.0), ("b", 5.0))
        for measure in ("srank", "return_mean")
    ]
    return pd.DataFrame(rows).assign(**changes)


def test_the_noisiest_environment_of_a_pilot_is_taken_and_another_can_be_named() -> None:
    claim = Claim("difference", 1)
    pilot = read_pilot(pilot_table(), claim, "srank", "return_mean")
    assert (pilot.env, pilot.others, pilot.spread.within, pilot.upper.within) == ("b", 1, 5, 10)
    named = read_pilot(pilot_table(), claim, "srank", "return_mean", env="a", space="elsewhere")
    assert (named.env, named.others, named.spread.shares, named.upper.shares) == (
        "a",
        0,
        (0.6, 0.6),
        (0.8, 0.8),
    )
    with pytest.raises(AnalysisError, match="the pilot has a, b; name one"):
        read_pilot(pilot_table(), claim, "srank", "return_mean", env="c")


def test_a_pilot_of_one_seed_says_nothing_of_seeds() -> None:
    one = pilot_table(sd_within=np.nan, sd_within_upper=np.nan, share_between=1.0, share_between_upper=1.0)
    with pytest.raises(AnalysisError, match="one seed a configuration"):
        read_pilot(one, Claim("difference", 1), "srank", "return_mean")
    main = read_pilot(one, Claim("main", 1), "srank", "return_mean")
    assert (main.spread.between, main.spread.within) == (2, 0)
    refused = pilot_table(sd_between=np.nan, note="refused: 2 configurations")
    with pytest.raises(AnalysisError, match=r"refused: 2 configurations\. Give --sd-between"):
        read_pilot(refused, Claim("main", 1), "srank", "return_mean")
