from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis import AnalysisError, correlation, correlation_contrast, regression_line

Table = Callable[..., pd.DataFrame]
RATES = list(np.geomspace(1e-4, 1e-2, 8))


@pytest.fixture
def sweep(trials_table: Table, metrics_table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """8 learning rates x 4 seeds: rank falls with the learning rate, return follows rank with noise."""
    trials = trials_table(RATES, 4)
    rng = np.random.default_rng(0)
    rank = np.round(30 - 3 * np.log10(trials["learning_rate"] * 1e4) * 4 + rng.normal(0, 2, len(trials)))
    returns = 0.05 * rank + rng.normal(0, 0.2, len(trials))
    return trials, metrics_table(trials, {"srank": rank, "return_mean": returns})


def test_estimates_agree_with_scipy(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    row = correlation(trials, metrics).iloc[0]
    x, y = metrics["srank"], metrics["return_mean"]
    assert row["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert row["slope"] == pytest.approx(stats.linregress(x, y).slope)
    assert row["intercept"] == pytest.approx(stats.linregress(x, y).intercept)
    assert (row["n_trials"], row["n_configurations"], row["n_excluded"]) == (32, 8, 0)
    assert row["pearson_low"] < row["pearson"] < row["pearson_high"]
    assert "few configurations (8)" in row["note"]


def test_interval_of_the_slope_is_near_cluster_robust_least_squares(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(list(np.geomspace(1e-4, 1e-2, 60)), 3)
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.normal(size=60), 3)
    x = shared + rng.normal(size=180)
    y = x + 2 * np.repeat(rng.normal(size=60), 3) + rng.normal(size=180)
    row = correlation(trials, metrics_table(trials, {"srank": x, "return_mean": y})).iloc[0]
    fit = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(60), 3)}, use_t=True
    )
    low, high = fit.conf_int()[1]
    assert row["slope"] == pytest.approx(fit.params[1])
    assert row["slope_high"] - row["slope_low"] == pytest.approx(high - low, rel=0.1)
    assert pd.isna(row["note"])


def test_the_same_call_gives_the_same_numbers_and_groups_do_not_touch_each_other(
    sweep: tuple[pd.DataFrame, pd.DataFrame], trials_table: Table, metrics_table: Table
) -> None:
    trials, metrics = sweep
    other = trials_table(RATES, 4, env="atari/Asterix", prefix="a")
    rng = np.random.default_rng(3)
    more = metrics_table(other, {"srank": rng.normal(size=32), "return_mean": rng.normal(size=32)})
    alone = correlation(trials, metrics)
    together = correlation(pd.concat([other, trials]), pd.concat([more, metrics]))
    together = together[together["env"] == "bsuite/catch/0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together)
    pd.testing.assert_frame_equal(
        alone, correlation(trials.sample(frac=1, random_state=1), metrics), rtol=1e-9
    )


def test_a_trial_in_two_spaces_counts_in_both(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    trials = trials.assign(spaces=[["narrow", "broad"]] * 20 + [["broad"]] * 12)
    table = correlation(trials, metrics).set_index("space")
    assert table["n_trials"].to_dict() == {"narrow": 20, "broad": 32}


def test_within_a_hyperparameter(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table(RATES, 2, activations=("relu", "tanh"))
    x = np.tile(np.arange(16.0), 2)
    y = np.r_[np.arange(16.0), -np.arange(16.0)] + np.random.default_rng(0).normal(0, 1, 32)
    metrics = metrics_table(trials, {"srank": x, "return_mean": y})
    table = correlation(trials, metrics, within=["activation"]).set_index("activation")
    assert table.loc["relu", "pearson"] > 0.9
    assert table.loc["tanh", "pearson"] < -0.9


def test_diverged_unfinished_failed_and_unmeasured_trials_are_left_out_and_counted(
    sweep: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = sweep
    trials, metrics = trials.copy(), metrics.copy()
    trials.loc[0:1, "status"] = "diverged"
    trials.loc[2, "status"] = "failed"
    trials.loc[3, "status"] = "running"
    trials.loc[4, "status"] = "planned"
    metrics.loc[5, "srank"] = np.nan
    metrics.loc[6, "return_mean"] = np.inf
    metrics.loc[7, "step"] = 500  # last taken half-way
    row = correlation(trials, metrics).iloc[0]
    assert row[
        ["n_trials", "n_excluded", "n_diverged", "n_failed", "n_unfinished", "n_missing"]
    ].tolist() == [*(24, 8, 2, 1, 2, 3)]
    assert row["pearson"] == pytest.approx(
        stats.pearsonr(metrics["srank"][8:], metrics["return_mean"][8:]).statistic
    )


def _refused(row: pd.Series) -> bool:
    numbers = [c for c in row.index if c.startswith(("pearson", "spearman", "slope", "intercept"))]
    return bool(row[numbers].isna().all()) and str(row["note"]).startswith("refused")


def test_too_few_configurations_are_refused_however_many_seeds(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(RATES[:4], 25)
    rng = np.random.default_rng(0)
    metrics = metrics_table(trials, {"srank": rng.normal(size=100), "return_mean": rng.normal(size=100)})
    row = correlation(trials, metrics).iloc[0]
    assert _refused(row)
    assert "4 configurations" in row["note"]
    assert "at least 5" in row["note"]


@pytest.mark.parametrize("constant", ["srank", "return_mean"])
def test_a_constant_measure_is_refused(sweep: tuple[pd.DataFrame, pd.DataFrame], constant: str) -> None:
    trials, metrics = sweep
    row = correlation(trials, metrics.assign(**{constant: 64.0})).iloc[0]
    assert _refused(row)
    assert f"{constant} is 64 in all 32 trials" in row["note"]


def test_a_measure_that_varies_in_one_configuration_is_refused(
    sweep: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    trials, metrics = sweep
    row = correlation(trials, metrics.assign(srank=np.r_[np.arange(4.0), np.zeros(28)])).iloc[0]
    assert _refused(row)
    assert "varies in so few configurations" in row["note"]


def test_early_stopped_trials_are_refused_unless_allowed(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    pruned = trials.assign(scheduler=["asha"] * 3 + ["fifo"] * 29)
    row = correlation(pruned, metrics).iloc[0]
    assert _refused(row)
    assert "3 trials ran under early stopping (asha)" in row["note"]
    assert correlation(pruned, metrics, allow_pruned=True).iloc[0]["n_trials"] == 32


def test_a_sweep_without_rows_is_refused_not_an_exception(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    row = correlation(trials.assign(status="planned"), metrics.iloc[:0]).iloc[0]
    assert _refused(row)
    assert row["n_unfinished"] == 32


def test_the_measure_loss_is_not_the_hyperparameter_loss(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, metrics = sweep
    metrics = metrics.assign(loss=metrics["srank"] * 2)
    row = correlation(trials, metrics, measure="loss").iloc[0]
    assert row["pearson"] == pytest.approx(correlation(trials, metrics).iloc[0]["pearson"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measure": "rank"}, "no column 'rank'"),
        ({"draws": 10}, "at least 100"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"min_configurations": 1}, "at least 3"),
        ({"within": ["flavour"]}, "no column 'flavour'"),
    ],
)
def test_wrong_questions_name_what_is_allowed(
    sweep: tuple[pd.DataFrame, pd.DataFrame], options: dict[str, object], says: str
) -> None:
    with pytest.raises(AnalysisError, match=says):
        correlation(*sweep, **options)  # type: ignore[arg-type]


def test_contrast_of_two_spaces_uses_zou(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = pd.DataFrame(
        {
            "env": "e",
            "space": ["narrow", "broad"],
            "n_configurations": [103, 66],
            "confidence": 0.95,
            "spearman": [0.49, 0.36],
            "spearman_low": [0.3283, 0.1301],
            "spearman_high": [0.6243, 0.5532],
        }
    )
    row = correlation_contrast(table).iloc[0]
    assert row["difference"] == pytest.approx(0.13)
    low = 0.13 - np.hypot(0.49 - 0.3283, 0.5532 - 0.36)
    high = 0.13 + np.hypot(0.6243 - 0.49, 0.36 - 0.1301)
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["p"] > 0.05


def test_contrast_without_a_second_space_is_refused(sweep: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    row = correlation_contrast(correlation(*sweep)).iloc[0]
    assert row["note"] == "refused: no correlation in broad"
    assert np.isnan(row["difference"])


def test_regression_line_passes_through_least_squares_and_widens_outwards() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=40), 2)
    y = 1 + 2 * x + rng.normal(size=80)
    at = np.array([x.min(), x.mean(), x.max()])
    line = regression_line(x, y, np.repeat(np.arange(40), 2), at)
    fit = stats.linregress(x, y)
    assert line["fit"].to_numpy() == pytest.approx(fit.intercept + fit.slope * at)
    width = (line["high"] - line["low"]).to_numpy()
    assert width[0] > width[1] < width[2]
    ols = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(40), 2)}, use_t=True
    )
    expected = ols.get_prediction(sm.add_constant(at)).conf_int()
    assert width == pytest.approx(expected[:, 1] - expected[:, 0], rel=0.15)
