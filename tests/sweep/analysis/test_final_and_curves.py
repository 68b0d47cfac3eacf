from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sweep.analysis import AnalysisError, curves, exclusions, final, final_summary

Table = Callable[..., pd.DataFrame]


def test_final_takes_the_last_value_of_each_measure_at_its_own_cadence(trials_table: Table) -> None:
    trials = trials_table([1e-3], 2)
    metrics = pd.DataFrame(
        {
            "trial_id": ["t0001", "t0000", "t0000", "t0000"],
            "step": [100, 300, 100, 200],
            "attempt": 0,
            "wall_time": 0.0,
            "srank": [7.0, np.nan, 5.0, 6.0],
            "loss": [0.9, 0.1, 0.3, 0.2],
            "return_mean": [np.nan] * 4,
        }
    )
    table = final(trials, metrics, steps=True).set_index("trial_id")
    assert table.loc["t0000", ["srank", "srank_step", "loss_final", "last_step"]].tolist() == [
        6.0,
        200,
        0.1,
        300,
    ]
    assert table.loc["t0001", "srank"] == 7.0
    assert table["loss"].tolist() == ["huber", "huber"]  # the hyperparameter keeps its column
    assert table["return_mean"].isna().all()
    assert table["return_mean_step"].isna().all()


def test_final_keeps_trials_that_logged_nothing(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table([1e-3], 3)
    metrics = metrics_table(trials.iloc[:1], {"srank": np.array([3.0])})
    table = final(trials, metrics)
    assert table["srank"].tolist()[0] == 3.0
    assert table["srank"].isna().sum() == 2
    assert len(table) == 3
    assert str(table["last_step"].dtype) == "Int64"


def test_final_of_an_empty_store(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table([1e-3], 2)
    metrics = metrics_table(trials, {"srank": np.zeros(2)}).iloc[:0]
    assert final(trials, metrics)["srank"].isna().all()


def test_final_does_not_depend_on_the_order_of_rows(trials_table: Table) -> None:
    trials = trials_table([1e-4, 1e-3], 2)
    rng = np.random.default_rng(1)
    metrics = pd.DataFrame(
        {
            "trial_id": np.repeat(trials["trial_id"].to_numpy(), 25),
            "step": np.tile(np.arange(25), len(trials)),
            "srank": np.where(rng.random(100) < 0.7, np.nan, rng.normal(size=100)),
        }
    )
    expected = final(trials, metrics, steps=True)
    assert expected["last_step"].tolist() == [24] * 4
    side_by_side = metrics.sort_values("step", kind="stable")
    one_trial_in_two_pieces = metrics.iloc[np.r_[5:25, 25:100, :5]]
    late_first = metrics.iloc[::-1]
    for rows in (metrics.sample(frac=1, random_state=2), side_by_side, one_trial_in_two_pieces, late_first):
        pd.testing.assert_frame_equal(final(trials, rows, steps=True), expected)
        as_categories = rows.astype({"trial_id": "category"})
        pd.testing.assert_frame_equal(final(trials, as_categories, steps=True), expected)


@pytest.mark.parametrize("having", [0, 9])
def test_final_takes_categories_of_many_trials_of_which_few_have_a_measure(
    trials_table: Table, having: int
) -> None:
    # pandas cannot align an empty categorical index with one of more than 127 categories.
    trials = trials_table([1e-3], 300)
    srank = [7.0] * having + [np.nan] * (300 - having)
    metrics = pd.DataFrame({"trial_id": trials["trial_id"], "step": 1000, "srank": srank})
    expected = final(trials, metrics, steps=True)
    assert expected["srank_step"].notna().sum() == having
    as_categories = metrics.astype({"trial_id": "category"})
    pd.testing.assert_frame_equal(final(trials, as_categories, steps=True), expected)


def test_final_agrees_with_a_loop(trials_table: Table) -> None:
    trials = trials_table([1e-4, 1e-3], 3)
    rng = np.random.default_rng(0)
    metrics = pd.DataFrame(
        {
            "trial_id": rng.choice(trials["trial_id"], 400),
            "step": rng.permutation(400),
            "srank": rng.normal(size=400),
        }
    )
    metrics.loc[rng.random(400) < 0.7, "srank"] = np.nan
    table = final(trials, metrics).set_index("trial_id")["srank"]
    for trial, rows in metrics.dropna().groupby("trial_id"):
        assert table[trial] == rows.loc[rows["step"].idxmax(), "srank"]


def test_curves_are_numpy_quantiles_per_group_and_step(trials_table: Table) -> None:
    trials = trials_table([1e-4, 1e-3], 5)
    rng = np.random.default_rng(0)
    metrics = pd.DataFrame(
        [
            {
                "trial_id": t,
                "step": s,
                "srank": rng.normal(),
                "return_mean": np.nan if s == 100 else rng.normal(),
            }
            for t in trials["trial_id"]
            for s in (0, 100, 200)
        ]
    )
    table = curves(trials, metrics, by=["learning_rate"])
    assert len(table) == 2 * (3 + 2)
    for rate in (1e-4, 1e-3):
        ids = trials.loc[trials["learning_rate"] == rate, "trial_id"]
        values = metrics.loc[metrics["trial_id"].isin(ids) & (metrics["step"] == 200), "srank"]
        row = table.query("learning_rate == @rate and step == 200 and measure == 'srank'").iloc[0]
        assert row[["q25", "median", "q75"]].tolist() == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))
        assert (row["n_trials"], row["n_configurations"]) == (5, 1)
        assert (row["low"], row["high"]) == (values.min(), values.max())


def test_curves_show_finished_trials_only_so_that_no_curve_is_of_survivors(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table([1e-3], 4)
    trials["status"] = ["finished", "finished", "diverged", "running"]
    metrics = metrics_table(trials, {"srank": np.array([1.0, 2.0, 99.0, 99.0])})
    assert curves(trials, metrics, by=[])["high"].tolist() == [2.0]
    assert curves(trials, metrics, by=[], statuses=["finished", "diverged"])["n_trials"].tolist() == [3]


def test_curves_group_by_layer_sizes_and_refuse_unknown_columns(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table([1e-3], 2)
    metrics = metrics_table(trials, {"srank": np.ones(2)})
    assert curves(trials, metrics, by=["hidden_sizes"])["hidden_sizes"].tolist() == ["64x64"]
    with pytest.raises(AnalysisError, match="no column 'colour'"):
        curves(trials, metrics, by=["colour"])
    with pytest.raises(AnalysisError, match="always apart"):
        curves(trials, metrics, by=["step"])


def test_curves_of_nothing_have_their_columns(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table([1e-3], 2, status="planned")
    table = curves(trials, metrics_table(trials, {"srank": np.ones(2)}))
    assert table.empty
    assert "median" in table.columns


def test_configurations_are_counted_by_content_not_by_dataset_name(
    trials_table: Table, metrics_table: Table
) -> None:
    trials = trials_table([1e-4, 1e-3, 1e-2], 4)
    trials.loc[:5, "dataset"] = "the-same-data-by-another-name"
    metrics = metrics_table(trials, {"srank": np.ones(12)})
    assert exclusions(trials, metrics, ["srank"])["n_configurations"].tolist() == [3]
    other = trials.assign(dataset_fingerprint=["a"] * 6 + ["b"] * 6)
    assert exclusions(other, metrics, ["srank"])["n_configurations"].tolist() == [4]


def test_final_summary_describes_finished_trials(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table([1e-4, 1e-3], 3, activations=("relu", "tanh"))
    trials.loc[0, "status"] = "diverged"
    values = np.arange(12.0)
    table = final_summary(trials, metrics_table(trials, {"srank": values}), ["srank"]).set_index("activation")
    assert table.loc["relu", ["n_planned", "n_trials", "n_diverged", "srank"]].tolist() == [6, 5, 1, 3.0]
    assert table.loc["tanh", "srank_q75"] == np.quantile(values[6:], 0.75)


def test_curves_group_by_a_column_of_any_name(trials_table: Table, metrics_table: Table) -> None:
    trials = trials_table([1e-3], 2).assign(group=["a", "b"])
    table = curves(trials, metrics_table(trials, {"srank": np.array([1.0, 3.0])}), by=["group"])
    assert dict(zip(table["group"], table["median"], strict=True)) == {"a": 1.0, "b": 3.0}
