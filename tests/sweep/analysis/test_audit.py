"""The audit on sweeps whose truth is known, against the parts that it sets side by side."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from structural_models import (
    MEASURE,
    MODELS,
    OUTCOME,
    hidden_confounder,
    no_effect,
    observed_confounding,
    simpson_reversal,
    simulate,
)

from sweep.analysis.confounding.audit import AUDIT_COLUMNS, audit
from sweep.analysis.confounding.audit_factors import fieller
from sweep.analysis.confounding.audit_rows import APPROACHES, FAMILY
from sweep.analysis.confounding.audit_verdict import audit_verdict
from sweep.analysis.confounding.sensitivity_table import sensitivity
from sweep.analysis.confounding.simpson import simpson
from sweep.analysis.frames import AnalysisError
from sweep.analysis.interventions.intervention_ate import intervention_ate
from sweep.analysis.multiplicity import holm
from sweep.analysis.thresholds.threshold_ate import threshold_ate


def _row(
    table: pd.DataFrame, approach: str, variable: str | None = None, env: str | None = None
) -> pd.Series:
    rows = table[table["approach"] == approach]
    if variable is not None:
        rows = rows[rows["variable"] == variable]
    return (rows if env is None else rows[rows["env"] == env]).iloc[0]


@pytest.fixture(scope="module")
def confounded() -> pd.DataFrame:
    trials, metrics, _ = observed_confounding(np.random.default_rng(2), 100, 4)
    return audit(trials, metrics, draws=300)


def test_every_approach_is_there_in_its_order_with_its_columns(confounded: pd.DataFrame) -> None:
    approaches = list(dict.fromkeys(confounded["approach"]))
    assert approaches == [a for a in APPROACHES if a != "within environment"]
    assert list(confounded.columns) == ["env", "space", *AUDIT_COLUMNS]
    assert confounded["estimand"].notna().all()
    assert set(confounded["kind"]) <= {"associational", "randomised"}
    strata = confounded.loc[confounded["approach"] == "stratified", "variable"]
    assert sorted(strata) == ["activation", "batch_size", "learning_rate", "weight_decay"]


def test_pooled_is_wrong_and_every_adjustment_right_where_the_confounder_is_seen(
    confounded: pd.DataFrame,
) -> None:
    _, _, truth = observed_confounding(np.random.default_rng(2), 100, 4)
    sd = confounded["measure_sd"].iloc[0]
    pooled = _row(confounded, "pooled")
    assert pooled["low"] < truth.pooled * sd < pooled["high"]
    assert pooled["low"] > truth.effect * sd
    for approach, variable in (
        ("stratified", "learning_rate"),
        ("adjusted", None),
        ("adjusted with interactions", None),
    ):
        row = _row(confounded, approach, variable)
        assert row["low"] < truth.effect * sd < row["high"]
        assert row["word"] == "shrinks"
    assert _row(confounded, "stratified", "activation")["word"] == "agrees"
    robust = _row(confounded, "doubly robust")
    assert robust["n_used"] == round(400 * (1 - robust["outside"])) < 400
    assert robust["low"] < truth.above_adjusted < robust["high"] < _row(confounded, "above the median")["low"]


def test_the_naive_interval_is_too_narrow_and_the_same_estimate(confounded: pd.DataFrame) -> None:
    naive, pooled = _row(confounded, "trials as independent"), _row(confounded, "pooled")
    assert naive["estimate"] == pooled["estimate"]
    assert naive["high"] - naive["low"] < 0.85 * (pooled["high"] - pooled["low"])
    assert "not to be used" in naive["note"]
    assert np.isnan(naive["p_holm"])


def test_standardised_numbers_are_the_others_in_deviations_of_the_outcome(confounded: pd.DataFrame) -> None:
    rows = confounded[confounded["standardised"].notna()]
    for end in ("", "_low", "_high"):
        own = rows["estimate" if not end else end[1:]]
        assert rows[f"standardised{end}"].to_numpy() == pytest.approx((own / rows["outcome_sd"]).to_numpy())


def test_p_values_are_corrected_over_the_declared_family(confounded: pd.DataFrame) -> None:
    family = confounded[confounded["approach"].isin(FAMILY)]
    assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p"].to_numpy()), nan_ok=True)
    assert confounded.loc[~confounded["approach"].isin(FAMILY), "p_holm"].isna().all()


def test_stratified_rows_are_those_of_simpson() -> None:
    trials, metrics, _ = simpson_reversal(np.random.default_rng(1), 40, 2)
    table, other = audit(trials, metrics, draws=200), simpson(trials, metrics, draws=200).set_index("group")
    for name in ("activation", "learning_rate"):
        row = _row(table, "stratified", name)
        assert row["estimate"] == pytest.approx(other.loc[name, "within_slope"])
        assert row["low"] == pytest.approx(other.loc[name, "within_slope_low"])
        assert row["change"] * row["outcome_sd"] == pytest.approx(other.loc[name, "difference"])
    assert _row(table, "stratified", "activation")["word"] == "reverses"
    assert _row(table, "adjusted")["word"] == "reverses"


def test_the_sides_of_the_median_are_those_of_the_threshold_table() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(10), 40, 3)
    row = _row(audit(trials, metrics), "above the median")
    other = threshold_ate(trials, metrics, quantiles=[0.5], by="none").iloc[0]
    assert row["estimate"] == pytest.approx(other["ate"])
    assert (row["low"], row["high"]) == pytest.approx((other["ate_low"], other["ate_high"]), rel=0.1)


def test_a_hidden_confounder_is_not_mended_and_the_robustness_value_warns() -> None:
    trials, metrics, truth = hidden_confounder(np.random.default_rng(2), 200, 4)
    table = audit(trials, metrics, draws=200)
    row = _row(table, "adjusted")
    assert row["low"] > truth.effect == 0
    # What hides explains 1/3 of what is left of the measure, and of the outcome beside it 0.49^2 * 2 / (1.47 * ...).
    unseen_of_measure = 0.49 / (0.49 + 0.98)
    assert 0 < row["robustness_value_bound"] < row["robustness_value"] < unseen_of_measure
    assert _row(table, "hidden confounder")["times_to_zero"] < 1


def test_rows_of_what_is_unseen_are_those_of_the_sensitivity_table() -> None:
    trials, metrics, _ = observed_confounding(
        np.random.default_rng(3), 60, 4, learning_rate=(0.4, 0.3), activation=(0.3, 0.1)
    )
    table, other = audit(trials, metrics, draws=200), sensitivity(trials, metrics)
    assert other["estimate"].iloc[0] == pytest.approx(_row(table, "adjusted")["estimate"])
    for name in ("robustness_value", "robustness_value_bound", "partial_r2"):
        assert other[name].iloc[0] == pytest.approx(_row(table, "adjusted")[name])
    hidden = table[table["approach"] == "hidden confounder"]
    same = other[(other["benchmark"] == hidden["variable"].iloc[0]) & other["left"].notna()]
    assert 1 <= len(hidden) == len(same)
    assert hidden["times"].tolist() == same["times"].tolist()
    assert hidden["estimate"].to_numpy() == pytest.approx(same["left"].to_numpy())
    assert other["times_to_zero"].min() == pytest.approx(hidden["times_to_zero"].iloc[0])
    weak = other[(other["benchmark"] == "activation") & (other["times"] == 1)].iloc[0]
    assert abs(weak["left"]) < abs(weak["estimate"])
    assert weak["left_low"] < weak["left"] < weak["left_high"]
    assert weak["times_to_bound"] < weak["times_to_zero"]


def test_a_confounder_as_many_times_as_strong_as_said_takes_the_estimate_to_zero() -> None:
    from sweep.analysis.confounding.adjusted import fit_of
    from sweep.analysis.confounding.benchmarks import benchmarks
    from sweep.analysis.confounding.clustered_slope import Slope
    from sweep.analysis.confounding.covariates import covariates
    from sweep.analysis.confounding.sensitivity import adjusted, as_strong_as
    from sweep.analysis.confounding.within_groups import Points

    trials, metrics, _ = observed_confounding(np.random.default_rng(4), 60, 2)
    frame = trials.assign(configuration=np.unique(trials["weight_decay"], return_inverse=True)[1])
    points = Points.of(metrics[MEASURE].to_numpy(), metrics[OUTCOME].to_numpy(), frame, "")
    given = covariates(frame)
    slope = Slope.of(points.y, points.x, given.main(), points.cluster)
    assert slope is not None
    found = next(b for b in benchmarks(points, given, slope, 0.95) if b.name == "learning_rate")
    for times, which in ((found.times_to_zero, 0), (found.times_to_bound, 1)):
        bound = as_strong_as(found.seen, times)
        assert bound is not None
        assert adjusted(fit_of(slope), bound, 0.95)[which] == pytest.approx(0, abs=1e-4)


def test_factors_have_the_effects_of_the_interventions_table_and_their_ratio() -> None:
    trials, metrics, truth = simulate(
        np.random.default_rng(5), 80, 3, 0.2, activation=(1.0, 0.0), learning_rate=(0.5, 0.5)
    )
    row = _row(audit(trials, metrics, draws=200), "two-level factor", "activation")
    both = {
        name: intervention_ate(trials, metrics, name).set_index("factor").loc["activation"]
        for name in (MEASURE, OUTCOME)
    }
    assert row["estimate"] == pytest.approx(both[OUTCOME]["effect"])
    assert row["measure_effect"] == pytest.approx(both[MEASURE]["effect"])
    assert row["ratio"] == pytest.approx(row["estimate"] / row["measure_effect"])
    # The activation reaches the outcome through the measure alone: the ratio is the effect.
    assert row["ratio_low"] < truth.effect < row["ratio_high"]
    assert row["estimand"] == "effect of activation tanh instead of relu on the outcome"


def test_a_factor_of_which_one_level_is_left_is_refused() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(11), 40, 2)
    trials.loc[trials["activation"] == "tanh", "status"] = "diverged"
    table = audit(trials, metrics, draws=100)
    row = _row(table, "two-level factor", "activation")
    assert row["note"] == "refused: only trials with activation relu are left"
    assert np.isfinite(_row(table, "two-level factor", "batch_size")["estimate"])
    assert "diverged and are left out" in row["caveats"]


def test_fiellers_bounds_are_where_the_difference_is_just_not_told_from_zero() -> None:
    variances, critical = (0.04, 0.09, 0.02), stats.t.ppf(0.975, 12)
    for bound in fieller(1.5, 2.0, variances, critical):
        error = np.sqrt(variances[0] - 2 * bound * variances[2] + bound**2 * variances[1])
        assert abs(1.5 - bound * 2.0) / error == pytest.approx(critical)
    assert np.isnan(fieller(1.5, 0.5, variances, critical)).all()


def test_environments_together_are_audited_within_themselves() -> None:
    trials, metrics, _ = simulate(
        np.random.default_rng(6), 40, 2, 0.2, environments=2, environment_shift=(20.0, -12.0)
    )
    table = audit(trials, metrics, draws=200)
    assert _row(table, "pooled", env="all")["estimate"] < 0
    within = _row(table, "within environment", env="all")
    assert within["word"] == "reverses"
    assert within["compared_with"] == "pooled"
    assert within["outcome_scale"] == "standard deviations within its environment"
    assert _row(table, "adjusted", env="all")["compared_with"] == "within environment"
    assert "env (2 levels)" in _row(table, "adjusted", env="all")["note"]
    assert (table.loc[table["env"] == "all", "n_configurations"] == 40).all()
    assert "env" not in set(table.loc[table["approach"] == "two-level factor", "variable"])


def test_an_environment_where_nothing_varies_is_left_out_of_what_is_compared() -> None:
    trials, metrics, _ = simulate(np.random.default_rng(12), 20, 2, 0.1, environments=3)
    metrics.loc[(trials["env"] == "bsuite/catch/2").to_numpy(), OUTCOME] = 0.0
    table = audit(trials, metrics, draws=100)
    within = _row(table, "within environment", env="all")
    assert within["note"] == "left out, as srank or return_mean does not vary there: bsuite/catch/2"
    assert np.isnan(within["change"])
    assert (within["n_used"], within["n_trials"], _row(table, "pooled", env="all")["n_used"]) == (
        80,
        120,
        120,
    )
    verdict = audit_verdict(table).iloc[-1]["text"]
    assert verdict.startswith("Within environments, over 80 trials of 20 settings")
    assert "Left out, as srank or return_mean does not vary there: bsuite/catch/2." in verdict
    assert _row(table, "adjusted", env="all")["word"] == "agrees"
    factor = _row(table, "two-level factor", "activation", env="all")
    assert factor["note"] == "refused: in an environment measure or outcome does not vary"


def test_nothing_to_find_is_found_in_few_sweeps() -> None:
    rejected = []
    for seed in range(25):
        trials, metrics, _ = no_effect(np.random.default_rng(1000 + seed), 24, 2)
        table = audit(trials, metrics, draws=100)
        rows = table[table["approach"].isin(["pooled", "adjusted", "above the median", "rank correlation"])]
        rejected += (rows["p"] < 0.05).tolist()
    # 5 % of 100, of which four are of one sweep: three standard errors are 9 to 13 points.
    assert np.mean(rejected) < 0.15


def test_refusals_keep_their_row_and_say_why() -> None:
    trials, metrics, _ = MODELS["few_seeds"](np.random.default_rng(7), 7, 1)
    table = audit(trials, metrics, draws=100)
    for approach in ("adjusted", "adjusted with interactions", "doubly robust", "partial rank correlation"):
        row = _row(table, approach)
        assert row["note"].startswith("refused"), approach
        assert np.isnan(row["estimate"])
    assert np.isfinite(_row(table, "pooled")["estimate"])
    assert table["caveats"].str.startswith("few configurations (7)").all()
    flat = audit(trials, metrics.assign(**{MEASURE: 7.0}))
    assert flat["note"].tolist() == ["refused: srank is 7 in all 7 trials"]
    pruned = audit(trials.assign(scheduler="asha"), metrics)
    assert pruned["note"].iloc[0].startswith("refused: 7 trials ran under early stopping (asha)")


def test_no_varying_hyperparameter_leaves_the_pooled_estimate_only() -> None:
    trials, metrics, _ = no_effect(np.random.default_rng(8), 10, 1)
    named = trials.assign(
        learning_rate=1e-3,
        activation="relu",
        batch_size=32,
        weight_decay=0.0,
        dataset=[f"d{i}" for i in range(10)],
    )
    table = audit(named, metrics, draws=100)
    assert "refused: within the 10 groups nothing is left to compare" in table["note"].tolist()
    assert _row(table, "adjusted")["note"].startswith("refused: the hyperparameters decide the measure")


def test_the_same_call_gives_the_same_numbers_whatever_the_order_of_rows() -> None:
    trials, metrics, _ = observed_confounding(np.random.default_rng(9), 30, 2)
    shuffled = trials.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        audit(trials, metrics, draws=200), audit(shuffled, metrics, draws=200), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measure": "rank"}, "no column 'rank'"),
        ({"draws": 10}, "at least 100"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"sesoi": -1.0}, "sesoi=-1.0: must be above 0"),
        ({"unit": "returns"}, "unit=returns: must be outcome"),
    ],
)
def test_wrong_questions_name_what_is_allowed(options: dict[str, object], says: str) -> None:
    trials, metrics, _ = no_effect(np.random.default_rng(0), 10, 1)
    with pytest.raises(AnalysisError, match=says):
        audit(trials, metrics, **options)  # type: ignore[arg-type]
