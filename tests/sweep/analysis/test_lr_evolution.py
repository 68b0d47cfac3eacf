from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from sweep.analysis import AnalysisError, lr_evolution, rank_by_lr
from sweep.analysis.training.replicates import Replicates

Table = Callable[..., pd.DataFrame]
RATES = [1e-5, 1e-4, 1e-3]
STEPS = np.arange(0, 1001, 100)


def _metrics(trials: pd.DataFrame, curve: Callable[[pd.Series, np.ndarray], np.ndarray]) -> pd.DataFrame:
    """A return and a rank at every hundredth step; ``curve`` gives the returns of a trial."""
    return pd.concat(
        pd.DataFrame(
            {
                "trial_id": trial["trial_id"],
                "step": STEPS,
                "return_mean": curve(trial, STEPS),
                "srank": 30 - np.log10(trial["learning_rate"]) - STEPS / 100 + trial["seed"],
            }
        )
        for _, trial in trials.iterrows()
    )


@pytest.fixture
def trials(trials_table: Table) -> pd.DataFrame:
    return trials_table(RATES, 5)


@pytest.fixture
def metrics(trials: pd.DataFrame) -> pd.DataFrame:
    """The high rate is best early and the low one late; seeds differ by a little."""
    rng = np.random.default_rng(0)

    def curve(trial: pd.Series, steps: np.ndarray) -> np.ndarray:
        speed = {1e-5: 1.0, 1e-4: 0.5, 1e-3: 0.1}[trial["learning_rate"]]
        start = {1e-5: 0.0, 1e-4: 250.0, 1e-3: 350.0}[trial["learning_rate"]]
        return start + speed * steps + rng.normal(0, 20, len(steps)) + 30 * trial["seed"]

    return _metrics(trials, curve)


def test_the_best_rate_falls_as_training_goes_on(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    table = lr_evolution(trials, metrics)
    assert table["step"].tolist() == list(range(100, 1001, 100))
    assert table["best"].iloc[0] == 1e-3
    assert table["best"].iloc[-1] == 1e-5
    assert (table["share"].iloc[[0, -1]] > 0.95).all()
    assert set(table["kind"]) == {"randomised"}
    last = metrics[metrics["step"] == 1000].merge(trials[["trial_id", "learning_rate"]])
    assert table["best_outcome"].iloc[-1] == pytest.approx(
        last.loc[last["learning_rate"] == 1e-5, "return_mean"].mean()
    )


def test_the_interval_of_the_best_is_students_over_seeds(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    row = lr_evolution(trials, metrics, steps=[1000]).iloc[0]
    last = metrics[metrics["step"] == 1000].merge(trials[["trial_id", "learning_rate"]])
    values = last.loc[last["learning_rate"] == 1e-5, "return_mean"]
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (row["best_low"], row["best_high"]) == pytest.approx((low, high))


def test_values_are_told_apart_by_a_paired_t_test_corrected_for_their_number(
    trials: pd.DataFrame, metrics: pd.DataFrame
) -> None:
    for confidence in (0.8, 0.95, 0.999):
        table = lr_evolution(trials, metrics, confidence=confidence).set_index("step")
        for step in (300, 400, 500):
            wide = (
                metrics[metrics["step"] == step]
                .merge(trials[["trial_id", "learning_rate", "seed"]])
                .pivot_table(index="seed", columns="learning_rate", values="return_mean")
            )
            best = wide.mean().idxmax()
            held = [
                rate
                for rate in RATES
                if rate == best
                or stats.ttest_rel(wide[best], wide[rate], alternative="greater").pvalue
                > (1 - confidence) / 2
            ]
            assert table.loc[step, "n_not_distinguishable"] == len(held)
            assert table.loc[step, "not_distinguishable"] == ", ".join(f"{rate:.4g}" for rate in held)


def test_the_share_is_that_of_draws_of_seeds_for_all_values_at_once(
    trials: pd.DataFrame, metrics: pd.DataFrame
) -> None:
    row = lr_evolution(trials, metrics, steps=[400]).iloc[0]
    wide = (
        metrics[metrics["step"] == 400]
        .merge(trials[["trial_id", "learning_rate", "seed"]])
        .pivot_table(index="seed", columns="learning_rate", values="return_mean")
    )
    rng = np.random.default_rng(9)
    wins = [wide.iloc[rng.integers(5, size=5)].mean().idxmax() == row["best"] for _ in range(4000)]
    assert row["share"] == pytest.approx(np.mean(wins), abs=0.04)


def test_the_set_holds_the_truly_best_value_in_its_share_of_sweeps() -> None:
    rng = np.random.default_rng(2)
    code, seed = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    truth = np.array([0.0, 0.5, 1.0, 0.9])
    y = truth[code][:, None] + rng.normal(size=(20, 4000)) + rng.normal(size=(5, 4000))[seed]
    repeated = Replicates.of(y, code, 4, code, seed)
    means = repeated.means()
    best = means.argmax(axis=0)
    error, freedom = repeated.errors_from(best)
    clear = means[best, np.arange(4000)] - means > stats.t.ppf(1 - 0.05 / 3, freedom) * error
    assert 1 - clear[2].mean() >= 0.945


def test_configurations_repeat_a_value_where_it_has_several(trials_table: Table) -> None:
    trials = trials_table(RATES, 2, activations=("relu", "tanh", "elu"))
    rng = np.random.default_rng(1)
    metrics = _metrics(trials, lambda trial, steps: rng.normal(size=len(steps)))
    row = lr_evolution(trials, metrics, steps=[1000]).iloc[0]
    assert (row["repeated_by"], row["n_repeats"]) == ("configurations", 3)
    last = metrics[metrics["step"] == 1000].merge(trials[["trial_id", "learning_rate", "activation"]])
    values = last[last["learning_rate"] == row["best"]]
    # Balanced: the jackknife over configurations is Student's interval of their means.
    centres = values.groupby("activation")["return_mean"].mean()
    low, high = stats.t.interval(0.95, 2, centres.mean(), stats.sem(centres))
    assert (row["best_outcome"], row["best_low"], row["best_high"]) == pytest.approx(
        (centres.mean(), low, high)
    )


def test_unbalanced_configurations_have_the_cluster_robust_error_of_least_squares() -> None:
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(7), [1, 2, 3, 4, 2, 5, 3])
    y = rng.normal(size=len(unit)) + rng.normal(size=7)[unit]
    code = np.zeros(len(unit), dtype=np.int64)
    repeated = Replicates.of(y[:, None], code, 1, unit, np.zeros_like(code))
    fit = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster-crv3", cov_kwds={"groups": unit}, use_t=True)
    assert repeated.errors()[0, 0] == pytest.approx(fit.bse[0], rel=0.02)


def test_within_keeps_hyperparameters_apart(trials_table: Table) -> None:
    trials = trials_table(RATES, 3, activations=("relu", "tanh"))
    sign = {"relu": 1, "tanh": -1}
    metrics = _metrics(
        trials,
        lambda t, s: sign[t["activation"]] * np.log10(t["learning_rate"]) * np.ones(len(s)) + t["seed"],
    )
    table = lr_evolution(trials, metrics, steps=[1000], within=["activation"]).set_index("activation")
    assert table["best"].to_dict() == {"relu": 1e-3, "tanh": 1e-5}
    assert set(table["repeated_by"]) == {"seeds"}


def test_a_value_whose_company_differs_is_said_to_and_is_associational(trials_table: Table) -> None:
    trials = trials_table(RATES, 2, activations=("relu", "tanh"))
    trials = trials[(trials["activation"] == "relu") | (trials["learning_rate"] == 1e-4)]
    metrics = _metrics(trials, lambda t, s: t["seed"] + s.astype(float))
    row = lr_evolution(trials, metrics, steps=[1000]).iloc[0]
    assert row["kind"] == "associational"
    assert "levels that activation take" in row["note"]


def test_one_seed_gives_the_best_but_nothing_to_trust_it_by(trials_table: Table) -> None:
    trials = trials_table(RATES, 1)
    metrics = _metrics(trials, lambda t, s: s * t["learning_rate"])
    row = lr_evolution(trials, metrics).iloc[-1]
    assert row["best"] == 1e-3
    assert np.isnan([row["share"], row["best_low"], row["best_high"]]).all()
    assert row["n_not_distinguishable"] == 3
    assert "one seed" in row["note"]


def test_trials_that_diverged_are_counted_by_value(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    gone = trials.copy()
    gone.loc[(gone["learning_rate"] == 1e-3) & (gone["seed"] < 2), "status"] = "diverged"
    row = lr_evolution(gone, metrics, steps=[1000]).iloc[0]
    assert row["n_diverged"] == 2
    assert "0.001 lost 2 of 5" in row["note"]


def test_values_that_are_equally_good_share_the_draws(trials: pd.DataFrame) -> None:
    same = _metrics(trials, lambda t, s: 1.0 * (t["learning_rate"] < 1e-3) + 0 * s)
    row = lr_evolution(trials, same, steps=[1000]).iloc[0]
    assert (row["best"], row["n_tied"], row["share"]) == (1e-5, 2, 0.5)
    assert row["not_distinguishable"] == "1e-05, 0.0001"


def test_a_step_between_evaluations_takes_the_one_before(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    both = lr_evolution(trials, metrics, steps=[450, 400])
    assert both["step"].tolist() == [400, 450]
    assert both["best_outcome"].iloc[0] == both["best_outcome"].iloc[1]


def test_refusals_come_with_numbers(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    one = trials[trials["learning_rate"] == 1e-4]
    assert lr_evolution(one, metrics).iloc[0]["note"] == "refused: learning_rate is 0.0001 in all 5 trials"
    none = lr_evolution(trials.assign(status="planned"), metrics.iloc[:0]).iloc[0]
    assert none["note"].startswith("refused: none of 15 trials")
    pruned = lr_evolution(trials.assign(scheduler="asha"), metrics).iloc[0]
    assert "15 trials ran under early stopping (asha)" in pruned["note"]
    assert len(lr_evolution(trials.assign(scheduler="asha"), metrics, allow_pruned=True)) == 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"outcome": "reward"}, "no column 'reward'"),
        ({"of": "flavour"}, "no column 'flavour'"),
        ({"draws": 10}, "at least 100"),
        ({"steps": [-5]}, "name gradient steps from 0"),
        ({"confidence": 95}, "between 0 and 1"),
    ],
)
def test_wrong_questions_name_what_is_allowed(
    trials: pd.DataFrame, metrics: pd.DataFrame, options: dict[str, object], says: str
) -> None:
    with pytest.raises(AnalysisError, match=says):
        lr_evolution(trials, metrics, **options)  # type: ignore[arg-type]


def test_groups_do_not_touch_each_other(
    trials: pd.DataFrame, metrics: pd.DataFrame, trials_table: Table
) -> None:
    other = trials_table(RATES, 5, env="atari/Asterix", prefix="a")
    more = _metrics(other, lambda t, s: t["seed"] + s * t["learning_rate"])
    together = lr_evolution(pd.concat([other, trials]), pd.concat([more, metrics]))
    alone = lr_evolution(trials, metrics)
    pd.testing.assert_frame_equal(together[together["env"] == "bsuite/catch/0"].reset_index(drop=True), alone)


def test_rank_by_rate_is_a_mean_with_students_interval(trials: pd.DataFrame, metrics: pd.DataFrame) -> None:
    table = rank_by_lr(trials, metrics)
    assert table["step"].unique().tolist() == [100, 1000]
    row = table[(table["value"] == 1e-4) & (table["step"] == 1000)].iloc[0]
    ranks = 30 + 4 - 10 + np.arange(5)
    low, high = stats.t.interval(0.95, 4, ranks.mean(), stats.sem(ranks))
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((24 + 2, low, high))
    assert (row["n_measured"], row["n_repeats"], row["repeated_by"]) == (5, 5, "seeds")


def test_rank_by_rate_at_chosen_steps_and_refused_where_there_is_one_rate(
    trials: pd.DataFrame, metrics: pd.DataFrame
) -> None:
    assert rank_by_lr(trials, metrics, steps=[0, 500])["step"].unique().tolist() == [0, 500]
    row = rank_by_lr(trials[trials["learning_rate"] == 1e-4], metrics).iloc[0]
    assert row["note"].startswith("refused: learning_rate is 0.0001")
    assert np.isnan(row["mean"])
