"""Two one-sided tests against statsmodels, their verdicts, and how often they are wrong."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW, ttost_ind

from sweep.analysis.catalog import TABLES
from sweep.analysis.frames import AnalysisError
from sweep.analysis.multiplicity import holm
from sweep.analysis.thresholds.equivalence import equivalence, tost
from sweep.analysis.thresholds.response_curve import ResponseCurve
from sweep.analysis.thresholds.threshold_ate import threshold_ate

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame]

RATES = list(np.geomspace(1e-5, 1e-2, 50))


@pytest.fixture
def sweep(trials_table: Table, metrics_table: Table) -> Sweep:
    """50 learning rates x 2 seeds x relu and tanh: the rank goes with the return under relu, and not under tanh."""
    trials = trials_table(RATES, 2, activations=("relu", "tanh"))
    rng = np.random.default_rng(0)
    rank = np.repeat(rng.normal(30, 8, 100), 2)
    returns = np.where(trials["activation"] == "relu", 0.1 * rank, 3.0) + 0.3 * rng.normal(size=200)
    return trials, metrics_table(trials, {"srank": rank, "return_mean": returns})


@pytest.mark.parametrize("bound", [0.1, 0.4, 0.9])
def test_of_one_mean_the_p_is_statsmodels(bound: float) -> None:
    x = np.random.default_rng(0).normal(0.2, 1, 30)
    error = x.std(ddof=1) / np.sqrt(30)
    assert tost(x.mean(), error, 29, bound) == pytest.approx(DescrStatsW(x).ttost_mean(-bound, bound)[0])


def test_of_independent_trials_at_a_threshold_the_p_is_near_statsmodels(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(list(np.geomspace(1e-5, 1e-2, 200)), 1)
    rng = np.random.default_rng(1)
    x = np.where(np.arange(200) < 120, 10.0, 50.0)  # whatever is drawn, the median is 10
    y = np.where(x > 10, 0.2, 0.0) + rng.normal(size=200)
    row = equivalence(
        trials, metrics_table(trials, {"srank": x, "return_mean": y}), sesoi=0.5, draws=4000
    ).iloc[0]
    expected, _, _ = ttost_ind(y[x > 10], y[x == 10], -0.5, 0.5, usevar="unequal")
    assert row["effect"] == pytest.approx(y[x > 10].mean() - y[x == 10].mean())
    assert 0.001 < expected < 0.2
    assert row["equivalence_p"] == pytest.approx(expected, rel=0.1)


def test_of_independent_trials_the_slopes_p_is_that_of_robust_least_squares(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table(list(np.geomspace(1e-5, 1e-2, 100)), 1)
    rng = np.random.default_rng(2)
    x = rng.normal(30, 8, 100)
    y = 0.01 * x + rng.normal(size=100)
    metrics = metrics_table(trials, {"srank": x, "return_mean": y})
    row = equivalence(trials, metrics, sesoi=0.3, unit="sd", contrast="slope").iloc[0]
    fit = sm.OLS(y, sm.add_constant((x - x.mean()) / x.std())).fit(cov_type="HC2", use_t=True)
    freedom = ResponseCurve.of(x, y, np.arange(100)).per_deviation()[2]
    bound = 0.3 * y.std(ddof=1)
    expected = max(
        stats.t.sf((fit.params[1] + bound) / fit.bse[1], freedom),
        stats.t.cdf((fit.params[1] - bound) / fit.bse[1], freedom),
    )
    assert row["sesoi"] == pytest.approx(bound)
    assert row["effect"] == pytest.approx(fit.params[1])
    assert row["equivalence_p"] == pytest.approx(expected)
    assert pd.isna(row["draws"])


def test_the_contrast_is_that_of_threshold_ate(sweep: Sweep) -> None:
    table = equivalence(*sweep, sesoi=0.5, quantile=0.75)
    same = threshold_ate(*sweep, quantiles=[0.75])
    for mine, theirs in (("effect", "ate"), ("effect_low", "ate_low"), ("effect_p", "ate_p")):
        assert table[mine].to_numpy() == pytest.approx(same[theirs].to_numpy())


@pytest.mark.parametrize("contrast", ["threshold", "slope"])
def test_verdicts_follow_the_declared_smallest_effect(sweep: Sweep, contrast: str) -> None:
    def verdicts(sesoi: float) -> dict[str, str]:
        table = equivalence(*sweep, sesoi=sesoi, contrast=contrast)
        inside = (table["equivalence_low"] > -table["sesoi"]) & (table["equivalence_high"] < table["sesoi"])
        assert (inside == (table["equivalence_p"] < 0.05)).all()
        assert table["p_holm"].to_numpy() == pytest.approx(holm(table["equivalence_p"]))
        return dict(zip(table["type"], table["verdict"], strict=True))

    moderate = verdicts(0.3)
    assert (moderate["relu"], moderate["tanh"]) == ("different", "equivalent")
    assert verdicts(0.01)["tanh"] == "undecided"
    assert set(verdicts(50.0).values()) == {"equivalent"}


def test_a_difference_that_is_sure_and_small_is_equivalent_and_says_that_it_is_there(sweep: Sweep) -> None:
    table = equivalence(*sweep, sesoi=50.0).set_index("type")
    assert table.loc["relu", "effect_p"] < 0.05
    assert "differs from zero, by less than the smallest effect" in table.loc["relu", "note"]
    narrow = equivalence(*sweep, sesoi=float(table.loc["relu", "effect"])).set_index("type")
    assert narrow.loc["relu", "verdict"] == "different"
    assert "perhaps by less than the smallest effect" in narrow.loc["relu", "note"]


def test_types_of_an_environment_share_its_standard_deviation(sweep: Sweep) -> None:
    table = equivalence(*sweep, sesoi=0.5, unit="sd")
    assert table["sesoi"].tolist() == pytest.approx([0.5 * sweep[1]["return_mean"].std()] * 3)


def test_an_effect_of_just_the_smallest_size_is_called_equivalent_in_5_percent_of_sweeps(
    clustered: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    xs, ys = clustered(np.random.default_rng(3), 16, 4, 0.5, 0.7, 400)
    cluster = np.repeat(np.arange(16), 4)
    wrong = []
    for x, y in zip(xs, ys, strict=True):
        estimate, error, freedom = ResponseCurve.of(x.ravel(), y.ravel(), cluster).per_deviation()
        truth = 0.35 * x.std()
        wrong.append(tost(estimate, error, freedom, truth) < 0.05)
    assert np.mean(wrong) <= 0.085  # three binomial standard errors above 5 %


def test_without_a_declared_smallest_effect_the_error_says_why_and_what_to_give(sweep: Sweep) -> None:
    with pytest.raises(
        AnalysisError, match=r"no smallest effect of interest is declared.*sesoi=0\.2 with unit=sd"
    ):
        equivalence(*sweep)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sesoi": 0.0}, "sesoi=0.0: must be above 0"),
        ({"sesoi": float("inf")}, "sesoi=inf: must be above 0"),
        ({"unit": "percent"}, "unit=percent: must be outcome"),
        ({"contrast": "ate"}, "contrast=ate: must be one of threshold, slope"),
        ({"quantile": 1.5}, "must lie between 0 and 1"),
        ({"confidence": 0.4}, r"between 0\.5 and 1"),
        ({"draws": 10}, "at least 100"),
        ({"min_side": 0}, "must be at least 2"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        equivalence(*sweep, **{"sesoi": 0.5, **options})  # type: ignore[arg-type]


def test_refused_rows_have_no_verdict(sweep: Sweep) -> None:
    trials, metrics = sweep
    for options in ({"min_side": 60}, {"contrast": "slope", "min_configurations": 200}):
        row = equivalence(trials, metrics, sesoi=0.5, by="none", **options).iloc[0]  # type: ignore[arg-type]
        assert str(row["note"]).startswith("refused: ")
        assert pd.isna(row["verdict"])
        assert np.isnan(row["effect"])
    perfect = equivalence(
        trials, metrics.assign(return_mean=2 * metrics["srank"]), sesoi=0.5, by="none", contrast="slope"
    ).iloc[0]
    assert "nothing says how sure the slope is" in perfect["note"]


def test_the_table_is_in_the_catalogue(sweep: Sweep) -> None:
    table = TABLES["equivalence"]
    given = {"sesoi": "0.5", "unit": "sd", "contrast": "slope", "by": "none"}
    options = {key: table.options[key].parse(key, text) for key, text in given.items()}
    assert table.build(*sweep, **options)["type"].tolist() == ["combined"]
