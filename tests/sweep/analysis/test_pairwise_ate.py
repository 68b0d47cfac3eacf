"""Two interventions at once, against statsmodels' predictions, cells by hand, and effects that were put there."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from factorial_sweeps import AXES, measured, signs, study, trials_of
from scipy import stats

from sweep.analysis import AnalysisError, intervention_ate, pairwise_ate
from sweep.analysis.interventions.factorial import find_factors
from sweep.analysis.interventions.factorial_model import factorial_model
from sweep.analysis.samples import samples

NAMES = list(AXES)


def treated(trials: pd.DataFrame) -> pd.DataFrame:
    """0 at control, 1 at treatment."""
    return (signs(trials) + 1) // 2


def outcome(trials: pd.DataFrame, rng: np.random.Generator, noise: float = 1.0) -> np.ndarray:
    """Activation +8 and learning rate -5 alone, -6 more together; all else nothing."""
    on = treated(trials)
    joint = on["activation"] * on["learning_rate"]
    y = 20 + 8 * on["activation"] - 5 * on["learning_rate"] - 6 * joint + 0.3 * trials["seed"]
    return np.asarray(y + rng.normal(0, noise, len(trials)))


def by_pair(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["first", "second"])


def test_effects_from_the_control_cell_are_predictions_of_statsmodels() -> None:
    trials = trials_of(study(seeds=3))
    y = outcome(trials, np.random.default_rng(0))
    table = by_pair(pairwise_ate(trials, measured(trials, srank=y)))
    # Coded 0 and 1 the coefficients are effects from the control cell themselves; configurations' means, balanced.
    data = treated(trials).assign(y=y, cluster=np.arange(48) // 3).groupby("cluster").mean()
    model = smf.ols(f"y ~ ({' + '.join(NAMES)})**2", data)
    fit, robust = model.fit(), model.fit(cov_type="HC2")
    assert len(table) == 6
    for (first, second), row in table.iterrows():
        product = f"{first}:{second}"
        test = fit.t_test(f"{first} + {second} + {product} = 0")
        assert row["effect"] == pytest.approx(float(test.effect[0]), rel=1e-8)
        # The error is robust, with at most the classical degrees of freedom: 16 cells less 11 coefficients.
        error = float(robust.t_test(f"{first} + {second} + {product} = 0").sd[0, 0])
        reach = (row["effect_high"] - row["effect_low"]) / 2
        assert stats.t.ppf(0.975, 5) - 1e-9 < reach / error < stats.t.ppf(0.975, 2)
        assert row["interaction"] == pytest.approx(fit.params[product], rel=1e-8)
        assert [row["interaction_low"], row["interaction_high"]] == pytest.approx(
            fit.conf_int().loc[product], rel=1e-7
        )
        assert row["first_effect"] == pytest.approx(fit.params[first], rel=1e-8)
        assert row["interaction"] == pytest.approx(row["effect"] - row["first_effect"] - row["second_effect"])


def test_an_interaction_that_was_put_there_is_found_and_others_are_not() -> None:
    trials = trials_of(study({**AXES, "dropout": [0.0, 0.1]}, 2))
    table = by_pair(pairwise_ate(trials, measured(trials, srank=outcome(trials, np.random.default_rng(1)))))
    both = table.loc[("activation", "learning_rate")]
    assert both["interaction_low"] < -6 < both["interaction_high"]
    assert both["effect_low"] < -3 < both["effect_high"]
    assert both["interaction_p_bh"] < 0.001
    assert (table.drop(("activation", "learning_rate"))["interaction_p_bh"] > 0.05).all()
    assert table["interaction_p_bh"].to_numpy() == pytest.approx(
        stats.false_discovery_control(table["interaction_p"])
    )
    assert table["p_bh"].to_numpy() == pytest.approx(stats.false_discovery_control(table["effect_p"]))
    assert table["kind"].unique().tolist() == ["randomised"]


def test_a_95_percent_interval_of_a_pair_covers_in_95_percent_of_sweeps() -> None:
    trials = trials_of(study({**AXES, "dropout": [0.0, 0.1]}, 2))
    (sample,) = samples(trials, measured(trials, srank=np.arange(64)), ["srank"])
    model = factorial_model(sample, find_factors(sample.planned, None, {}), True)
    rng = np.random.default_rng(8)
    y = rng.normal(size=(4000, 32))[:, sample.configuration] + rng.normal(size=(4000, 64))
    for combination in (model.from_control((0, 1)), model.interaction(3)):
        contrast = model.squares.contrast(combination)
        reach = stats.t.ppf(0.975, contrast.freedom) * np.sqrt(model.squares.variance(contrast, y))
        assert 0.935 <= (abs(y @ contrast.weights) <= reach).mean() <= 0.965


def test_the_cells_alone_give_the_paired_difference_over_seeds() -> None:
    trials = trials_of(study(seeds=4))
    y = outcome(trials, np.random.default_rng(2))
    row = by_pair(pairwise_ate(trials, measured(trials, srank=y))).loc[("activation", "learning_rate")]
    on = treated(trials)
    rest = (on[["target_update_period", "sam_weight"]] == 0).all(axis=1)
    both = rest & (on["activation"] == 1) & (on["learning_rate"] == 1)
    control = rest & (on["activation"] == 0) & (on["learning_rate"] == 0)
    paired = stats.ttest_rel(y[both], y[control])
    assert row["cells_effect"] == pytest.approx(y[both].mean() - y[control].mean())
    assert [row["cells_low"], row["cells_high"]] == pytest.approx(list(paired.confidence_interval()))
    assert row[["n_control_cell", "n_pair_cell", "n_matched"]].tolist() == [4, 4, 4]


def test_one_seed_a_cell_has_a_difference_and_no_interval() -> None:
    trials = trials_of(study({**AXES, "dropout": [0.0, 0.1]}))
    row = pairwise_ate(trials, measured(trials, srank=outcome(trials, np.random.default_rng(3)))).iloc[0]
    assert np.isfinite(row["cells_effect"])
    assert np.isnan(row["cells_low"])
    assert row["n_matched"] == 1
    assert np.isfinite(row["effect_low"])


def test_the_average_of_the_pairs_is_the_main_effect() -> None:
    """A main effect is the factor's effect from control and half of its interactions."""
    trials = trials_of(study(seeds=2))
    metrics = measured(trials, srank=outcome(trials, np.random.default_rng(4)))
    pairs = pairwise_ate(trials, metrics)
    main = intervention_ate(trials, metrics, interactions=True).set_index("factor")["effect"]
    with_activation = pairs[pairs["first"] == "activation"]
    halves = with_activation["interaction"].sum() / 2
    assert main["activation"] == pytest.approx(with_activation["first_effect"].iloc[0] + halves)


def test_pairs_that_a_fraction_mixes_are_refused() -> None:
    trials = trials_of(study(seeds=3, design={"kind": "factorial", "generators": ["D=ABC"]}))
    table = pairwise_ate(trials, measured(trials, srank=outcome(trials, np.random.default_rng(5))))
    assert table["effect"].isna().all()
    assert table["note"].iloc[0] == (
        "refused: activation and learning_rate together cannot be told from other interactions in 8 configurations"
    )
    # The fraction does not hold the cell of one pair; where it does, the trials are there to see.
    assert set(table["n_pair_cell"]) == {3}


def test_a_lost_control_cell_leaves_the_model_and_says_so() -> None:
    trials = trials_of(study(seeds=2))
    y = outcome(trials, np.random.default_rng(6))
    trials.loc[(signs(trials) == -1).all(axis=1), "status"] = "diverged"
    row = pairwise_ate(trials, measured(trials, srank=y)).iloc[0]
    assert (row["n_control_cell"], row["n_matched"]) == (0, 0)
    assert np.isnan(row["cells_effect"])
    assert row["effect_low"] < -3 < row["effect_high"]
    assert "1 of 16 combinations have no trial: activation=relu" in row["note"]


def test_a_factor_of_which_one_level_is_left_takes_its_own_pairs_along_only() -> None:
    trials = trials_of(study({**AXES, "dropout": [0.0, 0.1]}, 2))
    y = outcome(trials, np.random.default_rng(9))
    trials.loc[trials["sam_weight"] == 0.0, "status"] = "diverged"
    table = by_pair(pairwise_ate(trials, measured(trials, srank=y)))
    lost = table["note"].str.startswith("refused: no trial with sam_weight=0 is left to compare")
    assert [pair for pair, gone in lost.items() if gone] == [
        pair for pair in table.index if "sam_weight" in pair
    ]
    row = table.loc[("activation", "learning_rate")]
    assert row["effect_low"] < -3 < row["effect_high"]
    assert (row["n_control_cell"], row["n_pair_cell"], row["model"]) == (
        2,
        2,
        "4 main effects, 6 interactions, blocks: seed",
    )
    assert "all trials that are left have sam_weight=0.05: effects are effects there" in row["note"]


def test_designs_without_pairs_are_refused() -> None:
    one = trials_of(study({"activation": ["relu", "tanh"]}, 6))
    note = pairwise_ate(one, measured(one, srank=np.arange(12.0)), min_configurations=3)["note"]
    assert note.str.startswith("refused: 2 configurations").all()
    axes = {"activation": ["relu", "tanh"], "learning_rate": [1e-4, 1e-3, 1e-2]}
    grid = trials_of(study(axes, 2, design={"kind": "grid"}))
    table = pairwise_ate(grid, measured(grid, srank=np.arange(12.0)))
    assert table["note"].tolist() == ["refused: activation is the only two-level factor"]
    star = trials_of(study(seeds=2, design={"kind": "one_at_a_time"}))
    table = pairwise_ate(star, measured(star, srank=np.random.default_rng(7).normal(size=len(star))))
    assert table["effect"].isna().all()
    assert table["note"].str.contains("cannot be told from other interactions in 5 configurations").all()


def test_wrong_questions_are_refused() -> None:
    trials = trials_of(study())
    metrics = measured(trials, srank=np.arange(16.0))
    with pytest.raises(AnalysisError, match="no two-level factor"):
        pairwise_ate(trials, metrics, control=["batch_size=32"])
    with pytest.raises(AnalysisError, match="no column 'rank'"):
        pairwise_ate(trials, metrics, "rank")
