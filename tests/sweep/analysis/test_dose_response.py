"""The outcome along a measure: line, curve, band and bend against statsmodels and patsy, and how often they cover."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis.catalog import TABLES
from sweep.analysis.frames import AnalysisError
from sweep.analysis.multiplicity import holm
from sweep.analysis.thresholds.dose_response import dose_response, dose_response_summary
from sweep.analysis.thresholds.natural_spline import NaturalSpline
from sweep.analysis.thresholds.response_curve import ResponseCurve

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame]

RATES = list(np.geomspace(1e-5, 1e-2, 30))


@pytest.fixture
def sweep(trials_table: Table, metrics_table: Table) -> Sweep:
    """30 learning rates x 2 seeds x relu and tanh: the return follows the rank up to 35 and no further."""
    trials = trials_table(RATES, 2, activations=("relu", "tanh"))
    rng = np.random.default_rng(0)
    rank = np.round(np.repeat(rng.uniform(5, 60, 60), 2) + rng.normal(0, 1, 120))
    returns = np.minimum(rank, 35) / 10 + 0.3 * np.repeat(rng.normal(size=60), 2) + 0.2 * rng.normal(size=120)
    return trials, metrics_table(trials, {"srank": rank, "return_mean": returns})


def test_the_spline_spans_the_curves_of_patsys_natural_spline() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(10, 60, 200), rng.normal(size=200)
    knots = (float(x.min()), 25.0, 40.0, float(x.max()))
    mine = np.column_stack([np.ones(200), NaturalSpline(knots).basis(x)])
    theirs = patsy.dmatrix(
        "cr(x, knots=[25, 40], lower_bound=low, upper_bound=high) - 1",
        {"x": x, "low": knots[0], "high": knots[-1]},
    )
    assert sm.OLS(y, mine).fit().fittedvalues == pytest.approx(
        sm.OLS(y, np.asarray(theirs)).fit().fittedvalues
    )


def test_the_spline_is_straight_beyond_its_outer_knots() -> None:
    spline = NaturalSpline((0.0, 1.0, 2.0, 3.0))
    for outside in (np.linspace(-3, 0, 7), np.linspace(3, 6, 7)):
        assert np.diff(spline.basis(outside), n=2, axis=0) == pytest.approx(0, abs=1e-12)


def test_a_measure_of_few_values_has_fewer_knots() -> None:
    x = np.arange(100.0)
    assert NaturalSpline.through(x, 4).knots == pytest.approx(np.quantile(x, [0.05, 0.35, 0.65, 0.95]))
    assert len(NaturalSpline.through(np.repeat([1.0, 2.0, 3.0], 40), 4).knots) == 3
    assert NaturalSpline.through(np.repeat([1.0, 2.0], 40), 4).knots == ()


def test_line_band_bend_and_shares_are_those_of_least_squares_with_robust_errors() -> None:
    rng = np.random.default_rng(1)
    x = 1000 + 20 * rng.normal(size=400)
    y = 3 * np.sin((x - 1000) / 25) + rng.normal(size=400)
    curve = ResponseCurve.of(x, y, np.arange(400))
    line = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HC2", use_t=True)
    slope, bounds, freedom = curve.slope(0.95)
    assert slope == pytest.approx(line.params[1])
    assert bounds.high - slope == pytest.approx(stats.t.ppf(0.975, freedom) * line.bse[1])
    assert curve.explained(curve.line) == pytest.approx(line.rsquared)
    design = np.column_stack([np.ones(400), curve.spline.basis((x - x.mean()) / x.std())])
    bent = sm.OLS(y, design).fit(cov_type="HC2", use_t=True)
    assert curve.explained(curve.curve) == pytest.approx(bent.rsquared)
    at = np.array([960.0, 1000.0, 1030.0])
    rows = np.column_stack([np.ones(3), curve.spline.basis((at - x.mean()) / x.std())])
    expected = bent.get_prediction(rows)
    fits = curve.band(at, 0.95)
    assert [fit for fit, _ in fits] == pytest.approx(expected.predicted_mean)
    for (fit, band), row, error in zip(fits, rows, expected.se, strict=True):
        freedom = curve.curve.contrast(row).freedom
        assert 10 < freedom < 399
        assert band.high - fit == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert curve.straight(at) == pytest.approx(line.params[0] + line.params[1] * at)
    # Less bent: a p that is not zero.
    flat = y - 0.95 * 3 * np.sin((x - 1000) / 25)
    wald = (
        sm.OLS(flat, design).fit(cov_type="HC2", use_t=True).wald_test(np.eye(4)[2:], scalar=True, use_f=True)
    )
    found = ResponseCurve.of(x, flat, np.arange(400)).bend_p()
    assert 0.001 < found < 0.999
    assert found == pytest.approx(wald.pvalue, abs=0.02)


def test_seeds_of_a_configuration_widen_the_band_to_that_of_the_configurations() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=40), rng.normal(size=40)
    once = ResponseCurve.of(x, y, np.arange(40))
    often = ResponseCurve.of(np.repeat(x, 5), np.repeat(y, 5), np.repeat(np.arange(40), 5))
    for (fit, band), (same, copied) in zip(
        once.band([-1, 0, 1], 0.95), often.band([-1, 0, 1], 0.95), strict=True
    ):
        assert same == pytest.approx(fit, rel=0.1, abs=0.05)  # knots move a little
        assert copied.high - copied.low == pytest.approx(band.high - band.low, rel=0.1)
    assert often.slope(0.95)[1].p == pytest.approx(once.slope(0.95)[1].p)


def test_a_straight_truth_is_called_bent_in_5_percent_of_sweeps_and_lies_in_the_band(
    clustered: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    xs, ys = clustered(np.random.default_rng(3), 16, 4, 0.6, 0.7, 300)
    cluster = np.repeat(np.arange(16), 4)
    bent, inside = [], []
    for x, y in zip(xs, ys, strict=True):
        curve = ResponseCurve.of(x.ravel(), y.ravel(), cluster)
        bent.append(curve.bend_p() < 0.05)
        inside += [
            band.low <= 0.42 * at <= band.high
            for at, (_, band) in zip((-1.0, 0.0, 1.0), curve.band([-1, 0, 1], 0.95), strict=True)
        ]
    assert np.mean(bent) <= 0.09  # three binomial standard errors above 5 %
    assert 0.91 <= np.mean(inside) <= 0.985


def test_the_table_is_a_curve_for_all_trials_and_for_each_activation(sweep: Sweep) -> None:
    table = dose_response(*sweep)
    assert table.groupby("type", sort=False).size().to_dict() == {"combined": 40, "relu": 40, "tanh": 40}
    x = sweep[1]["srank"]
    whole = table[table["type"] == "combined"]
    assert (whole["at"].iloc[0], whole["at"].iloc[-1]) == pytest.approx(tuple(np.quantile(x, [0.02, 0.98])))
    assert ((whole["fit_low"] < whole["fit"]) & (whole["fit"] < whole["fit_high"])).all()
    truth = np.minimum(whole["at"], 35) / 10
    assert ((whole["fit"] - truth).abs() < 0.4).all()
    assert (whole["line"] - truth).abs().max() > 0.5
    assert len(dose_response(*sweep, by="none", points=7)) == 7


def test_the_summary_says_that_the_return_bends_and_what_either_explains(sweep: Sweep) -> None:
    trials, metrics = sweep
    table = dose_response_summary(trials, metrics)
    assert table["type"].tolist() == ["combined", "relu", "tanh"]
    assert (table["bend_p"] < 0.001).all()
    assert (table["explained_by_curve"] > table["explained_by_line"] + 0.05).all()
    assert table["slope"].iloc[0] == pytest.approx(
        stats.linregress(metrics["srank"], metrics["return_mean"]).slope
    )
    assert table["p_holm"].to_numpy() == pytest.approx(holm(table["slope_p"]))
    assert table["bend_p_holm"].to_numpy() == pytest.approx(holm(table["bend_p"]))
    assert table["knots"].tolist() == [4, 4, 4]
    straight = metrics.assign(return_mean=metrics["srank"] + np.random.default_rng(0).normal(size=120))
    assert (dose_response_summary(trials, straight)["bend_p"] > 0.05).all()


def test_two_values_or_six_configurations_carry_less_of_a_curve(sweep: Sweep) -> None:
    trials, metrics = sweep
    two = metrics.assign(srank=(metrics["srank"] > 30).astype(float))
    row = dose_response_summary(trials, two, by="none").iloc[0]
    assert row["knots"] == 0
    assert np.isnan(row["bend_p"])
    assert "a straight line, since srank takes 2 values in 60 configurations" in row["note"]
    curve = dose_response(trials, two, by="none")
    assert curve["fit"].to_numpy() == pytest.approx(curve["line"].to_numpy())
    few = dose_response_summary(trials.iloc[:12], metrics.iloc[:12]).iloc[0]
    assert few["knots"] == 3
    assert "few configurations (6)" in few["note"]


def test_a_group_that_carries_no_estimate_is_one_row_that_says_why(sweep: Sweep) -> None:
    trials, metrics = sweep
    for table in (dose_response, dose_response_summary):
        constant = table(trials, metrics.assign(srank=64.0), by="none")
        assert len(constant) == 1
        assert "srank is 64 in all 120 trials" in constant["note"].iloc[0]
        perfect = table(trials, metrics.assign(return_mean=2 * metrics["srank"]), by="none").iloc[0]
        assert str(perfect["note"]).startswith("refused: ")
        numbers = [c for c in perfect.index if c.startswith(("fit", "slope", "bend", "explained", "line"))]
        assert perfect[numbers].isna().all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measure": "rank"}, "no column 'rank'"),
        ({"knots": 7}, "knots=7: must be one of 3, 4, 5"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"by": "flavour"}, "no column 'flavour'"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    for table in (dose_response, dose_response_summary):
        with pytest.raises(AnalysisError, match=says):
            table(*sweep, **options)  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="points=1: a curve needs at least 2"):
        dose_response(*sweep, points=1)


def test_both_tables_are_in_the_catalogue(sweep: Sweep) -> None:
    for name in ("dose-response", "dose-response-summary"):
        table = TABLES[name]
        options = {
            key: table.options[key].parse(key, text) for key, text in {"knots": "3", "by": "none"}.items()
        }
        assert set(table.build(*sweep, **options)["type"]) == {"combined"}
