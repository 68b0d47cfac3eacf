"""Pooled against within groups: on sweeps with known slopes, and against statsmodels."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.multivariate import test_mvmean as mvmean
from statsmodels.stats.oneway import anova_oneway
from structural_models import (
    MEASURE,
    MODELS,
    OUTCOME,
    no_effect,
    observed_confounding,
    simpson_reversal,
    simulate,
)

from sweep.analysis.confounding.agreement import compare
from sweep.analysis.confounding.simpson import SIMPSON_COLUMNS, simpson
from sweep.analysis.confounding.within_groups import hotelling, welch
from sweep.analysis.frames import AnalysisError
from sweep.analysis.intervals import NO_INTERVAL, Interval

Table = Callable[..., pd.DataFrame]


def _row(table: pd.DataFrame, group: str, env: str = "bsuite/catch/0") -> pd.Series:
    return table[(table["group"] == group) & (table["env"] == env)].iloc[0]


def test_a_reversal_is_found_where_it_is_and_nowhere_else() -> None:
    trials, metrics, truth = simpson_reversal(np.random.default_rng(0), 60, 4)
    table = simpson(trials, metrics)
    assert tuple(table.columns[:2]) == ("env", "space")
    assert set(SIMPSON_COLUMNS) <= set(table.columns)
    verdicts = table.set_index("group")["verdict"].to_dict()
    assert verdicts.pop("activation") == "reverses"
    assert verdicts == dict.fromkeys(("learning_rate", "batch_size", "weight_decay"), "agrees")
    row = _row(table, "activation")
    assert row["within_slope_low"] < truth.within["activation"] * row["measure_sd"] < row["within_slope_high"]
    assert row["pooled_slope_low"] < truth.pooled * row["measure_sd"] < row["pooled_slope_high"]
    assert (row["flip_share"], row["share_opposed"], row["n_opposed"], row["n_tested"]) == (1.0, 1.0, 2, 2)
    assert row["within_spearman"] < 0 < row["pooled_spearman"]
    assert row["kind"] == "associational"


def test_an_association_that_a_hyperparameter_makes_vanishes_only_when_too_little_is_declared() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(1), 100, 4, 0.0)
    assert _row(simpson(trials, metrics), "learning_rate")["verdict"] == "shrinks"
    declared = simpson(trials, metrics, sesoi=0.3, unit="sd")
    assert _row(declared, "learning_rate")["verdict"] == "vanishes"
    assert _row(declared, "activation")["verdict"] == "agrees"
    assert _row(simpson(trials, metrics, sesoi=0.01), "learning_rate")["verdict"] == "shrinks"


def test_slopes_are_those_of_statsmodels_per_standard_deviation() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(2), 30, 3)
    data = trials.merge(metrics, on="trial_id")
    row = _row(simpson(trials, metrics), "learning_rate")
    sd = data[MEASURE].std()
    pooled = smf.ols(f"{OUTCOME} ~ {MEASURE}", data).fit().params[MEASURE]
    within = smf.ols(f"{OUTCOME} ~ {MEASURE} + C(learning_rate)", data).fit().params[MEASURE]
    assert row["measure_sd"] == pytest.approx(sd)
    assert (row["pooled_slope"], row["within_slope"]) == pytest.approx((pooled * sd, within * sd))
    assert row["difference"] == pytest.approx((pooled - within) * sd)
    assert row["smallest_group"] == data["learning_rate"].value_counts().min()


def test_nothing_to_find_gives_no_verdict_but_cannot_tell_and_rarely_a_small_p() -> None:
    words, interactions, differences = [], [], []
    for seed in range(60):
        trials, metrics, _ = no_effect(np.random.default_rng(seed), 30, 2)
        table = simpson(trials, metrics, groups=["activation", "learning_rate"], draws=100)
        words += table["verdict"].tolist()
        interactions += table["interaction_p"].dropna().tolist()
        differences += table["difference_p_holm"].tolist()
    # 5 % of 120: three standard errors are 6 points.
    assert np.mean([word in ("reverses", "vanishes") for word in words]) == 0
    assert np.mean(np.array(interactions) < 0.05) < 0.11
    assert np.mean(np.array(differences) < 0.05) < 0.11


def test_slopes_that_differ_between_groups_are_found() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(3), 60, 3, 0.0)
    steep = (trials["activation"] == "tanh").to_numpy()
    metrics[OUTCOME] += np.where(steep, 0.4, -0.1) * (metrics[MEASURE] - metrics[MEASURE].mean())
    table = simpson(trials, metrics)
    row = _row(table, "activation")
    assert row["interaction_p_holm"] < 0.001
    assert row["share_opposed"] == 0.5
    assert _row(table, "batch_size")["interaction_p"] > 0.05


def test_environments_together_have_the_paradox_of_their_own() -> None:
    trials, metrics, _ = simulate(
        np.random.default_rng(0), 40, 2, 0.2, environments=3, environment_shift=(20.0, -12.0)
    )
    table = simpson(trials, metrics)
    row = _row(table, "env", "all")
    assert row["verdict"] == "reverses"
    assert row["outcome_scale"] == "own units"
    assert row["n_configurations"] == 40
    within = _row(table, "activation", "all")
    assert within["outcome_scale"] == "standard deviations within its environment"
    assert within["pooled_slope"] == pytest.approx(within["pooled_spearman"], abs=0.1)
    assert simpson(trials, metrics, within=["env"])["env"].nunique() == 3


def test_the_same_call_gives_the_same_numbers_whatever_the_order_of_rows() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(4), 20, 2)
    pd.testing.assert_frame_equal(
        simpson(trials, metrics), simpson(trials.sample(frac=1, random_state=0), metrics), rtol=1e-9
    )


def test_a_design_with_one_configuration_a_learning_rate_compares_seeds_and_says_so(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(list(np.geomspace(1e-4, 1e-2, 8)), 5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    metrics = metrics_table(trials, {MEASURE: x, OUTCOME: x + rng.normal(size=40)})
    row = simpson(trials, metrics).iloc[0]
    assert row["verdict"] == "agrees"
    assert (row["n_groups"], row["n_tested"]) == (8, 0)
    assert np.isnan(row["interaction_p"])
    assert "0 of 8 groups have 3 configurations or more; few configurations (8)" in row["note"]


def test_one_trial_a_value_is_refused_within_and_not_pooled(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(list(np.geomspace(1e-4, 1e-2, 8)), 1)
    rng = np.random.default_rng(0)
    row = simpson(
        trials, metrics_table(trials, {MEASURE: rng.normal(size=8), OUTCOME: rng.normal(size=8)})
    ).iloc[0]
    assert row["note"].startswith("refused: each of the 8 values of learning_rate has one trial")
    assert row["verdict"] == "cannot tell"
    assert np.isfinite(row["pooled_slope_low"])
    assert np.isnan(row[["within_slope", "difference", "flip_share"]].astype(float)).all()


def test_refusals_of_samples_and_of_what_does_not_vary() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(5), 20, 2)
    pruned = simpson(trials.assign(scheduler="asha"), metrics)
    assert len(pruned) == 1
    assert pruned["note"].iloc[0].startswith("refused: 40 trials ran under early stopping")
    assert np.isnan(pruned["pooled_slope"].iloc[0])
    same = simpson(trials.assign(batch_size=32), metrics, groups=["batch_size", "activation"])
    assert _row(same, "batch_size")["note"] == "refused: batch_size is the same in all 40 trials"
    assert _row(same, "activation")["verdict"] != "refused"


def test_an_environment_where_nothing_varies_is_left_out_and_named() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(6), 20, 2, environments=3)
    metrics.loc[(trials["env"] == "bsuite/catch/2").to_numpy(), OUTCOME] = 0.0
    row = _row(simpson(trials, metrics), "activation", "all")
    assert "left out, as srank or return_mean does not vary there: bsuite/catch/2" in row["note"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"groups": ["flavour"]}, "no column 'flavour'"),
        ({"draws": 10}, "at least 100"),
        ({"confidence": 1.5}, "between 0 and 1"),
        ({"sesoi": 0.0}, "sesoi=0.0: must be above 0"),
        ({"sesoi": 0.1, "unit": "percent"}, "unit=percent: must be outcome"),
    ],
)
def test_wrong_questions_name_what_is_allowed(options: dict[str, object], says: str) -> None:
    trials, metrics, _ = MODELS["no_effect"](np.random.default_rng(0), 10, 1)
    with pytest.raises(AnalysisError, match=says):
        simpson(trials, metrics, **options)  # type: ignore[arg-type]


UP, DOWN, ZERO = Interval(0.5, 1.5, 0.01), Interval(-1.5, -0.5, 0.01), Interval(-0.4, 0.6, 0.7)


@pytest.mark.parametrize(
    ("first", "second", "difference", "clear", "small", "word"),
    [
        (UP, UP, 0.1, False, (False, False), "agrees"),
        (UP, UP, -0.5, True, (False, False), "agrees"),  # clearly the larger
        (UP, UP, 0.5, True, (False, False), "shrinks"),
        (UP, ZERO, 0.9, True, (False, False), "shrinks"),
        (UP, ZERO, 0.9, False, (False, False), "cannot tell"),
        (UP, ZERO, 0.9, True, (False, True), "vanishes"),
        (UP, DOWN, 2.0, True, (False, False), "reverses"),
        (DOWN, UP, -2.0, True, (False, False), "reverses"),
        (DOWN, DOWN, -0.5, True, (False, False), "shrinks"),
        (ZERO, UP, -0.9, True, (False, False), "appears"),
        (ZERO, UP, -0.9, False, (False, False), "cannot tell"),
        (ZERO, ZERO, 0.0, False, (False, False), "cannot tell"),
        (ZERO, ZERO, 0.0, False, (True, True), "agrees"),
        (UP, NO_INTERVAL, np.nan, False, (False, False), "cannot tell"),
    ],
)
def test_words_say_what_the_intervals_do(
    first: Interval, second: Interval, difference: float, clear: bool, small: tuple[bool, bool], word: str
) -> None:
    found = compare(first, second, difference, clear, first_negligible=small[0], second_negligible=small[1])
    assert found == word


def test_equality_of_estimates_is_welchs_and_hotellings_test_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(i / 3, 1 + i, 6 + i) for i in range(4)]
    means, sizes = np.array([p.mean() for p in parts]), np.array([len(p) for p in parts])
    variances = np.array([p.var(ddof=1) for p in parts]) / sizes
    expected = anova_oneway(parts, use_var="unequal")
    assert welch(means, variances, sizes - 1.0) == pytest.approx((expected.statistic, expected.pvalue))
    data = rng.normal(0.3, 1, (15, 3))
    pieces = (data - data.mean(axis=0)).T / np.sqrt(15 * 14)
    expected = mvmean(data, np.zeros(3))
    assert hotelling(data.mean(axis=0), pieces) == pytest.approx((expected.statistic, expected.pvalue))
    assert np.isnan(hotelling(np.ones(3), pieces[:, :3])[1])
