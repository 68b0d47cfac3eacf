"""One pack from its start to its end: which rows there are, what is in them, and what a stop changes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_sweeps import DATASET, begin, root_with, rows, study, train_all

from agents.data import Dataset
from agents.sampling import MinibatchSampler
from sweep.errors import SweepError
from sweep.learner import member_hypers
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.store import Store, SweepStore

Array = np.ndarray


class Stopped(Exception):
    """What kills a pack in these tests."""


def stop_at(step: int) -> Any:
    def on_report(report: Report) -> None:
        if report.evaluated and report.step == step:
            raise Stopped

    return on_report


def checkpoints(root: Path) -> list[Path]:
    return sorted((root / "checkpoints").rglob("*.pt"))


# Which rows there are


def steps_with(frame: pd.DataFrame, column: str) -> list[int]:
    """Steps at which every trial has the measure; none of them at any other."""
    has = frame.groupby("step")[column].agg(["count", "size"])
    assert set(has["count"][has["count"] > 0]) <= set(has["size"])
    return [int(step) for step in has.index[has["count"] == has["size"]]]


def test_each_measure_is_taken_at_its_own_cadence_with_step_0_and_the_last(tiny_root: Path) -> None:
    base = {"dataset": DATASET, "train_steps": 50, "hidden_sizes": [8]}
    frame = rows(train_all(tiny_root, study(base=base)))
    assert frame.groupby("trial_id")["step"].apply(list).tolist() == [[0, 10, 20, 30, 40, 50]] * 2
    assert steps_with(frame, "loss") == [10, 20, 30, 40, 50], "there is no training loss before training"
    # 50 is a multiple of neither cadence and the last.
    assert steps_with(frame, "srank") == [0, 20, 40, 50]
    assert steps_with(frame, "return_mean") == [0, 30, 50]


def test_a_finished_pack_says_how_each_trial_ended(tiny_root: Path) -> None:
    store = train_all(tiny_root, study())
    trials = Store(tiny_root).trials("tiny")
    assert trials["status"].tolist() == ["finished"] * 2
    assert trials["final_step"].tolist() == [60] * 2
    (pack_id,) = store.packs_done()
    result = store.result(pack_id) or {}
    assert (result["steps"], result["members"], result["compiled"], result["device"]) == (60, 2, False, "cpu")
    assert set(result["seconds"]) == {"train", "probe", "evaluate", "store"}


def test_a_member_that_explodes_ends_alone(dataset_root: Path, tmp_path: Path) -> None:
    def space(*rates: float) -> dict[str, Any]:
        base = {"optimizer": "sgd", "loss": "mse"}
        return {"name": "rates", "base": base, "axes": {"learning_rate": {"values": list(rates)}}}

    with_it = train_all(root_with(dataset_root, tmp_path / "a"), study(space(1e-3, 1e10, 1e-2)))
    without = train_all(root_with(dataset_root, tmp_path / "b"), study(space(1e-3, 1e-2)))
    trials = Store(tmp_path / "a").trials("tiny").set_index("learning_rate")
    assert trials["status"].to_dict() == {1e-3: "finished", 1e10: "diverged", 1e-2: "finished"}
    exploded = trials.loc[1e10]
    assert 1 < exploded["diverged_step"] < 60
    frame = rows(with_it)
    of_it = frame["trial_id"] == exploded["trial_id"]
    # It has rows while it learns, and one at most for the interval in which it stopped.
    assert frame[of_it]["step"].max() <= np.ceil(exploded["diverged_step"] / 10) * 10
    pd.testing.assert_frame_equal(frame[~of_it].reset_index(drop=True), rows(without))


def test_a_member_whose_last_step_overflows_has_diverged_at_that_step(tiny_root: Path) -> None:
    # The second step's loss is finite and its gradients are not; no other follows in whose loss it could show.
    of = study(
        {"name": "r", "axes": {"learning_rate": {"values": [1e-3, 1.8e11]}}},
        base={"dataset": DATASET, "optimizer": "sgd", "train_steps": 2, "hidden_sizes": [16, 8, 8]},
        protocol={
            "log_every": 2,
            "probe_every": 2,
            "eval_every": 2,
            "eval_episodes": 1,
            "probe_batch_size": 64,
        },
    )
    train_all(tiny_root, of)
    trials = Store(tiny_root).trials("tiny").set_index("learning_rate")
    assert trials["status"].to_dict() == {1e-3: "finished", 1.8e11: "diverged"}
    assert trials.loc[1.8e11, ["final_step", "diverged_step"]].tolist() == [2, 2]
    steps = Store(tiny_root).metrics("tiny").groupby("trial_id")["step"].agg(list)
    assert steps[trials.loc[1e-3, "trial_id"]] == [0, 2]
    assert steps[trials.loc[1.8e11, "trial_id"]] == [0]


# What is in them


def params(root: Path, step: int, which: str = "params") -> dict[str, Array]:
    """Parameters of all members at a checkpoint, float64, as the file has them."""
    (path,) = [path for path in checkpoints(root) if path.stem.endswith(f"-{step:09}")]
    tensors = torch.load(path, weights_only=True)["pack"]["tensors"]
    return {
        name.removeprefix(f"{which}."): value.double().numpy()
        for name, value in tensors.items()
        if name.startswith(f"{which}.")
    }


def forward(of: dict[str, Array], member: int, inputs: Array) -> tuple[Array, Array]:
    """Q-values and features of a ReLU network with two hidden layers, in plain NumPy.

    Weights are told from each other by their shapes: 50 inputs, 16 and 8 units, 3 actions.
    """
    layers = {}
    for value in of.values():
        one = value[member]
        layers[one.shape] = one
    hidden = inputs
    for width, out in ((50, 16), (16, 8)):
        weight = layers[(width, out)] if (width, out) in layers else layers[(out, width)].T
        hidden = np.maximum(hidden @ weight + layers[(out,)], 0)
    weight = layers[(8, 3)] if (8, 3) in layers else layers[(3, 8)].T
    return hidden @ weight + layers[(3,)], hidden


def batch_of(data: Dataset, indices: Array) -> tuple[Array, Array, Array, Array, Array]:
    taken = data.arrays["action"][indices], data.arrays["reward"][indices], data.arrays["discount"][indices]
    return (data.observations(indices), data.observations(indices, following=True), *taken)


def test_the_measures_of_a_row_are_those_of_the_weights_at_its_step(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    train_pack(pack, store, tiny_root, "cpu")
    data = Dataset.open(tiny_root / "datasets" / DATASET)
    probes = data.probe_indices(64)
    s, s_next, action, reward, discount = batch_of(data, probes)
    online, target = params(tiny_root, 60), params(tiny_root, 60, "target")
    frame = rows(store).set_index(["trial_id", "step"])
    spectra = Store(tiny_root).spectra("tiny").set_index(["trial_id", "step", "name"])["values"]
    for member, trial in enumerate(pack.trials):
        row = frame.loc[(trial, 60)]
        q, features = forward(online, member, s.astype(float))
        _, features_next = forward(online, member, s_next.astype(float))
        sigma = np.linalg.svd(features, compute_uv=False)
        np.testing.assert_allclose(spectra[(trial, 60, "singular_values")], sigma, rtol=1e-3, atol=1e-5)
        share = np.cumsum(sigma) / sigma.sum()
        assert row["srank"] == 1 + int(np.sum(share < 0.99)), "the smallest k with a share of 1 - δ"
        np.testing.assert_allclose(row["numerical_rank"], sigma.sum() ** 2 / (sigma**2).sum(), rtol=1e-3)
        assert row["dead_units"] == np.sum((features == 0).all(0))
        dots = (features * features_next).sum(1).mean()
        np.testing.assert_allclose(row["feature_dot_product"], dots, rtol=1e-4)
        chosen = q[np.arange(len(q)), action]
        np.testing.assert_allclose(row["q_mean"], chosen.mean(), rtol=1e-4, atol=1e-6)
        best = forward(target, member, s_next.astype(float))[0].max(1)
        errors = np.abs(reward + 0.99 * discount * best - chosen)
        np.testing.assert_allclose(row["td_error"], errors.mean(), rtol=1e-4)
        norm = np.sqrt(sum((value[member] ** 2).sum() for value in online.values()))
        np.testing.assert_allclose(row["param_norm"], norm, rtol=1e-6)
        returns = np.asarray(spectra[(trial, 60, "episode_returns")])
        assert len(returns) == 3
        assert set(np.abs(returns)) == {1.0}, "a game of Catch is won or lost"
        assert (row["return_mean"], row["return_std"]) == pytest.approx((returns.mean(), returns.std()))
        assert row["episode_length"] == 9


def test_the_loss_of_a_row_is_the_mean_over_the_steps_since_the_row_before(tiny_root: Path) -> None:
    base = {"dataset": DATASET, "train_steps": 1, "hidden_sizes": [16, 8]}
    protocol = {"log_every": 1, "eval_episodes": 1, "probe_batch_size": 8, "checkpoint_every_steps": 1}
    store, (pack,) = begin(tiny_root, study(base=base, protocol=protocol))
    train_pack(pack, store, tiny_root, "cpu")
    data = Dataset.open(tiny_root / "datasets" / DATASET)
    hypers = [member_hypers(member.config) for member in pack.members]
    indices = MinibatchSampler(hypers, data.arrays["subset_order"], 32).indices(0, 1)[0]
    first = params(tiny_root, 0)
    losses = rows(store).set_index(["trial_id", "step"])["loss"]
    for member, trial in enumerate(pack.trials):
        s, s_next, action, reward, discount = batch_of(data, indices[member])
        q, _ = forward(first, member, s.astype(float))
        best = forward(first, member, s_next.astype(float))[0].max(1)
        error = np.abs(reward + 0.99 * discount * best - q[np.arange(32), action])
        huber = np.where(error <= 1, error**2 / 2, error - 0.5)
        np.testing.assert_allclose(losses[(trial, 1)], huber.mean(), rtol=1e-4)


# What a stop changes: nothing


def undisturbed(dataset_root: Path, root: Path) -> SweepStore:
    return train_all(root_with(dataset_root, root), study())


def assert_same_store(found: SweepStore, expected: SweepStore) -> None:
    pd.testing.assert_frame_equal(rows(found), rows(expected), check_exact=True)
    spectra = [Store(store.layout.root).spectra(store.name) for store in (found, expected)]
    keys = [list(frame[["trial_id", "step", "name"]].itertuples(index=False)) for frame in spectra]
    assert keys[0] == keys[1]
    for one, other in zip(spectra[0]["values"], spectra[1]["values"], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("step", [0, 30])
def test_a_pack_that_was_stopped_ends_as_if_it_had_not_been(
    dataset_root: Path, tmp_path: Path, step: int
) -> None:
    root = root_with(dataset_root, tmp_path / "stopped")
    store, (pack,) = begin(root, study())
    with pytest.raises(Stopped):
        train_pack(pack, store, root, "cpu", on_report=stop_at(step))
    assert not store.packs_done()
    train_pack(pack, store, root, "cpu")
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))
    if step == 30:
        attempts = Store(root).metrics("tiny").groupby("step")["attempt"].unique()
        # It went on from the checkpoint at 20, and the row at 30 is the later attempt's alone.
        assert {at: list(of) for at, of in attempts.items()} == {
            0: [0],
            10: [0],
            20: [0],
            30: [1],
            40: [1],
            50: [1],
            60: [1],
        }


def test_a_damaged_newest_checkpoint_is_passed_over(
    dataset_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = root_with(dataset_root, tmp_path / "damaged")
    store, (pack,) = begin(root, study())
    with pytest.raises(Stopped):
        train_pack(pack, store, root, "cpu", on_report=stop_at(30))
    before, newest = checkpoints(root)
    assert newest.stem.endswith("-000000020")
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        train_pack(pack, store, root, "cpu")
    assert str(newest) in caplog.text
    assert store.attempts(pack.pack_id)[-1]["resume_step"] == 0
    assert before.stem.endswith("-000000000")
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))


def test_without_any_readable_checkpoint_it_starts_again(dataset_root: Path, tmp_path: Path) -> None:
    root = root_with(dataset_root, tmp_path / "damaged")
    store, (pack,) = begin(root, study())
    with pytest.raises(Stopped):
        train_pack(pack, store, root, "cpu", on_report=stop_at(30))
    for path in checkpoints(root):
        path.write_bytes(b"not a checkpoint")
    train_pack(pack, store, root, "cpu")
    assert store.attempts(pack.pack_id)[-1]["resume_step"] == -1
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))


def test_another_dataset_under_the_planned_name_is_refused(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    manifest = tiny_root / "datasets" / DATASET / "dataset.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "fingerprint": "f" * 64}))
    with pytest.raises(SweepError) as caught:
        train_pack(pack, store, tiny_root, "cpu")
    assert DATASET in str(caught.value)
    assert "f" * 16 in str(caught.value)
    assert pack.dataset_fingerprint[:16] in str(caught.value)
    assert "--name" in str(caught.value)
    assert not store.attempts(pack.pack_id), "nothing has started"
