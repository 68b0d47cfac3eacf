from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis import AnalysisError, specification_curve, specification_summary
from sweep.analysis.confounding.covariates import covariates
from sweep.analysis.interventions.least_squares import LeastSquares
from sweep.analysis.specifications.rank_definitions import Definition
from sweep.analysis.specifications.specification_curve import Curve
from sweep.analysis.specifications.specification_summary import summarise
from sweep.analysis.specifications.specifications import (
    LINE,
    Columns,
    Specification,
    fit,
    permutations,
    z_scores,
)

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame]
RATES = list(np.geomspace(1e-4, 1e-2, 16))
STEPS = np.arange(100, 1001, 100)
NAMES = ["srank", "numerical_rank"]
FEW = {
    "measures": NAMES,
    "outcomes": ["return_mean"],
    "windows": [0.0, 0.5],
    "thresholds": [0.5],
    "layers": ["last"],
    "deltas": [],
}


def _series(trials: pd.DataFrame, rng: np.random.Generator, **levels: np.ndarray) -> pd.DataFrame:
    """Measures at `STEPS`, each trial's around its level."""
    count = len(trials)
    return pd.DataFrame(
        {
            "trial_id": np.repeat(trials["trial_id"].to_numpy(), len(STEPS)),
            "step": np.tile(STEPS, count),
            **{
                name: (level[:, None] + rng.normal(0, 0.1, (count, len(STEPS)))).ravel()
                for name, level in levels.items()
            },
        }
    )


@pytest.fixture
def sweep(trials_table: Table) -> Sweep:
    """16 learning rates x 3 seeds: the learning rate moves rank and return, which have nothing else in common."""
    trials = trials_table(RATES, 3)
    rng = np.random.default_rng(0)
    rate = np.log10(trials["learning_rate"].to_numpy())
    rate = (rate - rate.mean()) / rate.std()
    rank = -rate + rng.normal(0, 0.7, 48)
    metrics = _series(
        trials,
        rng,
        srank=20 + 5 * rank,
        numerical_rank=6 + rank + rng.normal(0, 0.5, 48),
        return_mean=-rate + rng.normal(0, 0.7, 48),
    )
    return trials, metrics


def _final(metrics: pd.DataFrame, name: str) -> np.ndarray:
    return metrics.loc[metrics["step"] == 1000, name].to_numpy()


def _row(table: pd.DataFrame, **choices: object) -> pd.Series:
    for name, value in choices.items():
        table = table[table[name].isna() if value is None else table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_an_unadjusted_line_at_the_end_is_pearsons_correlation(sweep: Sweep) -> None:
    trials, metrics = sweep
    table = specification_curve(trials, metrics, **FEW)  # type: ignore[arg-type]
    row = _row(table, measure="srank", window=0.0, threshold=None, adjust="none")
    x, y = _final(metrics, "srank"), _final(metrics, "return_mean")
    assert row["estimate"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert row["n_configurations"] == 16
    split = _row(table, measure="srank", window=0.0, threshold=0.5, adjust="none")
    assert split["estimate"] == pytest.approx(stats.pointbiserialr(x > np.quantile(x, 0.5), y).statistic)
    late = metrics[metrics["step"] > 500].groupby("trial_id")[["numerical_rank", "return_mean"]].mean()
    row = _row(table, measure="numerical_rank", window=0.5, threshold=None, adjust="none")
    assert row["estimate"] == pytest.approx(
        stats.pearsonr(late["numerical_rank"], late["return_mean"]).statistic
    )


def test_an_adjusted_line_is_the_coefficient_of_a_regression_with_clustered_errors(
    trials_table: Table,
) -> None:
    trials = trials_table(RATES[::4], 4, activations=("relu", "tanh", "elu"))
    rng = np.random.default_rng(1)
    metrics = _series(trials, rng, srank=rng.normal(size=48), return_mean=rng.normal(size=48))
    chosen = FEW | {"measures": ["srank"], "adjust": ["all", "activation"]}
    table = specification_curve(trials, metrics, **chosen)  # type: ignore[arg-type]
    x, y = (stats.zscore(_final(metrics, name), ddof=1) for name in ("srank", "return_mean"))
    activation = pd.get_dummies(trials["activation"], drop_first=True, dtype=float).to_numpy()
    rate = pd.get_dummies(trials["learning_rate"], drop_first=True, dtype=float).to_numpy()
    seed = pd.get_dummies(trials["seed"], drop_first=True, dtype=float).to_numpy()
    for adjust, others in (("activation", [activation]), ("all", [activation, rate, seed])):
        row = _row(table, window=0.0, threshold=None, adjust=adjust)
        ols = sm.OLS(y, sm.add_constant(np.column_stack([x, *others]), prepend=False)).fit()
        assert row["estimate"] == pytest.approx(ols.params[0])
        # CRV2 lies between the sandwich without and with the jackknife's correction.
        groups = np.repeat(np.arange(12), 4)
        plain = ols.get_robustcov_results(
            "cluster", groups=groups, df_correction=False, use_correction=False
        ).bse[0]
        jackknife = ols.get_robustcov_results("cluster-crv3", groups=groups).bse[0]
        error = (row["estimate_high"] - row["estimate"]) / stats.t.ppf(0.975, row["freedom"])
        assert plain < error < jackknife


def test_rows_are_sorted_and_say_what_was_chosen(sweep: Sweep) -> None:
    table = specification_curve(*sweep, **FEW)  # type: ignore[arg-type]
    assert len(table) == 2 * 2 * 2 * 2  # measures, windows, line or split, none or all
    assert table["estimate"].is_monotonic_increasing
    assert table["position"].tolist() == list(range(1, 17))
    assert table["kind"].unique().tolist() == ["associational"]
    assert (table["significant"] == (table["estimate_p"] < 0.05)).all()
    assert table.loc[table["measure"] == "srank", "delta"].unique().tolist() == [0.01]


def test_the_summary_is_that_of_the_curve(sweep: Sweep) -> None:
    table = specification_curve(*sweep, **FEW)  # type: ignore[arg-type]
    row = specification_summary(*sweep, **FEW, permutations=100).iloc[0]  # type: ignore[arg-type]
    assert (row["n_run"], row["n_possible"], row["n_exchangeable"]) == (16, 16, 16)
    assert row["median"] == pytest.approx(table["estimate"].median())
    assert (row["lowest"], row["highest"]) == (table["estimate"].min(), table["estimate"].max())
    assert row["sign"] == "positive"
    assert row["share_of_sign"] == pytest.approx((table["estimate"] > 0).mean())
    up, down = (table["significant"] & (sign * table["estimate"] > 0) for sign in (1, -1))
    assert row["share_significant"] == pytest.approx(up.mean())
    assert row["share_significant_other_sign"] == pytest.approx(down.mean())


def test_permuted_curves_are_what_refitting_a_permuted_outcome_gives(sweep: Sweep) -> None:
    trials, metrics = sweep
    frame = trials.assign(configuration=np.repeat(np.arange(16), 3))
    definition = Definition("srank", "last", 0.01)
    x, y = _final(metrics, "srank"), _final(metrics, "return_mean")
    columns = Columns(frame, {(definition, 0.0): x}, {("return_mean", 0.0): y})
    orders, free = permutations(columns, 20, np.random.default_rng(0))
    assert free == 16
    asked = [Specification(definition, "return_mean", 0.0, LINE, adjust) for adjust in ("none", "all")]
    found = fit(columns, asked, orders)
    for i, design in enumerate((np.ones((48, 1)), covariates(frame).main())):
        z_x, z_y = (stats.zscore(v, ddof=1) for v in (x, y))
        residual = z_y - design @ np.linalg.lstsq(design, z_y, rcond=None)[0]
        model = LeastSquares(np.column_stack([z_x, design]), columns.cluster)
        first = np.eye(model.x.shape[1])[0]
        contrast = model.contrast(first)
        for p in range(20):
            other = residual[orders[p]]
            expected = contrast.weights @ other / np.sqrt(model.variance(contrast, other))
            assert found.permuted[i][p] == pytest.approx(expected)


def test_whole_configurations_change_places_with_their_like(trials_table: Table) -> None:
    a, b = (trials_table(RATES[:4], 2, env=f"fam/{env}", prefix=env) for env in "ab")
    trials = pd.concat([a, b], ignore_index=True)
    frame = trials.assign(configuration=np.tile(np.repeat(np.arange(4), 2), 2)).drop(index=15)
    orders, free = permutations(Columns(frame, {}, {}), 200, np.random.default_rng(0))
    assert free == 3  # the fourth lacks a trial
    assert (np.sort(orders, axis=1) == np.arange(15)).all()
    moved = frame["configuration"].to_numpy()[orders]
    for field in ("env", "seed"):
        values = frame[field].to_numpy()
        assert (values[orders] == values).all()
    # A setting takes another's trials in both environments.
    for cluster in range(4):
        own = moved[:, (frame["configuration"] == cluster).to_numpy()]
        assert (own == own[:, :1]).all()
    assert set(moved[:, 0]) == {0, 1, 2}
    assert set(moved[:, 6]) == {3}


def test_choices_that_give_the_same_numbers_are_one_specification(sweep: Sweep) -> None:
    trials, metrics = sweep
    metrics = metrics.assign(
        entropy_rank=metrics["srank"] * 2 + 1, return_normalized=metrics["return_mean"] / 10
    )
    row = specification_summary(
        trials,
        metrics,
        measures=["srank", "entropy_rank", "srank_eigenvalue"],
        windows=[0.0, 0.1],
        thresholds=[],
        layers=["last"],
        deltas=[0.05],
        adjust=["none"],
        permutations=100,
    ).iloc[0]
    # srank at another δ needs singular values; the last tenth holds the last value alone, and a share of the
    # return is the return.
    assert (row["n_possible"], row["n_run"]) == (4 * 3 * 2, 1)
    assert (row["n_duplicate"], row["n_not_measured"]) == (7, 16)


def test_several_environments_have_a_curve_together(trials_table: Table) -> None:
    rng = np.random.default_rng(2)
    parts = [trials_table(RATES, 2, env=f"fam/{env}", prefix=env) for env in "ab"]
    trials = pd.concat(parts, ignore_index=True)
    level = rng.normal(size=64)
    scale = np.repeat([1.0, 100.0], 32)
    metrics = _series(trials, rng, srank=level + scale, return_mean=scale * (level + rng.normal(0, 0.3, 64)))
    row = specification_summary(trials, metrics, **FEW, permutations=100).set_index("env").loc["all"]  # type: ignore[arg-type]
    assert row["n_configurations"] == 16
    assert row["n_no_common_scale"] == row["n_possible"] / 3
    assert row["median"] > 0.5
    table = specification_curve(trials, metrics, **FEW)  # type: ignore[arg-type]
    pooled = table[(table["env"] == "all") & (table["adjust"] == "env") & (table["measure"] == "srank")]
    x, y = (
        np.concatenate([stats.zscore(part, ddof=1) for part in np.split(_final(metrics, name), 2)])
        for name in ("srank", "return_mean")
    )
    found = _row(pooled, window=0.0, threshold=None)
    assert found["estimate"] == pytest.approx(stats.pearsonr(x, y).statistic)


def _p_values(
    trials: pd.DataFrame, effect: float, confounding: float, adjust: str, times: int
) -> npt.NDArray[np.float64]:
    """p of the median and of the significant share, in ``times`` simulated sweeps, ``[times, 2]``."""
    rng = np.random.default_rng(5)
    rate = stats.zscore(np.log(trials["learning_rate"].to_numpy()))
    frame = trials.assign(configuration=np.repeat(np.arange(16), 3))
    definitions = [Definition(name) for name in "abc"]
    asked = [
        Specification(definition, "return", 0.0, threshold, adjust)
        for definition in definitions
        for threshold in (LINE, 0.5)
    ]

    def noise() -> npt.NDArray[np.float64]:
        return np.repeat(rng.normal(size=16), 3) + rng.normal(0, 0.5, 48)

    found = []
    for _ in range(times):
        rank = confounding * rate + noise()
        outcome = effect * rank + confounding * rate + noise()
        ranks = {(definition, 0.0): rank + rng.normal(0, 0.5, 48) for definition in definitions}
        columns = Columns(frame, ranks, {("return", 0.0): outcome})
        orders, free = permutations(columns, 100, rng)
        row = summarise(Curve(fit(columns, asked, orders), len(asked), 0, 16, free), 0.95)
        found.append((row["median_p"], row["share_significant_p"]))
    return np.array(found, dtype=float)


def test_a_curve_stands_out_in_5_percent_of_sweeps_without_an_effect(trials_table: Table) -> None:
    trials = trials_table(RATES, 3)
    none = _p_values(trials, 0.0, 0.0, "none", 60)
    assert ((none <= 0.05).mean(axis=0) <= 0.15).all()
    # What confounds is adjusted for: the permuted residuals leave its effect where it is.
    confounded = _p_values(trials, 0.0, 2.0, "learning_rate", 60)
    assert ((confounded <= 0.05).mean(axis=0) <= 0.15).all()
    assert (_p_values(trials, 0.0, 2.0, "none", 10)[:, 0] <= 0.05).all()
    assert (_p_values(trials, 2.0, 1.0, "learning_rate", 10)[:, 0] <= 0.05).all()


def test_normal_scores_have_the_p_of_t() -> None:
    t = np.array([[-2.5, 0.0, 40.0]])
    z = z_scores(t, np.array([7.0]))
    assert stats.norm.sf(np.abs(z)) == pytest.approx(stats.t.sf(np.abs(t), 7.0))
    assert np.sign(z).tolist() == [[-1.0, 0.0, 1.0]]


def test_a_constant_and_a_collinear_measure_are_counted_not_run(sweep: Sweep) -> None:
    trials, metrics = sweep
    rate = np.repeat(trials["learning_rate"].to_numpy(), len(STEPS))
    metrics = metrics.assign(srank=7.0, numerical_rank=np.log(rate))
    row = specification_summary(
        trials,
        metrics,
        **FEW | {"adjust": ["learning_rate"], "thresholds": []},
        permutations=100,  # type: ignore[arg-type]
    ).iloc[0]
    assert (row["n_run"], row["n_constant"], row["n_collinear"]) == (0, 2, 2)
    assert row["note"] == "refused: no specification can be run"
    assert np.isnan(row["median"])


def test_trials_without_a_measure_are_left_out_of_the_whole_curve_and_counted(sweep: Sweep) -> None:
    trials, metrics = sweep
    metrics = metrics.copy()
    metrics.loc[metrics["trial_id"].isin(trials["trial_id"][:2]), "numerical_rank"] = np.nan
    row = specification_summary(trials, metrics, **FEW, permutations=100).iloc[0]  # type: ignore[arg-type]
    assert (row["n_incomplete"], row["n_exchangeable"], row["n_run"]) == (2, 15, 16)
    assert row["note"].startswith("1 of 16 configurations have trials like no other's")
    metrics.loc[metrics["trial_id"].isin(trials["trial_id"][:20]), "numerical_rank"] = np.nan
    row = specification_summary(trials, metrics, **FEW, permutations=100).iloc[0]  # type: ignore[arg-type]
    assert (row["n_incomplete"], row["n_not_measured"], row["n_run"]) == (0, 8, 8)


def test_few_configurations_and_early_stopping_are_refused(sweep: Sweep) -> None:
    trials, metrics = sweep
    few = specification_summary(trials[trials["learning_rate"] < 2e-4], metrics, **FEW)  # type: ignore[arg-type]
    assert few["note"].iloc[0].startswith("refused: 3 configurations")
    pruned = specification_curve(trials.assign(scheduler="asha"), metrics, **FEW)  # type: ignore[arg-type]
    assert len(pruned) == 1
    assert "early stopping" in pruned["note"].iloc[0]
    assert np.isnan(pruned["estimate"].iloc[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"windows": [1.5]}, "windows=1.5: must be shares of training"),
        ({"thresholds": [0.0]}, "thresholds=0: must be quantiles"),
        ({"deltas": [1.0]}, "deltas=1: must be shares"),
        ({"layers": ["second"]}, "layers=second: must be of last"),
        ({"adjust": ["flavour"]}, "adjust=flavour: must be of none, env, all"),
        ({"measures": []}, "measures is empty"),
        ({"measures": ["applause"]}, "measures=applause: none was measured"),
        ({"outcomes": ["applause"]}, "outcomes=applause: none was measured"),
        ({"permutations": 10}, "permutations=10: a p-value needs at least 100"),
        ({"confidence": 95}, "between 0 and 1"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        specification_summary(*sweep, **options)  # type: ignore[arg-type]
