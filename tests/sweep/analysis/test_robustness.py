from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agents.probes import robustness_auc, robustness_curve
from sweep.analysis import AnalysisError, robustness
from sweep.analysis.performance.disturbed import Estimate
from sweep.analysis.performance.robustness import AREA, DIFFERENCE, KEPT

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame, dict[str, dict[str, object]]]
AMOUNTS = [1.0, 2.0, 4.0]


def _vectors(
    trials: pd.DataFrame, returns: np.ndarray, kind: str = "shift", step: int = 1000
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial_id": trials["trial_id"].to_numpy(),
            "step": step,
            "attempt": 0,
            "name": f"robustness_{kind}_returns",
            "values": list(returns.astype(np.float32)),
        }
    )


def _simulated(
    trials: pd.DataFrame, rng: np.random.Generator, decay: np.ndarray, spread: float = 0.1
) -> np.ndarray:
    clean = rng.normal(10, 10 * spread, (len(trials), 1))
    kept = np.exp(-decay[:, None] * np.r_[0.0, AMOUNTS])
    return clean * kept + rng.normal(0, 10 * spread / 2, (len(trials), 4))


@pytest.fixture
def sweep(trials_table: Table) -> Sweep:
    """Two environments, relu and tanh with 5 seeds each; tanh loses less under shifts."""
    parts = [
        trials_table([1e-3], 5, env=env, activations=("relu", "tanh"), prefix=env[-1])
        for env in ("fam/a", "fam/b")
    ]
    trials = pd.concat(parts, ignore_index=True)
    decay = np.where(trials["activation"] == "relu", 0.5, 0.1)
    vectors = _vectors(trials, _simulated(trials, np.random.default_rng(0), decay))
    settings: dict[str, dict[str, object]] = {
        t: {"shift": AMOUNTS, "offset": 0.0} for t in trials["trial_id"]
    }
    return trials, vectors, settings


def _returns(sweep: Sweep, env: str, activation: str) -> np.ndarray:
    trials, vectors, _ = sweep
    chosen = (trials["env"] == env) & (trials["activation"] == activation)
    return np.array(vectors.loc[chosen.to_numpy(), "values"].tolist(), float)


def test_what_is_kept_and_its_area_are_those_of_the_mean_returns(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    table = robustness(trials, vectors, settings=settings)
    rows = table[(table["env"] == "fam/a") & (table["activation"] == "relu")]
    scores = _returns(sweep, "fam/a", "relu").mean(axis=0)
    kept = rows[rows["statistic"] == KEPT]
    assert kept["amount"].tolist() == [0.0, *AMOUNTS]
    assert kept["value"].to_numpy() == pytest.approx(robustness_curve(scores))
    assert kept["return_mean"].to_numpy() == pytest.approx(scores)
    assert kept["value_low"].isna().tolist() == [True, False, False, False]
    area = rows[rows["statistic"] == AREA].iloc[0]
    assert area["value"] == pytest.approx(robustness_auc([0.0, *AMOUNTS], robustness_curve(scores)))
    assert area["value_low"] < area["value"] < area["value_high"]
    level = robustness(trials, vectors, settings=settings, axis="level")
    by_level = level[
        (level["env"] == "fam/a") & (level["activation"] == "relu") & (level["statistic"] == AREA)
    ]
    assert by_level["value"].iloc[0] == pytest.approx(robustness_auc([0, 1, 2, 3], robustness_curve(scores)))


def test_the_interval_is_that_of_a_ratio_of_means(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    row = robustness(trials, vectors, settings=settings).iloc[1]
    scores = _returns(sweep, "fam/a", "relu")
    ratio = scores[:, 1].mean() / scores[:, 0].mean()
    error = (scores[:, 1] - ratio * scores[:, 0]).std(ddof=1) / np.sqrt(5) / scores[:, 0].mean()
    assert row["value_high"] - row["value"] == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert (row["unit"], row["n_trials"], row["group"]) == ("seed", 5, "activation relu")


def test_means_over_environments_and_differences_of_kinds(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    table = robustness(trials, vectors, settings=settings)
    areas = table[table["statistic"] == AREA].set_index(["env", "activation"])["value"]
    assert areas["all", "relu"] == pytest.approx((areas["fam/a", "relu"] + areas["fam/b", "relu"]) / 2)
    differences = table[table["statistic"] == DIFFERENCE].set_index("env")
    assert differences.loc["all", "value"] == pytest.approx(areas["all", "relu"] - areas["all", "tanh"])
    row = differences.loc["all"]
    assert (row["group"], row["against"], row["n_environments"]) == ("activation relu", "activation tanh", 2)
    assert row["kind"] == "randomised"
    assert row["value_high"] < 0
    assert row["value_p"] < 0.01
    assert (differences["p_holm"] >= differences["value_p"]).all()


def test_independent_parts_add_as_welch_has_it() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 5), rng.normal(1, 4, 9)
    parts = [(f, Estimate(v.mean(), v.var(ddof=1) / len(v), len(v) - 1)) for f, v in ((1.0, x), (-1.0, y))]
    found = Estimate.combined(parts).columns(0.95, test=True)
    welch = stats.ttest_ind(x, y, equal_var=False)
    assert found["value_p"] == pytest.approx(welch.pvalue)
    assert (found["value_low"], found["value_high"]) == pytest.approx(tuple(welch.confidence_interval()))


def test_an_offset_counts_returns_from_below(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    below = vectors.assign(values=[v - 20 for v in vectors["values"]])
    refused = robustness(trials, below, settings=settings)
    assert refused["value"].isna().all()
    note = refused["note"].iloc[0]
    assert note.startswith("refused: the undisturbed return, -1")
    assert "offset=" in note
    back = robustness(trials, below, settings=settings, offset=20.0)
    expected = robustness(trials, vectors, settings=settings)
    assert back["value"].to_numpy() == pytest.approx(expected["value"].to_numpy(), rel=1e-5)
    assert back["offset"].unique().tolist() == [20.0]


def test_an_undisturbed_return_that_may_be_nothing_is_no_base(sweep: Sweep) -> None:
    trials, _, settings = sweep
    rng = np.random.default_rng(2)
    loose = _vectors(trials, rng.normal(0.3, 3, (len(trials), 4)))
    table = robustness(trials, loose, settings=settings)
    assert table["note"].str.contains("is not above 0 by 2 standard errors").any()


def test_configurations_are_the_units_where_there_are_several(trials_table: Table) -> None:
    trials = trials_table([1e-4, 3e-4, 1e-3], 3)
    returns = _simulated(trials, np.random.default_rng(3), np.full(9, 0.2))
    settings = {t: {"shift": AMOUNTS} for t in trials["trial_id"]}
    row = robustness(trials, _vectors(trials, returns), settings=settings, by=[]).iloc[1]
    groups = returns.astype(np.float32).astype(float).reshape(3, 3, 4).mean(axis=1)
    ratio = groups[:, 1].mean() / groups[:, 0].mean()
    error = (groups[:, 1] - ratio * groups[:, 0]).std(ddof=1) / np.sqrt(3) / groups[:, 0].mean()
    assert (row["unit"], row["group"]) == ("configuration", "all")
    assert row["value_high"] - row["value"] == pytest.approx(stats.t.ppf(0.975, 2) * error)


def test_the_interval_of_the_area_covers_with_few_seeds(trials_table: Table) -> None:
    one = trials_table([1e-3], 5)
    # Each environment is a study of its own.
    trials = pd.concat(
        [one.assign(env=f"fam/{i}", trial_id=one["trial_id"] + f"-{i}") for i in range(150)],
        ignore_index=True,
    )
    vectors = _vectors(trials, _simulated(trials, np.random.default_rng(4), np.full(750, 0.3), 0.2))
    settings = {t: {"shift": AMOUNTS} for t in trials["trial_id"]}
    truth = float(robustness_auc([0.0, *AMOUNTS], np.exp(-0.3 * np.r_[0.0, AMOUNTS])))
    table = robustness(trials, vectors, settings=settings, by=[])
    areas = table[(table["statistic"] == AREA) & (table["env"] != "all")]
    assert len(areas) == 150
    assert 0.9 <= ((areas["value_low"] <= truth) & (areas["value_high"] >= truth)).mean() <= 0.98
    overall = table[(table["statistic"] == AREA) & (table["env"] == "all")].iloc[0]
    assert overall["value"] == pytest.approx(truth, abs=0.05)


def test_amounts_that_are_not_known_are_asked_for(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    with pytest.raises(AnalysisError, match="give them, such as shift=1,2,4"):
        robustness(trials, vectors)
    given = robustness(trials, vectors, shift=AMOUNTS)
    assert given["value"].to_numpy() == pytest.approx(
        robustness(trials, vectors, settings=settings)["value"].to_numpy()
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shift": [1, 2]}, r"has 4 values, but shift has 2 amounts \(1, 2\)"),
        ({"shift": [1, 4, 2]}, "shift=1,4,2: amounts must ascend"),
        ({"shift": [0, 1, 2]}, "shift=0,1,2: amounts must ascend from above 0"),
        ({"axis": "log"}, "axis=log: must be amount, or level"),
        ({"confidence": 2.0}, "between 0 and 1"),
        ({"by": ["flavour"], "shift": AMOUNTS}, "no column 'flavour'"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    trials, vectors, _ = sweep
    with pytest.raises(AnalysisError, match=says):
        robustness(trials, vectors, **options)  # type: ignore[arg-type]


def test_a_sweep_without_the_probe_says_how_to_have_it(sweep: Sweep) -> None:
    trials, vectors, _ = sweep
    with pytest.raises(AnalysisError, match="no trial has returns under disturbances"):
        robustness(trials, vectors.assign(name="singular_values"))


def test_unfinished_single_and_early_stopped_runs_are_refused(sweep: Sweep) -> None:
    trials, vectors, settings = sweep
    early = robustness(trials, vectors.assign(step=300), settings=settings)
    assert early["note"].str.startswith("refused: no finished run has been disturbed").all()
    single = robustness(trials[trials["seed"] == 0], vectors, settings=settings)
    assert single["note"].str.startswith("refused: 1 seed").all()
    pruned = robustness(trials.assign(scheduler="asha"), vectors, settings=settings)
    assert pruned["note"].str.contains("early stopping").all()
    assert pruned["value"].isna().all()
