"""From a finished trial to its policy, with packs that were really trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sweeps import DATASET, RECIPE, begin, root_with, study, train_all

from agents.data import Dataset
from agents.pack import Pack
from search_spaces import Collect, DatasetRecipe, SpecificationError
from sweep.checkpoints import Checkpoints
from sweep.datasets import collect_dataset, collect_spec, find_datasets
from sweep.errors import UsageError
from sweep.learner import learner_shape, member_hypers
from sweep.plan import PackSpec
from sweep.policies import find_trial, trial_policy
from sweep.store import Store

ENV = "bsuite/catch/0"
DIVERGES = 1e12


@pytest.fixture(scope="module")
def trained(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a pack of three members, one of which diverged. Not to be changed."""
    root = root_with(dataset_root, tmp_path_factory.mktemp("trained") / "root")
    axes = {"learning_rate": {"values": [3e-3, 3e-2, DIVERGES]}}
    base = {"dataset": DATASET, "train_steps": 60, "hidden_sizes": [16, 8], "loss": "mse"}
    train_all(root, study({"name": "rates", "axes": axes}, base=base))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "root"))


def packs(root: Path) -> list[PackSpec]:
    (plan,) = Store(root).sweep("tiny").plans()
    return [PackSpec.model_validate(about) for about in plan["packs"].values()]


def trials(root: Path) -> dict[float, str]:
    """Trial ids by learning rate."""
    return {member.config.learning_rate: member.trial_id for pack in packs(root) for member in pack.members}


def recipe(policy: str, **changes: Any) -> DatasetRecipe:
    content = {"agent": "policy", "policy": policy, "steps": 300, "num_envs": 4, **changes}
    return DatasetRecipe(name="played", env=ENV, collect=Collect(**content))


def refusal(root: Path, name: str, env: str = ENV) -> str:
    with pytest.raises(UsageError) as caught:
        trial_policy(root, name, env=env)
    assert caught.value.exit_code == 2
    return str(caught.value)


def restored(root: Path, pack: PackSpec) -> Pack:
    """The whole pack as the training process would go on with it."""
    data = Dataset.open(root / "datasets" / DATASET)
    shape = learner_shape(pack.config, data.spec)
    members = [member_hypers(member.config) for member in pack.members]
    made = Pack(shape, members, data.transitions, pack_size=pack.size, compile=False)
    saved = Checkpoints(root, "tiny", pack.pack_id).latest({})
    assert saved is not None
    made.load_state_dict(saved["pack"])
    return made


def test_what_is_collected_are_the_greedy_actions_of_the_trial_in_its_pack(root: Path) -> None:
    (pack,) = packs(root)
    whole = restored(root, pack)
    assert whole.step == 60
    for row, member in enumerate(pack.members[:2]):
        name = f"played-{row}"
        collect_dataset(root, name, collect_spec(recipe(f"tiny/{member.trial_id}")))
        dataset = Dataset.open(root / "datasets" / name, verify=True)
        seen = dataset.observations(np.arange(len(dataset)))
        q = whole.q_values(np.broadcast_to(seen, (len(pack.members), *seen.shape)).copy()).numpy()
        np.testing.assert_array_equal(dataset.arrays["action"], q[row].argmax(1))
        other = q[1 - row].argmax(1)
        assert (dataset.arrays["action"] != other).any(), (
            "the members' policies differ, so a mix-up would show"
        )


def test_the_trial_its_configuration_and_its_weights_are_recorded(root: Path) -> None:
    trial = trials(root)[3e-2]
    spec = collect_spec(recipe(f"tiny/{trial}", epsilon=0.2))
    fingerprint = collect_dataset(root, "played", spec)
    record = Dataset.open(root / "datasets" / "played").manifest.provenance
    policy = record["policy"]
    assert (policy["sweep"], policy["trial_id"], policy["step"]) == ("tiny", trial, 60)
    assert policy["config"]["learning_rate"] == 3e-2
    assert policy["dataset_fingerprint"] == Dataset.open(root / "datasets" / DATASET).fingerprint
    assert policy["weights_sha256"] == trial_policy(root, f"tiny/{trial}", env=ENV).weights_sha256
    assert record["recipe"]["epsilon"] == 0.2
    assert collect_dataset(root, "again", spec) == fingerprint
    greedy = collect_spec(recipe(f"tiny/{trial}"))
    assert collect_dataset(root, "greedy", greedy) != fingerprint


def test_a_study_can_name_a_finished_trial_as_the_maker_of_its_data(root: Path) -> None:
    names = [f"tiny/{trials(root)[rate]}" for rate in (3e-3, 3e-2)]
    content = {
        "env": ENV,
        "collect": {"agent": "policy", "policy": names[0], "steps": 200, "num_envs": 4, "epsilon": 0.1},
    }
    of = study(datasets={"played": content}, base={"dataset": "played", "train_steps": 20})
    assert find_datasets(root, of) == {"played": None}
    made = of.datasets["played"]
    assert made.recipe_id() != recipe(names[1], steps=200, epsilon=0.1).recipe_id()
    fingerprint = collect_dataset(root, "played", collect_spec(made))
    found = find_datasets(root, of)["played"]
    assert found is not None
    assert found.fingerprint == fingerprint
    changed = {**content, "collect": {**content["collect"], "policy": names[1]}}  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=r"made by another recipe .*policy"):
        find_datasets(root, study(datasets={"played": changed}, base={"dataset": "played"}))


@pytest.mark.parametrize(
    ("collect", "path", "message"),
    [
        ({"agent": "policy"}, "policy", "agent 'policy' plays a finished trial"),
        ({"agent": "policy", "policy": "demo"}, "policy", "must be SWEEP/TRIAL_ID"),
        ({"agent": "policy", "policy": "../demo/0123456789abcdef"}, "policy", "must be SWEEP/TRIAL_ID"),
        ({"agent": "dqn", "policy": "demo/0123456789abcdef"}, "policy", "not used by agent 'dqn'"),
        ({"agent": "random", "epsilon": 0.1}, "epsilon", "set agent to 'policy'"),
        ({"agent": "policy", "policy": "demo/0123456789abcdef", "batch_size": 3}, "batch_size", "'dqn'"),
        ({"agent": "random", "checkpoints": 3}, "checkpoints", "'dqn'"),
    ],
)
def test_recipes_that_mix_agents_up_are_refused(collect: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        Collect(steps=100, **collect)
    assert [(problem.path, message in problem.message) for problem in caught.value.problems] == [
        ((path,), True)
    ]


def test_a_recipe_without_the_newer_keys_keeps_its_id_and_its_data(root: Path) -> None:
    # As the first release computed them: studies' stores hold trials under ids that follow from these.
    of = DatasetRecipe(name="d", **RECIPE)  # type: ignore[arg-type]
    assert of.recipe_id() == "recipe:df2ea31b2cd8416c"
    learnt = DatasetRecipe(name="d", env=ENV, collect=Collect(agent="dqn", steps=8192))
    assert learnt.recipe_id() == "recipe:7b3b21ede5fc6910"
    path = root / "datasets" / DATASET / "dataset.json"
    text = path.read_text()
    for line in ('      "policy": null,\n', '      "epsilon": 0.0,\n'):
        assert line in text
        text = text.replace(line, "")
    path.write_text(text.replace(',\n      "checkpoints": 50', ""))
    assert find_datasets(root, study())[DATASET] is not None


# What cannot be played


def test_unknown_sweeps_and_trials_are_told_with_what_there_is(root: Path) -> None:
    assert "there are: tiny" in refusal(root, "teeny/0123456789abcdef")
    said = refusal(root, "tiny/0123456789abcdef")
    assert "there are 3, such as" in said
    assert "sweep export tiny trials" in said
    assert any(trial in said for trial in trials(root).values())
    assert "SWEEP/TRIAL_ID" in refusal(root, "tiny")
    assert "SWEEP/TRIAL_ID" in refusal(root, "tiny/")
    assert "it must be 1 to 64" in refusal(root, "../tiny/0123456789abcdef")


def test_a_trial_id_can_be_cut_short_where_it_is_unique(root: Path) -> None:
    for trial in trials(root).values():
        assert find_trial(root, f"tiny/{trial[:12]}") == f"tiny/{trial}"


def test_a_trial_that_has_not_finished_or_failed_is_refused(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    name = f"tiny/{pack.trials[0]}"
    assert "has not finished; `sweep status tiny`" in refusal(tiny_root, name)
    attempt = store.start_attempt(pack.pack_id, {"resume_step": -1})
    store.fail_pack(pack.pack_id, attempt, {"reason": "out of memory"})
    assert "its pack failed: out of memory" in refusal(tiny_root, name)


def test_a_diverged_trial_is_refused(root: Path) -> None:
    assert "diverged at step" in refusal(root, f"tiny/{trials(root)[DIVERGES]}")


def test_another_environment_is_refused(root: Path) -> None:
    said = refusal(root, f"tiny/{trials(root)[3e-2]}", env="bsuite/cartpole/0")
    assert "was trained for bsuite/catch/0, not for bsuite/cartpole/0" in said


def test_a_deleted_checkpoint_is_refused_before_anything_is_made(root: Path) -> None:
    name = f"tiny/{trials(root)[3e-2]}"
    (folder,) = (root / "checkpoints" / "tiny").iterdir()
    last = sorted(folder.iterdir())[-1]
    last.unlink()
    assert f"ended at step 60, but {folder} has one of step" in refusal(root, name)
    shutil.rmtree(folder)
    assert "has no checkpoint that can be read: the weights were deleted" in refusal(root, name)
    with pytest.raises(UsageError, match="the weights were deleted"):
        collect_dataset(root, "played", collect_spec(recipe(name)))
    assert [path.name for path in (root / "datasets").iterdir()] == [DATASET]
