from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweep.analysis import AnalysisError, aggregate, profiles
from sweep.analysis.performance.scores import default_factors, groups

Table = Callable[..., pd.DataFrame]
Sweep = tuple[pd.DataFrame, pd.DataFrame]
STEPS = (0, 250, 500, 750, 1000)


def _measured(trials: pd.DataFrame, scores: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    """Evaluations at `STEPS`; ``scores`` ``[T, 5]``."""
    return pd.DataFrame(
        {
            "trial_id": np.repeat(trials["trial_id"].to_numpy(), len(STEPS)),
            "step": np.tile(STEPS, len(trials)),
            "attempt": 0,
            "wall_time": 1.0,
            "return_normalized": scores.ravel(),
            "return_mean": scores.ravel() * 100,
            **{name: values.ravel() for name, values in more.items()},
        }
    )


@pytest.fixture
def sweep(trials_table: Table) -> Sweep:
    """Three environments, two activations, 6 seeds of one configuration; scores that grow over training."""
    parts = [
        trials_table([1e-3], 6, env=f"bsuite/{env}/0", activations=("relu", "tanh"), prefix=env)
        for env in ("catch", "cartpole", "deep_sea")
    ]
    trials = pd.concat(parts, ignore_index=True)
    rng = np.random.default_rng(0)
    scores = np.linspace(0, 1, 5) * rng.lognormal(0, 0.5, (len(trials), 1)) + rng.normal(
        0, 0.05, (len(trials), 5)
    )
    return trials, _measured(trials, scores)


def _scores(sweep: Sweep, activation: str) -> np.ndarray:
    """``[trials, evaluations]``."""
    trials, metrics = sweep
    chosen = trials.loc[trials["activation"] == activation, "trial_id"]
    return np.stack([metrics.loc[metrics["trial_id"] == t, "return_normalized"].to_numpy() for t in chosen])


def test_the_end_and_the_average_over_training_are_a_row_each(sweep: Sweep) -> None:
    table = aggregate(*sweep, draws=200)
    assert table["env"].unique().tolist() == ["all"]
    assert table["group"].unique().tolist() == ["activation relu", "activation tanh"]
    rows = table[table["activation"] == "relu"].set_index("period")
    scores = _scores(sweep, "relu")
    # The evaluation at step 0 is of the untrained network.
    end, average = scores[:, -1], scores[:, 1:].mean(axis=1)
    assert rows.loc["final", "iqm"] == pytest.approx(stats.trim_mean(end, 0.25))
    assert rows.loc["average", "iqm"] == pytest.approx(stats.trim_mean(average, 0.25))
    assert rows.loc["average", "mean"] == pytest.approx(average.mean())
    assert rows.loc["final", "optimality_gap"] == pytest.approx(1 - np.minimum(end, 1).mean())
    change = rows.loc["final - average"]
    assert change["mean"] == pytest.approx((end - average).mean())
    assert change["iqm"] == pytest.approx(stats.trim_mean(end, 0.25) - stats.trim_mean(average, 0.25))
    assert 0 < change["mean_low"] < change["mean"] < change["mean_high"]
    assert change["mean_p"] < 0.05
    assert np.isnan(rows.loc["final", "mean_p"])
    assert (change["n_trials"], change["n_environments"], change["unit"], change["note"]) == (
        18,
        3,
        "seed",
        None,
    )


def test_the_interval_of_the_mean_is_that_of_strata(sweep: Sweep) -> None:
    row = aggregate(*sweep, draws=4000).iloc[0]
    end = _scores(sweep, "relu")[:, -1].reshape(3, 6)
    variances = end.var(axis=1, ddof=1) / 6
    freedom = variances.sum() ** 2 / (variances**2 / 5).sum()
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum()) / 3
    assert row["mean_high"] - row["mean"] == pytest.approx(reach, rel=0.05)


def test_the_same_call_gives_the_same_numbers_and_groups_do_not_touch_each_other(sweep: Sweep) -> None:
    trials, metrics = sweep
    both = aggregate(trials, metrics, by=["activation"], draws=100)
    alone = aggregate(trials[trials["activation"] == "tanh"], metrics, by=["activation"], draws=100)
    numbers = both.select_dtypes("number").columns
    pd.testing.assert_frame_equal(both.loc[3:, numbers].reset_index(drop=True), alone[numbers])


def test_configurations_are_drawn_where_a_group_has_several(trials_table: Table) -> None:
    trials = trials_table([1e-4, 3e-4, 1e-3, 3e-3], 5, activations=("relu", "tanh"))
    rng = np.random.default_rng(1)
    between = np.repeat(rng.normal(0, 1, 8), 5)
    scores = np.tile((between + rng.normal(0, 0.01, 40))[:, None], (1, 5))
    metrics = _measured(trials, scores)
    row = aggregate(trials, metrics, by=["activation"], draws=3000).iloc[0]
    assert (row["unit"], row["n_configurations"], row["n_trials"]) == ("configuration", 4, 20)
    means = scores[:20, 0].reshape(4, 5).mean(axis=1)
    reach = stats.t.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert row["mean_high"] - row["mean"] == pytest.approx(reach, rel=0.05)
    assert row["note"] == "few configurations (4 in bsuite/catch/0)"


def test_hyperparameters_of_few_values_make_the_groups(trials_table: Table) -> None:
    trials = trials_table(list(np.geomspace(1e-4, 1e-2, 8)), 2, activations=("relu", "tanh"))
    assert default_factors(trials) == ["activation"]
    trials["hidden_sizes"] = [[64, 64], [32]] * 16
    assert default_factors(trials) == ["hidden_sizes", "activation"]
    metrics = _measured(trials, np.random.default_rng(0).normal(size=(32, 5)))
    labels = {group.label for group in groups(trials, metrics)}
    assert "hidden_sizes 64x64, activation relu" in labels
    assert {group.label for group in groups(trials, metrics, by=[])} == {"all"}


def test_each_space_has_kinds_of_its_own(trials_table: Table) -> None:
    wide = trials_table(list(np.geomspace(1e-4, 1e-2, 8)), 2, activations=("relu", "tanh"), spaces=["broad"])
    narrow = trials_table([1e-3, 3e-3], 2, spaces=["narrow"], prefix="n")
    trials = pd.concat([wide, narrow], ignore_index=True)
    metrics = _measured(trials, np.random.default_rng(0).normal(size=(36, 5)))
    table = aggregate(trials, metrics, draws=100)
    assert table.groupby("space")["group"].unique().map(list).to_dict() == {
        "narrow": ["learning_rate 0.001", "learning_rate 0.003"],
        "broad": ["activation relu", "activation tanh"],
    }
    rows = table.set_index("group")
    assert rows.loc["learning_rate 0.001", "activation"].unique().tolist() == ["relu"]
    assert rows.loc["activation relu", "learning_rate"].isna().all()


def test_returns_of_several_environments_are_not_pooled(sweep: Sweep) -> None:
    trials, metrics = sweep
    metrics = metrics.copy()
    cartpole = metrics["trial_id"].str.startswith("cartpole")
    metrics.loc[cartpole, "return_normalized"] = np.nan
    table = aggregate(trials, metrics, draws=100)
    assert table["score"].unique().tolist() == ["return_mean"]
    assert table[["iqm", "mean_low", "median"]].isna().all(axis=None)
    assert table["note"].iloc[0].startswith("refused: return_mean of 3 environments has no common scale")
    assert "not measured in bsuite/cartpole/0" in table["note"].iloc[0]
    apart = aggregate(trials, metrics, pool=False, draws=100).set_index(["env", "activation", "period"])
    assert apart.loc[("bsuite/cartpole/0", "relu", "final"), "score"] == "return_mean"
    assert apart.loc[("bsuite/catch/0", "relu", "final"), "score"] == "return_normalized"
    assert np.isfinite(apart["mean"]).all()


def test_one_seed_is_refused_and_few_are_pointed_out(sweep: Sweep) -> None:
    trials, metrics = sweep
    one = trials[~trials["trial_id"].str.startswith("catch") | (trials["seed"] < 1)]
    note = aggregate(one, metrics, draws=100)["note"].iloc[0]
    assert (
        note
        == "refused: 1 seed in bsuite/catch/0; an interval needs at least 2 in every environment (13 runs in all)"
    )
    few = aggregate(trials[trials["seed"] < 3], metrics, draws=100)
    assert few["note"].iloc[0] == "few seeds (3 in bsuite/catch/0)"


def test_diverged_runs_and_absent_environments_are_pointed_out(sweep: Sweep) -> None:
    trials, metrics = sweep
    trials = trials.copy()
    trials.loc[trials["trial_id"].str.startswith("catch") & (trials["activation"] == "relu"), "status"] = (
        "diverged"
    )
    note = aggregate(trials, metrics, draws=100)["note"].iloc[0]
    assert "6 diverged runs left out: the group's score is that of the others" in note
    assert "no run in bsuite/catch/0: not comparable" in note


def test_runs_that_agree_have_no_interval(sweep: Sweep) -> None:
    trials, metrics = sweep
    row = aggregate(trials, metrics.assign(return_normalized=1.0), draws=100).iloc[0]
    assert row["mean"] == pytest.approx(1.0)
    assert np.isnan(row["mean_low"])
    assert row["note"] == "runs do not differ within their environments, which gives no interval"


def test_early_stopped_and_unfinished_sweeps_are_refused(sweep: Sweep) -> None:
    trials, metrics = sweep
    assert "early stopping (asha)" in aggregate(trials.assign(scheduler="asha"), metrics)["note"].iloc[0]
    planned = aggregate(trials.assign(status="planned"), metrics.iloc[:0])
    assert planned["note"].iloc[0] == "refused: no finished run has the score at the end of its training"
    assert planned["mean"].isna().all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"by": ["flavour"]}, "no column 'flavour'"),
        ({"by": ["env"]}, "by=env: groups are of one space"),
        ({"score": "applause"}, "no column 'applause'"),
        ({"draws": 10}, "at least 100"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"interval": "bca"}, "must be t"),
    ],
)
def test_wrong_questions_name_what_is_allowed(sweep: Sweep, options: dict[str, object], says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        aggregate(*sweep, **options)  # type: ignore[arg-type]


def test_a_table_without_scores_is_refused(sweep: Sweep) -> None:
    trials, metrics = sweep
    with pytest.raises(AnalysisError, match="neither return_normalized nor return_mean"):
        aggregate(trials, metrics.drop(columns=["return_normalized", "return_mean"]))
    other = metrics.drop(columns=["return_normalized", "return_mean"]).assign(accuracy=metrics["return_mean"])
    assert np.isfinite(aggregate(trials, other, score="accuracy", draws=100)["mean"]).all()


def test_a_profile_is_the_share_of_runs_above_each_score(sweep: Sweep) -> None:
    table = profiles(*sweep, draws=200)
    relu = table[table["activation"] == "relu"]
    end = _scores(sweep, "relu")[:, -1]
    assert len(relu) == 51
    assert relu["share"].to_numpy() == pytest.approx((end[:, None] > relu["tau"].to_numpy()).mean(axis=0))
    assert (relu["tau"].to_numpy() == table.loc[table["activation"] == "tanh", "tau"].to_numpy()).all()
    assert (relu["share_low"] <= relu["share"]).all()
    assert (relu["share_high"] >= relu["share"]).all()
    average = profiles(*sweep, period="average", taus=[0.4], draws=100)
    assert average["share"].iloc[0] == pytest.approx(
        (_scores(sweep, "relu")[:, 1:].mean(axis=1) > 0.4).mean()
    )


def test_a_band_has_width_where_all_runs_agree_and_is_wilsons_in_one_environment(trials_table: Table) -> None:
    trials = trials_table([1e-3], 40)
    scores = np.tile(np.arange(40.0)[:, None], (1, 5))
    found = profiles(trials, _measured(trials, scores), taus=[-1, 29.5], draws=4000)
    assert found["share"].tolist() == [1.0, 0.25]
    assert found["share_high"].iloc[0] == 1.0
    # Wilson's with Student's t for the normal: 40 / (40 + t²) where all are above.
    t = stats.t.ppf(0.975, 39)
    assert found["share_low"].iloc[0] == pytest.approx(40 / (40 + t**2), rel=0.03)
    wilson = stats.binomtest(10, 40).proportion_ci(method="wilson")
    assert found["share_low"].iloc[1] == pytest.approx(wilson.low, abs=0.015)
    assert found["share_high"].iloc[1] == pytest.approx(wilson.high, abs=0.015)


def test_an_unknown_period_is_refused(sweep: Sweep) -> None:
    with pytest.raises(AnalysisError, match="period=best: must be final"):
        profiles(*sweep, period="best")  # type: ignore[arg-type]
