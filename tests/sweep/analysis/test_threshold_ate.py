"""The contrast above and below a threshold: as the paper prints it, with honest intervals, and at every threshold."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweep.analysis.catalog import TABLES
from sweep.analysis.frames import AnalysisError
from sweep.analysis.multiplicity import benjamini_hochberg, holm
from sweep.analysis.thresholds.threshold_ate import threshold_ate
from sweep.analysis.thresholds.threshold_curve import threshold_curve

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame]

RATES = list(np.geomspace(1e-5, 1e-2, 30))
NUMBERS = [
    "ate",
    "ate_low",
    "ate_high",
    "ate_p",
    "p_holm",
    "paper_tau",
    "paper_ate",
    "paper_half_width",
    "paper_p",
]

# Gulcehre et al. (2022), Table 1: ATE, half-width, p, by quantile.
TABLE_1 = {
    "Asterix Combined": [
        (0.019, 0.010, 0.001),
        (0.007, 0.013, 0.207),
        (0.005, 0.019, 0.324),
        (-0.031, 0.011, 0.999),
    ],
    "Asterix ReLU": [
        (0.079, 0.018, 0.000),
        (0.089, 0.025, 0.000),
        (0.112, 0.040, 0.000),
        (0.110, 0.085, 0.017),
    ],
    "Asterix Tanh": [
        (-0.014, 0.004, 0.999),
        (0.009, 0.005, 0.996),
        (-0.005, 0.006, 0.886),
        (0.020, 0.017, 0.023),
    ],
    "Gravitar Combined": [
        (0.954, 0.077, 0.000),
        (0.569, 0.098, 0.000),
        (0.496, 0.141, 0.000),
        (0.412, 0.206, 0.001),
    ],
    "Gravitar ReLU": [
        (1.654, 0.150, 0.000),
        (1.146, 0.163, 0.000),
        (1.105, 0.256, 0.000),
        (1.688, 0.564, 0.000),
    ],
    "Gravitar Tanh": [
        (0.028, 0.090, 0.303),
        (0.185, 0.118, 0.005),
        (0.242, 0.167, 0.009),
        (0.054, 0.265, 0.367),
    ],
}


@pytest.fixture
def sweep(trials_table: Table, metrics_table: Table) -> Sweep:
    """30 learning rates x 2 seeds x relu and tanh: rank goes with the return under relu only."""
    trials = trials_table(RATES, 2, activations=("relu", "tanh"))
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=60), 2)
    rank = np.round(30 + 6 * shared + rng.normal(0, 2, 120))
    returns = np.where(trials["activation"] == "relu", 0.1 * rank, 3.0) + 0.3 * rng.normal(size=120)
    return trials, metrics_table(trials, {"srank": rank, "return_mean": returns})


def implied_p(ate: float, half_width: float, level: float) -> float:
    """One-sided p of an estimate whose half-width is z(level) standard errors."""
    return float(stats.norm.sf(ate * stats.norm.ppf(level) / half_width))


@pytest.mark.parametrize(("level", "agree"), [(0.95, 21), (0.975, 11)])
def test_half_widths_of_the_papers_table_are_of_90_percent_intervals(level: float, agree: int) -> None:
    digits = np.linspace(-0.0005, 0.0005, 11)
    found = []
    for cells in TABLE_1.values():
        for ate, half_width, p in cells:
            possible = [implied_p(ate + a, half_width + h, level) for a in digits for h in digits]
            found.append(min(possible) - 0.0005 <= p <= max(possible) + 0.0005)
    assert sum(found) == agree


def test_the_papers_version_is_welchs_error_and_a_one_sided_normal_p(sweep: Sweep) -> None:
    trials, metrics = sweep
    row = threshold_ate(trials, metrics, quantiles=[0.75]).iloc[0]
    x, y = metrics["srank"].to_numpy(), metrics["return_mean"].to_numpy()
    tau = np.quantile(x, 0.75)
    welch = stats.ttest_ind(y[x > tau], y[x <= tau], equal_var=False)
    error = (y[x > tau].mean() - y[x <= tau].mean()) / welch.statistic
    assert row["paper_tau"] == row["tau"] == tau
    assert row["paper_ate"] == pytest.approx(y[x > tau].mean() - y[x <= tau].mean())
    assert row["paper_ate"] == pytest.approx(row["ate"])
    assert row["paper_half_width"] == pytest.approx(1.6448536 * error)
    assert row["paper_p"] == pytest.approx(stats.norm.sf(welch.statistic))
    assert row["paper_p"] == pytest.approx(implied_p(row["paper_ate"], row["paper_half_width"], 0.95))


def test_rows_are_combined_and_each_activation_at_each_quantile(sweep: Sweep) -> None:
    trials, metrics = sweep
    table = threshold_ate(trials, metrics)
    assert table["type"].tolist() == ["combined"] * 4 + ["relu"] * 4 + ["tanh"] * 4
    assert table["quantile"].tolist() == [0.25, 0.5, 0.75, 0.95] * 3
    assert set(table["kind"]) == {"associational"}
    x = metrics["srank"].to_numpy()
    for name, inside in (("combined", x == x), ("relu", trials["activation"] == "relu")):
        rows = table[table["type"] == name]
        expected = np.quantile(x[inside], rows["quantile"])
        assert rows["tau"].to_numpy() == pytest.approx(expected)
        assert rows["n_above"].tolist() == [(x[inside] > tau).sum() for tau in expected]
        assert (rows["n_above"] + rows["n_below"]).tolist() == rows["n_trials"].tolist()
    middle = table[table["quantile"] == 0.5].set_index("type")
    assert middle.loc["relu", "ate_low"] > 0.3
    assert middle.loc["tanh", "ate_low"] < 0 < middle.loc["tanh", "ate_high"]
    there = table.dropna(subset="ate")
    assert (there["ate_low"] < there["ate"]).all()
    assert (there["ate"] < there["ate_high"]).all()


def test_holm_corrects_over_the_table_and_benjamini_hochberg_along_the_curve(sweep: Sweep) -> None:
    table = threshold_ate(*sweep)
    assert table["p_holm"].to_numpy() == pytest.approx(holm(table["ate_p"]), nan_ok=True)
    curve = threshold_curve(*sweep)
    assert curve["quantile"].head(19).tolist() == pytest.approx(np.arange(0.05, 0.96, 0.05))
    assert curve["p_bh"].to_numpy() == pytest.approx(benjamini_hochberg(curve["ate_p"]), nan_ok=True)
    at = [0.25, 0.5, 0.75]
    same = threshold_curve(*sweep, quantiles=at)
    shared = ["type", "quantile", "tau", "n_above", "ate", "ate_low", "ate_high", "ate_p", "note"]
    pd.testing.assert_frame_equal(same[shared], threshold_ate(*sweep, quantiles=at)[shared])


def test_seeds_of_a_configuration_do_not_count_as_replications(
    trials_table: Table, metrics_table: Table
) -> None:
    """Every seed repeats its configuration exactly: the honest interval does not change, the paper's halves."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=30), rng.normal(size=30)
    rows = []
    for seeds in (1, 4):
        trials = trials_table(RATES, seeds)
        values = {"srank": np.repeat(x, seeds), "return_mean": np.repeat(y, seeds)}
        rows.append(threshold_ate(trials, metrics_table(trials, values), quantiles=[0.5]).iloc[0])
    width = [row["ate_high"] - row["ate_low"] for row in rows]
    assert width[1] == pytest.approx(width[0], rel=0.05)
    assert rows[1]["paper_half_width"] == pytest.approx(rows[0]["paper_half_width"] / 2, rel=0.05)


def test_of_one_activation_there_is_only_the_combined_row(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table(RATES, 1)
    rng = np.random.default_rng(0)
    metrics = metrics_table(trials, {"srank": rng.normal(size=30), "return_mean": rng.normal(size=30)})
    assert threshold_ate(trials, metrics)["type"].unique().tolist() == ["combined"]
    without = trials.drop(columns="activation")
    assert threshold_ate(without, metrics)["type"].unique().tolist() == ["combined"]


def test_any_hyperparameter_makes_types_and_none_makes_none(sweep: Sweep) -> None:
    trials, metrics = sweep
    trials = trials.assign(batch_size=np.where(np.arange(120) % 4 < 2, 32, 256))
    assert threshold_ate(trials, metrics, by="batch_size")["type"].unique().tolist() == [
        "combined",
        "256",
        "32",
    ]
    assert threshold_ate(trials, metrics, by="none")["type"].unique().tolist() == ["combined"]
    kept_apart = threshold_ate(trials, metrics, within=["activation"], quantiles=[0.5])
    assert kept_apart[["activation", "type"]].to_numpy().tolist() == [
        ["relu", "combined"],
        ["tanh", "combined"],
    ]


def test_numbers_depend_neither_on_the_rows_order_nor_on_other_environments(
    sweep: Sweep, trials_table: Table, metrics_table: Table
) -> None:
    trials, metrics = sweep
    alone = threshold_ate(trials, metrics)
    shuffled = threshold_ate(trials.sample(frac=1, random_state=0), metrics.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(alone, shuffled, rtol=1e-9)
    other = trials_table(RATES, 1, env="atari/Asterix", prefix="a")
    rng = np.random.default_rng(1)
    more = metrics_table(other, {"srank": rng.normal(size=30), "return_mean": rng.normal(size=30)})
    together = threshold_ate(pd.concat([other, trials]), pd.concat([more, metrics]))
    together = together[together["env"] == "bsuite/catch/0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.drop(columns="p_holm"), together.drop(columns="p_holm"))


def test_the_papers_threshold_can_be_pooled_over_environments(
    sweep: Sweep, trials_table: Table, metrics_table: Table
) -> None:
    trials, metrics = sweep
    other = trials_table(RATES, 1, env="atari/Asterix", prefix="a")
    rng = np.random.default_rng(1)
    more = metrics_table(other, {"srank": 40 + rng.normal(size=30), "return_mean": rng.normal(size=30)})
    both = pd.concat([trials, other]), pd.concat([metrics, more])
    table = threshold_ate(*both, quantiles=[0.5], by="none", pooled=True).set_index("env")
    pooled = np.quantile(both[1]["srank"], 0.5)
    assert table["paper_tau"].tolist() == [pooled, pooled]
    x, y = metrics["srank"], metrics["return_mean"]
    row = table.loc["bsuite/catch/0"]
    assert row["paper_ate"] == pytest.approx(y[x > pooled].mean() - y[x <= pooled].mean())
    assert row["tau"] == np.quantile(x, 0.5)
    # All of the other environment lies above: the pooled threshold compares nothing there.
    assert np.isnan(table.loc["atari/Asterix", "paper_ate"])
    assert np.isfinite(table.loc["atari/Asterix", "ate"])


def _refused(row: pd.Series) -> bool:
    return bool(row[NUMBERS].isna().all()) and str(row["note"]).startswith("refused")


def test_a_side_of_too_few_configurations_is_refused_with_its_numbers(sweep: Sweep) -> None:
    trials, metrics = sweep
    row = threshold_ate(trials, metrics, quantiles=[0.95], min_side=8).iloc[0]
    assert _refused(row)
    above = row["n_configurations_above"]
    assert 0 < above < 8
    assert (
        f"configurations above the 0.95 quantile of srank ({row['tau']:.6g}): {above}, at or below it: "
        in row["note"]
    )
    assert "each side needs at least 8" in row["note"]


def test_a_measure_at_its_ceiling_has_nothing_above_the_threshold(sweep: Sweep) -> None:
    trials, metrics = sweep
    ceiling = metrics.assign(srank=metrics["srank"].clip(upper=30))
    table = threshold_ate(trials, ceiling, by="none").set_index("quantile")
    assert _refused(table.loc[0.75])
    assert (
        "configurations above the 0.75 quantile of srank (30): 0, at or below it: 60"
        in table.loc[0.75, "note"]
    )
    assert table.loc[0.75, "n_above"] == 0
    assert np.isfinite(table.loc[0.25, "ate"])
    # At a ceiling of 28, a quarter of the trials below it is near enough that many draws have it at the ceiling.
    ceiling = metrics.assign(srank=metrics["srank"].clip(upper=28))
    row = threshold_ate(trials, ceiling, by="none", quantiles=[0.25]).iloc[0]
    assert _refused(row)
    assert "of the draws have nothing above the 0.25 quantile of srank (26.75)" in row["note"]


def test_outcomes_that_are_equal_on_each_side_say_nothing_about_their_spread(sweep: Sweep) -> None:
    trials, metrics = sweep
    metrics = metrics.assign(srank=np.where(np.arange(120) % 60 < 36, 3.0, 9.0))
    metrics = metrics.assign(return_mean=(metrics["srank"] > 3).astype(float))
    row = threshold_ate(trials, metrics, quantiles=[0.5]).iloc[0]
    assert _refused(row)
    assert "no spread of return_mean on either side" in row["note"]


def test_few_configurations_are_said_and_a_refused_sample_has_a_row_for_each_quantile(sweep: Sweep) -> None:
    trials, metrics = sweep
    few = threshold_ate(trials, metrics, quantiles=[0.95]).iloc[0]
    assert "few configurations (" in few["note"]
    assert "degrees of freedom" in few["note"]
    table = threshold_ate(trials.assign(scheduler="asha"), metrics)
    assert len(table) == 12
    assert all(_refused(row) for _, row in table.iterrows())
    assert "early stopping (asha)" in table["note"].iloc[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measure": "rank"}, "no column 'rank'"),
        ({"quantiles": [0.5, 1.0]}, "quantiles=1.0: must lie between 0 and 1"),
        ({"min_side": 1}, "min_side=1: must be at least 2"),
        ({"draws": 10}, "at least 100"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"by": "flavour"}, "no column 'flavour'"),
        ({"by": "activation", "within": ["activation"]}, "divides the trials once"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    for table in (threshold_ate, threshold_curve):
        with pytest.raises(AnalysisError, match=says):
            table(*sweep, **options)  # type: ignore[arg-type]


def test_both_tables_are_in_the_catalogue_with_every_option_that_they_take(sweep: Sweep) -> None:
    for name in ("threshold-ate", "threshold-curve"):
        table = TABLES[name]
        given = {
            "quantiles": "0.3,0.6",
            "by": "none",
            "within": "activation",
            "draws": "200",
            "min_side": "2",
            "seed": "1",
        }
        options = {key: table.options[key].parse(key, text) for key, text in given.items()}
        assert len(table.build(*sweep, **options)) == 4
        assert table.needs({"measure": "dead_units"}) == ["dead_units", "return_mean"]
