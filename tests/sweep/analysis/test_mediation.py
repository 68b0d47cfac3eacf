"""Paths of a linear chain, against statsmodels and chains whose effects are known."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from factorial_sweeps import measured, study, trials_of
from statsmodels.stats.mediation import Mediation

from sweep.analysis import AnalysisError, mediation
from sweep.analysis.intervals import cluster_draws, mean_interval
from sweep.analysis.interventions.serial_chain import Chain, fit

RATES = [float(f"{rate:.6g}") for rate in np.geomspace(1e-5, 1e-2, 20)]
A, D, B = 3.0, -2.0, 0.5
"""Learning rate (per factor of ten) -> dead units -> rank -> return."""


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return trials_of(study({"learning_rate": RATES}, 3, design={"kind": "grid"}))


def chain(trials: pd.DataFrame, rng: np.random.Generator, noise: float = 1.0) -> dict[str, np.ndarray]:
    """Dead units act on the return through the rank alone; the learning rate also directly, by 1."""

    def around() -> np.ndarray:
        return noise * (rng.normal(size=20).repeat(3) + 0.5 * rng.normal(size=60))

    rate = np.log10(trials["learning_rate"].to_numpy())
    dead = 10 + A * rate + around()
    rank = 60 + D * dead + around()
    return {"dead_units": dead, "srank": rank, "return_mean": B * rank + rate + around()}


def by_path(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["effect", "path"])


def test_every_path_is_a_coefficient_of_least_squares(trials: pd.DataFrame) -> None:
    values = chain(trials, np.random.default_rng(0))
    table = by_path(mediation(trials, measured(trials, **values), draws=200))
    rate = np.log10(trials["learning_rate"].to_numpy())
    dead, rank, score = values["dead_units"], values["srank"], values["return_mean"]
    first = sm.OLS(dead, sm.add_constant(rate)).fit().params
    second = sm.OLS(rank, sm.add_constant(np.column_stack([rate, dead]))).fit().params
    third = sm.OLS(score, sm.add_constant(np.column_stack([rate, dead, rank]))).fit().params
    total = sm.OLS(score, sm.add_constant(rate)).fit().params
    expected = {
        ("path", "learning_rate -> dead_units"): first[1],
        ("path", "learning_rate -> srank"): second[1],
        ("path", "dead_units -> srank"): second[2],
        ("path", "dead_units -> return_mean"): third[2],
        ("path", "srank -> return_mean"): third[3],
        ("total", "learning_rate -> return_mean"): total[1],
        ("direct", "learning_rate -> return_mean"): third[1],
        ("indirect", "learning_rate -> dead_units -> return_mean"): first[1] * third[2],
        ("indirect", "learning_rate -> srank -> return_mean"): second[1] * third[3],
        ("indirect", "learning_rate -> dead_units -> srank -> return_mean"): first[1] * second[2] * third[3],
        ("indirect", "all"): total[1] - third[1],
    }
    assert table["estimate"].to_dict() == pytest.approx(expected, rel=1e-8)
    row = table.loc[("path", "dead_units -> srank")]
    assert row["standardised"] == pytest.approx(row["estimate"] * dead.std() / rank.std())
    serial = table.loc[("indirect", "learning_rate -> dead_units -> srank -> return_mean")]
    assert serial["standardised"] == pytest.approx(serial["estimate"] * rate.std() / score.std())
    assert serial["share_of_total"] == pytest.approx(serial["estimate"] / total[1])
    assert table["treatment_scale"].unique().tolist() == ["log10"]


def test_effects_that_were_put_there_are_within_the_intervals(trials: pd.DataFrame) -> None:
    table = by_path(mediation(trials, measured(trials, **chain(trials, np.random.default_rng(1)))))
    truth = {
        ("path", "learning_rate -> dead_units"): A,
        ("path", "dead_units -> srank"): D,
        ("path", "dead_units -> return_mean"): 0.0,
        ("total", "learning_rate -> return_mean"): A * D * B + 1,
        ("direct", "learning_rate -> return_mean"): 1.0,
        ("indirect", "learning_rate -> dead_units -> srank -> return_mean"): A * D * B,
        ("indirect", "all"): A * D * B,
    }
    for key, value in truth.items():
        assert table.loc[key, "estimate_low"] < value < table.loc[key, "estimate_high"], key


def test_one_mediator_agrees_with_the_simulation_of_statsmodels(trials: pd.DataFrame) -> None:
    values = chain(trials, np.random.default_rng(2))
    table = by_path(mediation(trials, measured(trials, **values), mediators=["srank"], draws=200))
    data = pd.DataFrame({**values, "rate": np.log10(trials["learning_rate"])})
    outcome = sm.OLS.from_formula("return_mean ~ rate + srank", data)
    mediator = sm.OLS.from_formula("srank ~ rate", data)
    np.random.seed(0)  # noqa: NPY002 - statsmodels draws from the global generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Mediation(outcome, mediator, "rate", mediator="srank").fit(n_rep=60).summary()["Estimate"]
    assert table.loc[("indirect", "all"), "estimate"] == pytest.approx(found["ACME (average)"], abs=0.2)
    assert table.loc[("direct", "learning_rate -> return_mean"), "estimate"] == pytest.approx(
        found["ADE (average)"], abs=0.2
    )
    assert len(table) == 5  # two paths, total, direct, one indirect


def test_only_what_the_design_set_is_called_randomised(trials: pd.DataFrame) -> None:
    metrics = measured(trials, **chain(trials, np.random.default_rng(3)))
    kinds = by_path(mediation(trials, metrics, draws=100))["kind"]
    randomised = [key for key, kind in kinds.items() if kind == "randomised"]
    assert randomised == [("path", "learning_rate -> dead_units"), ("total", "learning_rate -> return_mean")]
    of_measure = mediation(trials, metrics, "dead_units", ["srank"], draws=100)
    assert of_measure["kind"].unique().tolist() == ["associational"]
    assert of_measure["treatment_scale"].unique().tolist() == ["linear"]


def test_every_row_says_what_it_assumes(trials: pd.DataFrame) -> None:
    metrics = measured(trials, **chain(trials, np.random.default_rng(3)))
    said = mediation(trials, metrics, draws=100)["identification"].unique()
    assert len(said) == 1
    assert "dead_units is itself changed by learning_rate and acts on both srank and return_mean" in said[0]
    assert "Sequential ignorability cannot be checked" in said[0]
    refused = mediation(trials, metrics, min_configurations=21)
    assert refused["note"].str.startswith("refused").all()
    assert refused["identification"].notna().all()


def test_a_confounder_that_was_set_is_held_fixed() -> None:
    """Activation changes rank and return: without it the rank seems to matter, with it not."""
    trials = trials_of(
        study({"learning_rate": RATES, "activation": ["relu", "tanh"]}, 2, design={"kind": "grid"})
    )
    rng = np.random.default_rng(4)
    tanh = 5.0 * (trials["activation"] == "tanh").to_numpy()
    values = {"srank": tanh + rng.normal(size=80), "return_mean": tanh + rng.normal(size=80)}
    metrics = measured(trials, **values)
    held = by_path(mediation(trials, metrics, mediators=["srank"])).loc[("path", "srank -> return_mean")]
    assert held["estimate_low"] < 0 < held["estimate_high"]
    assert held["adjusted_for"] == "activation"
    data = pd.DataFrame({**values, "tanh": tanh, "rate": np.log10(trials["learning_rate"])})
    fit = sm.OLS.from_formula("return_mean ~ rate + tanh + srank", data).fit()
    assert held["estimate"] == pytest.approx(fit.params["srank"], rel=1e-8)
    free = by_path(mediation(trials, metrics, mediators=["srank"], adjust=[])).loc[
        ("path", "srank -> return_mean")
    ]
    assert free["estimate_low"] > 0.5


def test_two_levels_that_are_no_numbers_are_treatment_less_control() -> None:
    trials = trials_of(
        study({"activation": ["tanh", "relu"], "learning_rate": RATES[:8]}, 2, design={"kind": "grid"})
    )
    rng = np.random.default_rng(5)
    values = {"srank": 4.0 * (trials["activation"] == "relu") + rng.normal(size=32)}
    values["return_mean"] = values["srank"] + rng.normal(size=32)
    table = by_path(mediation(trials, measured(trials, **values), "activation", ["srank"], draws=100))
    assert table["treatment_scale"].unique().tolist() == ["relu less tanh"]
    relu = (trials["activation"] == "relu").to_numpy()
    difference = values["srank"][relu].mean() - values["srank"][~relu].mean()
    assert table.loc[("path", "activation -> srank"), "estimate"] == pytest.approx(difference)


@pytest.fixture
def many() -> Callable[..., pd.DataFrame]:
    """Three activations at eight learning rates, with a rank and a return of noise."""

    def make(**options: Any) -> pd.DataFrame:
        axes = {"activation": ["relu", "tanh", "elu"], "learning_rate": RATES[:8]}
        trials = trials_of(study(axes, design={"kind": "grid"}))
        rng = np.random.default_rng(6)
        metrics = measured(trials, srank=rng.normal(size=24), return_mean=rng.normal(size=24), dead_units=3.0)
        return mediation(trials, metrics, **{"draws": 100, **options})

    return make


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"treatment": "activation", "mediators": ["srank"]}, "activation has 3 levels that are no numbers"),
        ({"treatment": "batch_size", "mediators": ["srank"]}, "batch_size is 32 in all 24 trials"),
        ({}, "dead_units is 3 in all 24 trials"),
        ({"mediators": ["srank"], "min_configurations": 30}, "24 configurations with both measures"),
    ],
)
def test_chains_that_data_cannot_carry_are_refused(
    many: Callable[..., pd.DataFrame], options: dict[str, Any], says: str
) -> None:
    table = many(**options)
    assert len(table) == 1
    assert str(table["note"].iloc[0]).startswith(f"refused: {says}")
    assert table["estimate"].isna().all()


def test_mediators_that_follow_from_one_another_are_refused(trials: pd.DataFrame) -> None:
    values = chain(trials, np.random.default_rng(7))
    values["srank"] = 64 - values["dead_units"]
    note = str(mediation(trials, measured(trials, **values))["note"].iloc[0])
    assert note.startswith("refused: the variables of the chain follow from one another (correlation -1.000")
    values["srank"] = 64 - values["dead_units"] + 0.1 * np.random.default_rng(8).normal(size=60)
    note = str(mediation(trials, measured(trials, **values))["note"].iloc[0])
    assert (
        "dead_units and srank go together (correlation -1.00): their paths can hardly be told apart" in note
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mediators": ["srank", "srank"]}, "'srank' stands in it twice"),
        ({"mediators": []}, "it has no mediator"),
        ({"mediators": ["rank"]}, "no column 'rank'"),
        (
            {"treatment": "config.width", "mediators": ["srank"]},
            "treatment 'config.width': the trials table has no",
        ),
        ({"adjust": ["width"], "mediators": ["srank"]}, "adjust=width: the trials table has no such column"),
        ({"draws": 10}, "at least 100"),
    ],
)
def test_wrong_chains_name_what_is_allowed(
    many: Callable[..., pd.DataFrame], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(AnalysisError, match=says):
        many(**options)


def test_environments_can_be_taken_together_each_with_its_own_level() -> None:
    axes = {"learning_rate": RATES[:10], "dataset": ["d0", "d1", "d2"]}
    trials = trials_of(study(axes, 2, design={"kind": "grid"}, datasets=3))
    rng = np.random.default_rng(9)
    shift = trials["dataset"].map({"d0": 0.0, "d1": 100.0, "d2": -100.0}).to_numpy()
    rank = shift + rng.normal(size=60)
    metrics = measured(trials, srank=rank, return_mean=rank + shift + rng.normal(size=60))
    table = by_path(mediation(trials, metrics, mediators=["srank"], pool=True))
    assert table["env"].unique().tolist() == ["all"]
    assert table["adjusted_for"].unique().tolist() == ["env"]
    row = table.loc[("path", "srank -> return_mean")]
    assert row["estimate_low"] < 1 < row["estimate_high"] < 1.6


@pytest.mark.parametrize(("clusters", "seeds"), [(12, 3), (40, 1)])
def test_the_interval_of_a_serial_path_covers_in_about_95_percent_of_sweeps(
    clusters: int, seeds: int
) -> None:
    rng = np.random.default_rng(clusters)
    cluster = np.repeat(np.arange(clusters), seeds)

    def noise() -> np.ndarray:
        return 0.8 * rng.normal(size=clusters)[cluster] + 0.6 * rng.normal(size=clusters * seeds)

    covered = {"path": 0, "serial": 0, "nothing": 0}
    for _ in range(300):
        treatment = rng.normal(size=clusters)[cluster]
        first = treatment + noise()
        second = first + 0.2 * treatment + noise()
        outcome = second + 0.3 * treatment + noise()
        model = Chain.of(
            np.empty((len(cluster), 0)), np.column_stack([treatment, first, second, outcome]), cluster
        )
        whole, drawn = fit(model, np.ones((1, clusters))), fit(model, cluster_draws(clusters, 400, rng))
        for name, path, truth in (
            ("path", (1, 2), 1.0),
            ("serial", (0, 1, 2, 3), 1.0),
            ("nothing", (0, 1, 3), 0.0),
        ):
            bounds = mean_interval(float(whole.along(path)[0]), drawn.along(path), clusters, 0.95)
            covered[name] += bounds.low <= truth <= bounds.high
    # Binomial noise of 300 repetitions at 95 %: three standard errors are 3.8 points.
    assert 0.9 <= covered["path"] / 300 <= 0.985
    assert 0.9 <= covered["serial"] / 300 <= 0.985
    assert covered["nothing"] / 300 >= 0.915
