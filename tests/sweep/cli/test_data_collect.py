"""`sweep data collect`: every key of a recipe as an option, several levels of noise, policies of trials."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from commands import Sweep
from tiny_sweeps import study, train_all

from agents.data import Dataset, read_manifest
from search_spaces import Collect
from sweep.cli.app import build_app
from sweep.store import Store

CATCH = ("data", "collect", "bsuite/catch/0")
SMALL = ("--steps", 120, "--num-envs", 4)
RENAMED = {"random_action_noise": "noise"}
PARTS_OF_AGENT = {"policy"}


def option(field: str) -> typer.core.TyperOption:
    data = typer.main.get_command(build_app()).commands["data"]  # type: ignore[attr-defined]
    name = RENAMED.get(field, field)
    found: typer.core.TyperOption = next(one for one in data.commands["collect"].params if one.name == name)
    return found


@pytest.mark.parametrize("field", sorted(set(Collect.model_fields) - PARTS_OF_AGENT))
def test_every_key_of_a_recipe_is_an_option_with_the_recipes_meaning_and_default(field: str) -> None:
    about, found = Collect.model_fields[field], option(field)
    assert found.opts == ["--" + RENAMED.get(field, field).replace("_", "-")]
    said = str(found.help).lower()
    if field != "agent":
        assert str(about.description).lower() in said
    if isinstance(about.default, int | float | str) and field != "random_action_noise":
        assert f"[default: {about.default}]" in str(found.help)


def test_options_reach_the_recipe_and_others_keep_their_defaults(sweep: Sweep, tmp_path: Path) -> None:
    options = (
        *("--seed", 3, "--epsilon-start", 0.9, "--epsilon-end", 0.2, "--epsilon-decay-steps", 50),
        *("--hidden-sizes", "12,8", "--learning-rate", 0.01, "--batch-size", 4, "--discount", 0.9),
        *("--target-update-period", 7, "--updates-per-step", 0.5, "--learning-starts", 20),
        *("--reward-clip", 0.5, "--checkpoints", 3, "--noise", 0.25, "--threads", 1),
    )
    said = sweep(*CATCH, "--name", "d", *SMALL, *options, "--root", tmp_path)
    assert said.code == 0, said.err
    made = read_manifest(tmp_path / "datasets" / "d").provenance["recipe"]
    assert made == {
        "env": "bsuite/catch/0",
        "agent": "dqn",
        "steps": 120,
        "num_envs": 4,
        "policy": None,
        "seed": 3,
        "epsilon": 0.0,
        "epsilon_start": 0.9,
        "epsilon_end": 0.2,
        "epsilon_decay_steps": 50,
        "network": "mlp",
        "hidden_sizes": [12, 8],
        "learning_rate": 0.01,
        "batch_size": 4,
        "discount": 0.9,
        "target_update_period": 7,
        "updates_per_step": 0.5,
        "learning_starts": 20,
        "reward_clip": 0.5,
        "checkpoints": 3,
        "random_action_noise": 0.25,
    }


def test_the_rate_and_where_the_time_went_are_said_and_recorded(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep(*CATCH, "--name", "d", *SMALL, "--learning-starts", 10, "--root", tmp_path)
    assert re.search(
        r"120 agent steps, 27 gradient steps in [\d.]+ s: [\d,]+ steps/s; starting \d+%, environment \d+%, "
        r"acting \d+%, storing \d+%, learning \d+%",
        " ".join(said.out.split()),
    ), said.out
    record = read_manifest(tmp_path / "datasets" / "d").provenance["collection"]
    assert record["steps_per_second"] > 0
    assert record["seconds_by_part"]["learning"] > 0


def test_several_levels_of_noise_make_a_dataset_each(sweep: Sweep, tmp_path: Path) -> None:
    many = (*CATCH, "--name", "c", *SMALL, "--agent", "random", "--noise", "0,0.1,0.5", "--root", tmp_path)
    assert sweep(*many).code == 0
    names = ["c-noise0", "c-noise0.1", "c-noise0.5"]
    assert sorted(path.name for path in (tmp_path / "datasets").iterdir()) == names
    made = [Dataset.open(tmp_path / "datasets" / name) for name in names]
    assert [one.manifest.provenance["recipe"]["random_action_noise"] for one in made] == [0, 0.1, 0.5]
    assert len({one.fingerprint for one in made}) == 3
    shutil.rmtree(tmp_path / "datasets" / "c-noise0")
    again = sweep(*many)
    assert again.code == 1
    assert "'c-noise0.1' and 'c-noise0.5' exist already" in again.err
    assert not (tmp_path / "datasets" / "c-noise0").exists(), "refused before the first is made"


@pytest.fixture(scope="module")
def trained(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "root"
    shutil.copytree(dataset_root, root)
    train_all(root, study())
    return root


def test_a_finished_trial_plays(sweep: Sweep, trained: Path) -> None:
    trial = Store(trained).trials("tiny")["trial_id"][0]
    options = ("--agent", f"tiny/{trial[:10]}", "--epsilon", 0.05)
    said = sweep(*CATCH, "--name", "good", *SMALL, *options, "--root", trained)
    assert said.code == 0, said.err
    record = read_manifest(trained / "datasets" / "good").provenance
    assert record["policy"]["trial_id"] == trial
    assert (record["recipe"]["agent"], record["recipe"]["policy"]) == ("policy", f"tiny/{trial}")
    rows = json.loads(sweep("data", "ls", "--json", "--root", trained).out)
    assert [row["source"] for row in rows if row["name"] == "good"] == [f"collected by tiny/{trial}"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--agent", "sarsa"), 2, "--agent 'sarsa': it must be dqn, random, or a finished trial"),
        (("--agent", "demo/0123456789abcdef"), 2, "no sweep 'demo'"),
        (("--noise", "0,1.5"), 2, "--noise '0,1.5': it must be one probability"),
        (("--noise", "0.1,0.1"), 2, "several different ones"),
        (("--noise", "much"), 2, "--noise 'much'"),
        (("--hidden-sizes", "64x64"), 2, "must be widths with commas between, such as 64,64"),
        (("--hidden-sizes", "-3"), 2, "hidden_sizes"),
        (("--network", "resnet"), 2, "must be 'mlp', 'nature_dqn' or 'minatar'"),
        (("--batch-size", 0), 2, "batch_size: 0"),
        (("--agent", "random", "--learning-rate", 0.1), 2, "is not used by agent 'random'"),
        (("--epsilon", 0.1), 2, "is not used by agent 'dqn'"),
        (("--network", "minatar"), 1, "minatar reads images"),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_made(
    sweep: Sweep, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    said = sweep(*CATCH, "--name", "d", *SMALL, *options, "--root", tmp_path)
    assert (said.code, message in said.err) == (code, True), said.err
    assert list(tmp_path.rglob("*.npy")) == []


def test_continuous_actions_need_another_agent(sweep: Sweep, tmp_path: Path) -> None:
    hopper = ("data", "collect", "mujoco/Hopper", "--name", "h", "--steps", 20, "--root", tmp_path)
    said = sweep(*hopper)
    assert (said.code, "Use agent: random" in said.err) == (1, True)
    assert sweep(*hopper, "--agent", "random", "--num-envs", 2).code == 0


def test_ctrl_c_keeps_nothing_of_what_was_being_made_and_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from sweep.cli import main; main()", *CATCH, "--name", "long"]
    rest = ("--steps", "50000000", "--agent", "random", "--root", str(tmp_path))
    with subprocess.Popen(
        [*command, *rest],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as maker:
        deadline = time.monotonic() + 60
        frames = tmp_path / "datasets" / ".making-long" / "frames.npy"
        while not (frames.exists() and frames.stat().st_size > 10_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        maker.send_signal(signal.SIGINT)
        _, said = maker.communicate(timeout=60)
    assert maker.returncode == 1
    assert "interrupted. nothing of long was kept. Give the command again to make it." in said
    assert list((tmp_path / "datasets").iterdir()) == []
