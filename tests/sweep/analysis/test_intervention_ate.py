"""Main effects of a factorial, against statsmodels and effects that were put there."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from factorial_sweeps import AXES, measured, signs, study, trials_of
from scipy import stats

from sweep.analysis import AnalysisError, intervention_ate
from sweep.analysis.interventions.factorial import find_factors
from sweep.analysis.interventions.factorial_model import factorial_model
from sweep.analysis.samples import samples

EFFECTS = {"activation": 8.0, "learning_rate": -5.0, "target_update_period": 0.0, "sam_weight": 1.0}


def outcome(
    trials: pd.DataFrame, rng: np.random.Generator, between: float = 1.0, within: float = 1.0
) -> np.ndarray:
    coded = signs(trials)
    codes = pd.factorize(coded.astype(str).agg("".join, axis=1))[0]
    y = 20 + sum(coded[name] * effect / 2 for name, effect in EFFECTS.items())
    noise = rng.normal(0, between, codes.max() + 1)[codes] + rng.normal(0, within, len(trials))
    return np.asarray(y + noise + 0.5 * trials["seed"])


def by_factor(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("factor")


def test_effects_and_intervals_are_those_of_statsmodels() -> None:
    trials = trials_of(study(seeds=3))
    y = outcome(trials, np.random.default_rng(0))
    table = by_factor(intervention_ate(trials, measured(trials, srank=y), interactions=False))
    data = signs(trials).assign(y=y, seed=trials["seed"], cluster=np.arange(48) // 3)
    model = smf.ols("y ~ activation + learning_rate + target_update_period + sam_weight + C(seed)", data)
    plain, alone = model.fit(), model.fit(cov_type="HC3")
    # Balanced: the classical t of the configurations' means.
    means = data.groupby("cluster")[[*AXES, "y"]].mean()
    classical = smf.ols("y ~ activation + learning_rate + target_update_period + sam_weight", means).fit()
    for name in AXES:
        row = table.loc[name]
        assert row["effect"] == pytest.approx(2 * plain.params[name], rel=1e-9)
        assert [row["effect_low"], row["effect_high"]] == pytest.approx(
            2 * classical.conf_int().loc[name], rel=1e-9
        )
        assert row["effect_p"] == pytest.approx(classical.pvalues[name], rel=1e-7)
        assert row["freedom"] == pytest.approx(11)
        hc3 = 2 * alone.bse[name] * np.sqrt(47 / 48) * stats.t.ppf(0.975, 47)
        assert row["hc3_half_width"] == pytest.approx(hc3, rel=1e-8)
    assert (table.loc["activation", "control"], table.loc["activation", "treatment"]) == ("relu", "tanh")
    assert table["kind"].unique().tolist() == ["randomised"]


def test_the_plain_difference_is_welchs() -> None:
    trials = trials_of(study(seeds=2))
    y = outcome(trials, np.random.default_rng(1))
    row = by_factor(intervention_ate(trials, measured(trials, srank=y))).loc["learning_rate"]
    low, high = y[trials["learning_rate"] == 3e-4], y[trials["learning_rate"] == 3e-5]
    welch = stats.ttest_ind(high, low, equal_var=False)
    assert row["plain_effect"] == pytest.approx(high.mean() - low.mean())
    assert row["plain_half_width"] == pytest.approx(1.959964 * row["plain_effect"] / welch.statistic)


def test_interactions_join_where_half_of_the_configurations_are_left() -> None:
    sixteen = trials_of(study())
    model = intervention_ate(sixteen, measured(sixteen, srank=outcome(sixteen, np.random.default_rng(2))))[
        "model"
    ]
    assert model.iloc[0] == "4 main effects"
    thirty_two = trials_of(study({**AXES, "dropout": [0.0, 0.1]}))
    y = outcome(thirty_two, np.random.default_rng(2))
    table = by_factor(intervention_ate(thirty_two, measured(thirty_two, srank=y)))
    assert table["model"].iloc[0] == "5 main effects, 10 interactions"
    data = signs(thirty_two, {**AXES, "dropout": [0.0, 0.1]}).assign(y=y)
    terms = f"({' + '.join([*AXES, 'dropout'])})**2"
    fit = smf.ols(f"y ~ {terms}", data).fit()
    assert table.loc["dropout", "half_width"] == pytest.approx(
        2 * fit.bse["dropout"] * stats.t.ppf(0.975, fit.df_resid)
    )


def test_p_is_corrected_for_the_factors_of_a_space() -> None:
    trials = trials_of(study())
    table = intervention_ate(trials, measured(trials, srank=outcome(trials, np.random.default_rng(3), 6)))
    p = table["effect_p"].to_numpy()
    order = np.argsort(p)
    holm = np.minimum(1, np.maximum.accumulate(p[order] * [4, 3, 2, 1]))
    assert table["p_holm"].to_numpy()[order] == pytest.approx(holm)


def test_any_outcome_can_be_asked_for() -> None:
    trials = trials_of(study())
    metrics = measured(trials, srank=1.0, return_mean=outcome(trials, np.random.default_rng(4), 0.1, 0.1))
    table = by_factor(intervention_ate(trials, metrics, "return_mean"))
    assert table["effect"].to_dict() == pytest.approx(EFFECTS, abs=0.4)
    assert intervention_ate(trials, metrics)["note"].str.startswith("refused: srank is 1 in all 16").all()


def test_the_environment_is_a_factor_where_there_are_two_and_a_block_where_there_are_three() -> None:
    axes = {"activation": ["relu", "tanh"], "learning_rate": [3e-4, 3e-5]}
    two = trials_of(study({**axes, "dataset": ["d0", "d1"]}, 2, datasets=2))
    rng = np.random.default_rng(5)
    level = 10.0 * (two["dataset"] == "d1")
    table = by_factor(intervention_ate(two, measured(two, srank=level + rng.normal(size=len(two)))))
    assert table.loc["env", "effect"] == pytest.approx(10, abs=2)
    assert table["env"].unique().tolist() == ["all"]
    three = trials_of(study({**axes, "dataset": ["d0", "d1", "d2"]}, 2, design={"kind": "grid"}, datasets=3))
    shift = three["dataset"].map({"d0": 0.0, "d1": 50.0, "d2": -50.0})
    y = shift + 3 * (three["activation"] == "tanh") + rng.normal(0, 0.1, len(three))
    table = by_factor(intervention_ate(three, measured(three, srank=y)))
    assert table["model"].iloc[0] == "2 main effects, 1 interaction, blocks: dataset, seed"
    assert table.loc["activation", ["effect_low", "effect_high"]].tolist() == pytest.approx([3, 3], abs=0.3)
    apart = intervention_ate(
        three, measured(three, srank=y), within=["env"], min_configurations=4, interactions=False
    )
    assert apart["env"].nunique() == 3
    assert apart["effect"][apart["factor"] == "activation"].tolist() == pytest.approx([3, 3, 3], abs=0.3)


def test_a_fraction_says_what_its_effects_are_mixed_with() -> None:
    axes = {**AXES, "dropout": [0.0, 0.1]}
    trials = trials_of(study(axes, 3, design={"kind": "factorial", "generators": ["D=AB", "E=-AC"]}))
    y = outcome(trials, np.random.default_rng(6))
    table = by_factor(intervention_ate(trials, measured(trials, srank=y)))
    assert table["aliases"].to_dict() == {
        "activation": "learning_rate x sam_weight, -target_update_period x dropout",
        "learning_rate": "activation x sam_weight",
        "target_update_period": "-activation x dropout",
        "sam_weight": "activation x learning_rate",
        "dropout": "-activation x target_update_period",
    }
    assert (table["n_cells"].iloc[0], table["n_cells_planned"].iloc[0]) == (8, 8)
    assert table["model"].iloc[0] == "5 main effects, blocks: seed"
    forced = intervention_ate(trials, measured(trials, srank=y), interactions=True)
    assert (
        forced["note"].str.contains("cannot be told from the interactions in the model; leave them out").all()
    )
    assert forced["effect"].isna().all()


def test_missing_combinations_are_named_and_the_interval_widens() -> None:
    trials = trials_of(study())
    y = outcome(trials, np.random.default_rng(7))
    whole = by_factor(intervention_ate(trials, measured(trials, srank=y)))
    lost = (
        (trials["learning_rate"] == 3e-4) & (trials["activation"] == "tanh") & (trials["sam_weight"] == 0.05)
    )
    trials.loc[lost, "status"] = "diverged"
    table = by_factor(intervention_ate(trials, measured(trials, srank=y)))
    row = table.loc["learning_rate"]
    assert (row["excluded_control"], row["excluded_treatment"], row["n_diverged"]) == (2, 0, 2)
    assert (row["n_cells"], row["n_cells_planned"]) == (14, 16)
    # Of the 14 left 6 have the control; a phi coefficient by hand.
    assert row["max_correlation"] == pytest.approx(
        max(
            abs(np.corrcoef(signs(trials)[~lost]["learning_rate"], signs(trials)[~lost][other])[0, 1])
            for other in AXES
            if other != "learning_rate"
        )
    )
    assert "not orthogonal: correlation" in row["note"]
    assert "left out: 2 trials of 0.0003, 0 of 3e-05" in row["note"]
    assert (
        "2 of 16 combinations have no trial: activation=tanh, learning_rate=0.0003, target_update"
        in row["note"]
    )
    left = signs(trials)[~lost].assign(y=y[~lost])
    fit = smf.ols("y ~ activation + learning_rate + target_update_period + sam_weight", left).fit(
        cov_type="HC2"
    )
    assert row["effect"] == pytest.approx(2 * fit.params["learning_rate"], rel=1e-9)
    reach = 2 * fit.bse["learning_rate"] * stats.t.ppf(0.975, row["freedom"])
    assert row["half_width"] == pytest.approx(reach, rel=1e-8)
    assert row["freedom"] < whole.loc["learning_rate", "freedom"]


def test_a_factor_with_one_level_left_is_refused_with_the_level_that_is_gone() -> None:
    trials = trials_of(study(seeds=2))
    y = outcome(trials, np.random.default_rng(8))
    trials.loc[trials["learning_rate"] == 3e-4, "status"] = "diverged"
    table = by_factor(intervention_ate(trials, measured(trials, srank=y)))
    assert (
        table.loc["learning_rate", "note"] == "refused: no trial with learning_rate=0.0003 is left to compare"
    )
    assert np.isnan(table.loc["learning_rate", "effect"])
    assert np.isfinite(table.loc["activation", "effect"])
    note = table.loc["activation", "note"]
    assert "all trials that are left have learning_rate=3e-05: effects are effects there" in note
    assert "8 of 16 combinations have no trial" in note
    assert "no trial: " not in note


def test_factors_that_change_together_in_the_trials_left_are_refused() -> None:
    trials = trials_of(study(seeds=2))
    y = outcome(trials, np.random.default_rng(9))
    crossed = (trials["activation"] == "tanh") != (trials["learning_rate"] == 3e-5)
    trials.loc[crossed, "status"] = "failed"
    table = by_factor(intervention_ate(trials, measured(trials, srank=y)))
    assert table.loc["activation", "note"] == (
        "refused: activation changes only together with learning_rate in the trials that are left"
    )
    assert np.isfinite(table.loc["sam_weight", "effect"])


def test_a_design_with_no_configuration_to_spare_is_refused() -> None:
    trials = trials_of(study(design={"kind": "one_at_a_time"}))
    y = np.random.default_rng(10).normal(size=len(trials))
    table = intervention_ate(trials, measured(trials, srank=y))
    assert table["effect"].isna().all()
    assert (
        table["note"].str.startswith("refused: 5 coefficients (4 main effects) leave 5 configurations").all()
    )


def test_a_space_without_two_level_factors_is_refused_with_what_varies() -> None:
    trials = trials_of(study({"learning_rate": [1e-4, 1e-3, 1e-2]}, 3, design={"kind": "grid"}))
    table = intervention_ate(trials, measured(trials, srank=np.arange(9.0)), min_configurations=3)
    assert table["note"].tolist() == [
        "refused: no hyperparameter has exactly two levels here (learning_rate has 3)"
    ]


def test_trials_that_nothing_crossed_are_not_called_randomised() -> None:
    trials = trials_of(study(seeds=2), known=False)
    rng = np.random.default_rng(11)
    same = (trials["activation"] == "tanh") == (trials["learning_rate"] == 3e-5)
    trials = trials[same | (rng.random(len(trials)) < 0.3)].reset_index(drop=True)
    table = intervention_ate(trials, measured(trials, srank=rng.normal(size=len(trials))))
    assert table["kind"].unique().tolist() == ["associational"]
    assert table["note"].str.contains("no design is known that set them").all()


def test_levels_that_were_drawn_independently_are_randomised_without_a_known_design() -> None:
    axes = {"activation": ["relu", "tanh"], "learning_rate": {"low": 1e-5, "high": 1e-2, "scale": "log"}}
    axes |= {"batch_size": [32, 64], "dropout": [0.0, 0.1]}
    trials = trials_of(study(axes, design={"kind": "random", "n": 80}), known=False)  # type: ignore[arg-type]
    table = intervention_ate(trials, measured(trials, srank=np.random.default_rng(15).normal(size=80)))
    assert table["max_correlation"].max() > 0.05
    assert table["kind"].unique().tolist() == ["randomised"]


def test_a_number_drawn_at_random_stays_out_of_the_model_and_is_named() -> None:
    axes = {"activation": ["relu", "tanh"], "learning_rate": {"low": 1e-5, "high": 1e-2, "scale": "log"}}
    trials = trials_of(study(axes, design={"kind": "random", "n": 40}))  # type: ignore[arg-type]
    y = 4.0 * (trials["activation"] == "tanh") + np.random.default_rng(12).normal(size=40)
    row = intervention_ate(trials, measured(trials, srank=y)).iloc[0]
    assert row["effect_low"] < 4 < row["effect_high"]
    assert "not in the model: learning_rate" in row["note"]
    assert row["kind"] == "randomised"


def test_a_hyperparameter_of_many_levels_is_a_block_where_it_is_crossed() -> None:
    """Seven widths at two learning rates: the difference within widths, as a paired test of configurations has it."""
    axes = {"learning_rate": [3e-4, 3e-5], "bottleneck": [1, 2, 4, 8, 16, 32, 64]}
    trials = trials_of(study(axes, design={"kind": "grid"}))
    y = 3.0 * (trials["learning_rate"] == 3e-5) + 10 * np.log2(trials["bottleneck"].astype(float))
    y += np.random.default_rng(14).normal(size=14)
    row = intervention_ate(trials, measured(trials, srank=y)).iloc[0]
    paired = stats.ttest_rel(y[trials["learning_rate"] == 3e-5], y[trials["learning_rate"] == 3e-4])
    assert row["model"] == "1 main effect, blocks: bottleneck"
    assert row["freedom"] == pytest.approx(6)
    assert [row["effect_low"], row["effect_high"]] == pytest.approx(list(paired.confidence_interval()))


def test_early_stopping_is_refused_and_a_wrong_confidence_too() -> None:
    trials = trials_of(study())
    metrics = measured(trials, srank=np.arange(16.0))
    pruned = intervention_ate(trials.assign(scheduler="asha"), metrics)
    assert pruned["note"].str.startswith("refused: 16 trials ran under early stopping (asha)").all()
    assert pruned["factor"].tolist() == list(AXES)
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        intervention_ate(trials, metrics, confidence=95)
    with pytest.raises(AnalysisError, match="no two-level factor"):
        intervention_ate(trials, metrics, control=["batch_size=32"])


@pytest.mark.parametrize(
    ("seeds", "share", "skewed"),
    [(1, 1.0, False), (3, 0.6, False), (1, 1.0, True)],
    ids=["one seed", "three", "unequal"],
)
def test_a_95_percent_interval_covers_in_95_percent_of_sweeps(seeds: int, share: float, skewed: bool) -> None:
    """Through the model of a real table, many outcomes at once; ``skewed``: three times the spread at one level."""
    trials = trials_of(study({**AXES, "dropout": [0.0, 0.1]}, seeds))
    (sample,) = samples(trials, measured(trials, srank=np.arange(len(trials))), ["srank"])
    model = factorial_model(sample, find_factors(sample.planned, None, {}), None)
    rng = np.random.default_rng(seeds)
    between = rng.normal(size=(4000, 32)) * np.sqrt(share)
    noise = between[:, sample.configuration] + rng.normal(size=(4000, len(trials))) * np.sqrt(1 - share)
    scale = np.where((trials["activation"] == "tanh") & skewed, 3.0, 1.0)
    y = (
        2.0 * (trials["sam_weight"] == 0.05).to_numpy()
        + noise * scale
        + rng.normal(size=(4000, seeds))[:, trials["seed"]]
    )
    k = [f.name for f in model.factors.factors].index("sam_weight")
    contrast = model.squares.contrast(model.main_effect(k))
    reach = stats.t.ppf(0.975, contrast.freedom) * np.sqrt(model.squares.variance(contrast, y))
    share_covered = (abs(y @ contrast.weights - 2.0) <= reach).mean()
    assert 0.93 <= share_covered <= 0.97


def test_trials_taken_for_independent_would_cover_too_rarely() -> None:
    """What clusters are for: four seeds of a configuration are not four configurations."""
    cells = np.array(list(itertools.product((-1.0, 1.0), repeat=4)))
    x = np.repeat(np.column_stack([np.ones(16), cells]), 4, axis=0)
    rng = np.random.default_rng(13)
    missed = 0
    for _ in range(300):
        y = np.repeat(rng.normal(size=16), 4) + 0.5 * rng.normal(size=64)
        low, high = sm.OLS(y, x).fit().conf_int()[1]
        missed += not low <= 0 <= high
    assert missed / 300 > 0.2
