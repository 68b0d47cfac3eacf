"""Groups of probes in a pack: when each is measured, what it stores, what it costs, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from tiny_sweeps import DATASET, begin, planned, root_with, rows, study, train_all

from agents.environments.perturbations import PerturbedVector
from agents.evaluation import evaluate, make_evaluation_environment
from search_spaces import DatasetRecipe, Study
from sweep.datasets import collect_dataset, collect_spec
from sweep.errors import UsageError
from sweep.mirror.source import Source
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.plan import PackSpec
from sweep.policies import trial_policy
from sweep.probe_checks import check_probes
from sweep.run import Display, RunOptions, run_study
from sweep.run_checks import _check_same_protocol
from sweep.store import MEASURES, VECTORS, Store, SweepStore

PROTOCOL: dict[str, Any] = {
    "log_every": 10,
    "probe_every": 20,
    "eval_every": 30,
    "eval_episodes": 2,
    "probe_batch_size": 32,
    "checkpoint_every_steps": 20,
    "checkpoint_every_seconds": 3600.0,
}
ALL: dict[str, Any] = {
    "layers": {},
    "features": {},
    "policy": {"every": 30},
    "gram": {"size": 4},
    "linear_fit": {},
    "hessian": {"every": 40, "batch_size": 16},
    "lanczos": {"batch_size": 16, "steps": 4, "vectors": 2},
    "reinitialization": {"every": 20},
    "robustness": {"noise": [0.5, 2.0], "offset": 2.0},
    "linear_probe": {"samples": 200, "sparsities": [0, 2]},
}
GRID = "random-grid"
GRID_RECIPE = {"env": "gridworld/onehot/0", "collect": {"agent": "random", "steps": 400, "num_envs": 4}}
EVERY_20, EVERY_30, EVERY_40, LAST = [0, 20, 40, 60], [0, 30, 60], [0, 40, 60], [60]


def with_probes(probes: dict[str, Any], *spaces: dict[str, Any], **base: Any) -> Study:
    base = {"dataset": DATASET, "train_steps": 60, "hidden_sizes": [6, 4], **base}
    return study(*spaces, base=base, protocol={**PROTOCOL, "probes": probes})


def vectors(store: SweepStore) -> pd.DataFrame:
    return Store(store.layout.root).spectra(store.name)


@pytest.fixture(scope="module")
def everything(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepStore:
    """A pack of two with every group on."""
    # As in every process that trains; it decides on eigenvalues of 1e-39.
    torch.set_flush_denormal(True)
    return train_all(root_with(dataset_root, tmp_path_factory.mktemp("probes") / "root"), with_probes(ALL))


def test_each_group_is_measured_at_its_own_cadence(everything: SweepStore) -> None:
    frame = rows(everything)
    assert frame.groupby("trial_id")["step"].apply(list).tolist() == [[*range(0, 70, 10)]] * 2
    cadences = {
        # With the probes, where the group does not say.
        **dict.fromkeys(("srank", "entropy_rank", "correlation", "feature_cosine", "gram_mean"), EVERY_20),
        **dict.fromkeys(("policy_entropy", "greedy_action_entropy"), EVERY_30),
        **dict.fromkeys(("hessian_zero", "hessian_largest"), EVERY_40),
        # At the end alone, where it costs much and does not say.
        **dict.fromkeys(("fit_error_target", "lanczos_largest", "robustness_noise_auc"), LAST),
        "linear_probe_error": LAST,
    }
    for name, steps in cadences.items():
        measured = frame[frame[name].notna()]
        assert measured.groupby("trial_id")["step"].apply(list).tolist() == [steps] * 2, name
    spectra = vectors(everything)
    assert not spectra.duplicated(["trial_id", "step", "name"]).any()
    found = spectra.groupby("name")["step"].agg(lambda steps: sorted(set(steps))).to_dict()
    assert {name: found[name] for name in ("layer_srank", "reinit_loss")} == dict.fromkeys(
        ("layer_srank", "reinit_loss"), EVERY_20
    )
    assert found["action_shares"] == EVERY_30
    assert found["hessian_eigenvalues"] == EVERY_40
    assert found["lanczos_nodes"] == found["robustness_noise"] == found["linear_probe_mse"] == LAST


def test_long_vectors_have_the_length_that_the_network_and_the_settings_give(everything: SweepStore) -> None:
    spectra = vectors(everything)
    assert set(spectra["name"]) <= set(VECTORS)
    lengths = spectra.groupby("name")["values"].agg(lambda all_of: {len(one) for one in all_of}).to_dict()
    parameters = 50 * 6 + 6 + 6 * 4 + 4 + 4 * 3 + 3
    assert lengths["hessian_eigenvalues"] == {parameters}
    assert lengths["layer_srank"] == lengths["linear_probe_unexplained"] == {2}
    assert lengths["layer_grad_norm"] == lengths["reinit_action"] == {3}
    assert (lengths["gram"], lengths["action_shares"]) == ({4 * 4}, {3})
    assert lengths["lanczos_nodes"] == lengths["lanczos_weights"] == {2 * 4}
    assert lengths["robustness_noise"] == lengths["robustness_noise_returns"] == {3}


def test_each_group_says_what_it_cost(everything: SweepStore) -> None:
    (pack_id,) = everything.packs_done()
    seconds = (everything.result(pack_id) or {})["seconds"]
    assert set(seconds) == {"train", "probe", "evaluate", "store", *(f"probe.{group}" for group in ALL)}
    assert all(value >= 0 for value in seconds.values())
    assert seconds["probe.hessian"] > 0


def test_the_mirror_sees_what_each_group_measured_where_it_did(everything: SweepStore) -> None:
    source = Source(everything.layout.root, everything.name)
    ids = [str(trial["trial_id"]) for trial in source.trials()]
    for of_trial in source.rows_of(ids):
        for name, steps in (("hessian_zero", EVERY_40), ("entropy_rank", EVERY_20), ("value_gap", EVERY_30)):
            assert of_trial.steps[of_trial.measures[name].measured].tolist() == steps
        assert not of_trial.measures["robustness_shift_auc"].measured.any()


def test_groups_change_nothing_but_add_to_it(
    everything: SweepStore, dataset_root: Path, tmp_path: Path
) -> None:
    without = study(base={"dataset": DATASET, "train_steps": 60, "hidden_sizes": [6, 4]}, protocol=PROTOCOL)
    plain = rows(train_all(root_with(dataset_root, tmp_path / "plain"), without))
    pd.testing.assert_frame_equal(rows(everything)[plain.columns], plain, check_exact=True)


@pytest.mark.parametrize("step", [30, 60])
def test_a_pack_with_groups_that_was_stopped_ends_as_if_it_had_not_been(
    everything: SweepStore, dataset_root: Path, tmp_path: Path, step: int
) -> None:
    class Stopped(Exception):
        pass

    def stop(report: Report) -> None:
        if report.evaluated and report.step == step:
            raise Stopped

    torch.set_flush_denormal(True)
    root = root_with(dataset_root, tmp_path / "stopped")
    store, (pack,) = begin(root, with_probes(ALL))
    with pytest.raises(Stopped):
        train_pack(pack, store, root, "cpu", on_report=stop)
    train_pack(pack, store, root, "cpu")
    pd.testing.assert_frame_equal(rows(store), rows(everything), check_exact=True)
    keys = ["trial_id", "step", "name"]
    found, expected = (vectors(one).sort_values(keys).reset_index(drop=True) for one in (store, everything))
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    for one, other in zip(found["values"], expected["values"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_robustness_is_the_share_of_the_return_that_is_kept(everything: SweepStore) -> None:
    (pack,) = everything.plans()[0]["packs"].values()
    spec = PackSpec.model_validate(pack)
    last = vectors(everything).query("step == 60").set_index(["trial_id", "name"])["values"]
    frame = rows(everything).query("step == 60").set_index("trial_id")
    for member in spec.members:
        name = f"{everything.name}/{member.trial_id}"
        weights = trial_policy(everything.layout.root, name, env="bsuite/catch/0").params
        environment = make_evaluation_environment("bsuite/catch/0", 1, 2)
        scores = []
        for amount in (0.0, 0.5, 2.0):
            played = PerturbedVector(environment, "noise", amount) if amount else environment
            outcome = evaluate(
                lambda shown, weights=weights: values(weights, shown),
                "bsuite/catch/0",
                [member.config.seed],
                step=60,
                episodes=2,
                epsilon=0.0,
                max_steps=27_000,
                environment=played,
            )
            scores.append(outcome.returns.mean())
        np.testing.assert_allclose(last[member.trial_id, "robustness_noise_returns"], scores)
        rho = (np.array(scores) + 2) / (scores[0] + 2)
        np.testing.assert_allclose(last[member.trial_id, "robustness_noise"], rho, rtol=1e-6)
        area = 0.5 * (rho[0] + rho[1]) / 2 + 1.5 * (rho[1] + rho[2]) / 2
        assert frame.loc[member.trial_id, "robustness_noise_auc"] == pytest.approx(area)


def values(weights: Any, shown: np.ndarray) -> np.ndarray:
    """Q-values of a ReLU network with two hidden layers, in plain NumPy."""
    for layer in "01":
        shown = np.maximum(shown @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    return shown @ weights["2.weight"].T + weights["2.bias"]


def test_a_return_that_no_share_can_be_taken_of_is_null_and_not_nan(tiny_root: Path) -> None:
    # An untrained agent on Catch loses: its return is -1, and there is no offset.
    store = train_all(tiny_root, with_probes({"robustness": {"noise": [1.0], "every": 60}}, train_steps=60))
    tables = [pq.read_table(p) for p in (tiny_root / "store/tiny/hot").rglob("*.parquet")]
    areas = [
        (s, v)
        for t in tables
        for s, v in zip(*(t[c].to_pylist() for c in ("step", "robustness_noise_auc")), strict=True)
    ]
    assert (0, None) in areas
    assert all(value is None or value == value for _, value in areas)
    assert not rows(store).empty


def test_a_plan_from_before_there_were_groups_is_read_as_it_was(tiny_root: Path) -> None:
    (pack,) = planned(tiny_root, study())
    text = pack.model_dump_json()
    assert "probes" not in text, "and is written as it was"
    assert PackSpec.model_validate_json(text) == pack
    (probing,) = planned(tiny_root, with_probes(ALL))
    assert PackSpec.model_validate_json(probing.model_dump_json()) == probing


# Refusals


@pytest.mark.parametrize(
    ("probes", "base", "message"),
    [
        (
            {"hessian": {}},
            {"hidden_sizes": [200, 100]},
            r"'rates': protocol\.probes\.hessian: the network has 30,603 parameters.*lanczos",
        ),
        (
            {"robustness": {"shift": [1, 2]}},
            {},
            r"protocol\.probes\.robustness: .*moves images, but bsuite/catch/0 shows vectors of shape \[50\]",
        ),
        (
            {"reinitialization": {"layers": ["0", "conv0"]}},
            {},
            r"protocol\.probes\.reinitialization: the network has no layer 'conv0'; it has 0, 1, 2\.",
        ),
    ],
)
def test_a_probe_that_a_trial_cannot_have_is_refused_with_its_path_and_the_reason(
    probes: dict[str, Any], base: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_probes(with_probes(probes, **base))


def test_linear_probing_of_images_without_a_state_is_refused() -> None:
    of = study(
        datasets={"pong": {"env": "atari/Pong", "collect": {"agent": "random", "steps": 400, "num_envs": 4}}},
        base={"dataset": "pong", "train_steps": 60, "network": "nature_dqn"},
        protocol={**PROTOCOL, "probes": {"linear_probe": {}}},
    )
    with pytest.raises(
        UsageError, match=r"protocol\.probes\.linear_probe: .* no state beside them\. .*leave the group"
    ):
        check_probes(of)


def test_a_study_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="moves images"):
        run_study(
            with_probes({"robustness": {"shift": [13]}}),
            "tiny",
            tmp_path / "root",
            RunOptions(),
            cast(Display, None),
        )
    assert not (tmp_path / "root").exists()


def test_probes_that_all_trials_can_have_are_not_refused() -> None:
    check_probes(with_probes(ALL))
    check_probes(study())


# Every kind of objective

WITHOUT_VALUES = {
    "q_mean",
    "q_max",
    "q_mean_max",
    "fit_error_target",
    "value_gap",
    "value_bias",
    "value_error",
}


@pytest.fixture(scope="module")
def grid_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grid")
    collect_dataset(root, GRID, collect_spec(DatasetRecipe.model_validate({"name": GRID, **GRID_RECIPE})))
    return root


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("td_policy", {"curl_weight": 0.1}),
        ("bc", {}),
        ("bcq", {}),
        ("rem", {"num_heads": 3}),
        ("c51", {"num_atoms": 5}),
        ("r2d2", {"lstm_size": 6, "sequence_length": 10, "burn_in": 2}),
    ],
)
def test_every_group_is_to_be_had_of_every_kind_of_objective(
    grid_root: Path, tmp_path: Path, algorithm: str, settings: dict[str, Any]
) -> None:
    probes = {**ALL, "robustness": {"noise": [0.5], "offset": 1.0}}
    probes = {name: {**group, "every": None} if "every" in group else group for name, group in probes.items()}
    of = study(
        {"name": "one", "seeds": 1},
        datasets={GRID: GRID_RECIPE},
        base={"dataset": GRID, "train_steps": 2, "hidden_sizes": [6, 4], "algorithm": algorithm, **settings},
        protocol={
            "log_every": 2,
            "eval_episodes": 1,
            "eval_max_steps": 5,
            "probe_batch_size": 32,
            "probes": probes,
        },
    )
    store = train_all(root_with(grid_root, tmp_path / "root"), of)
    last = Store(tmp_path / "root").metrics("tiny").query("step == 2").iloc[0]
    nulls = {name for name in MEASURES if pd.isna(last[name])}
    elsewhere = {name for name in MEASURES if name.startswith(("return", "robustness_s"))}
    assert nulls - elsewhere == (WITHOUT_VALUES if algorithm == "bc" else set())
    spectra = vectors(store)
    assert all(np.isfinite(one).all() for one in spectra["values"])
    assert set(spectra["name"]) == {name for name in VECTORS if not name.startswith("robustness_s")}


# Two protocols


def test_a_sweep_cannot_go_on_with_other_groups(tiny_root: Path) -> None:
    (before,) = planned(tiny_root, study(base={"dataset": DATASET, "train_steps": 60}, protocol=PROTOCOL))
    now = study(base={"dataset": DATASET, "train_steps": 60}, protocol={**PROTOCOL, "probes": {"gram": {}}})
    with pytest.raises(UsageError, match=r"another protocol \(probes None then, \{'gram': .* now\)"):
        _check_same_protocol("tiny", now.trials()[0], before)
    _check_same_protocol(
        "tiny", study(base={"dataset": DATASET, "train_steps": 60}, protocol=PROTOCOL).trials()[0], before
    )


def test_two_spaces_with_one_trial_cannot_measure_it_with_different_groups() -> None:
    space = {"axes": {"learning_rate": {"values": [1e-3]}}}
    with pytest.raises(ValueError, match=r"measures them otherwise \(probes \{'gram'.* against None\)"):
        study(
            {"name": "plain", **space},
            {"name": "probing", **space, "protocol": {"probes": {"gram": {}}}},
        )
