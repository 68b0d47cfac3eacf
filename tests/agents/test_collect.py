"""Collection in the real environments: what is written is what was played, and the learner learns."""

import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from pydantic import ValidationError

from agents.collect import CollectSpec, collect
from agents.data import Dataset, list_datasets, verify
from agents.environments import make
from agents.errors import AgentError, DatasetError, EnvironmentUnavailable
from agents.randomness import generator
from search_spaces.collect_recipe import Collect

CATCH = CollectSpec(env="bsuite/catch/0", agent="dqn", steps=12000)
RANDOM = CollectSpec(env="bsuite/catch/0", agent="random", steps=1000, num_envs=8)
ASTERIX = CollectSpec(
    env="atari/Asterix", agent="dqn", steps=1000, num_envs=2, network="nature_dqn", hidden_sizes=(512,),
    learning_rate=1e-4, updates_per_step=0.02, learning_starts=100, batch_size=8, reward_clip=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def catch(tmp_path_factory):
    return collect(CATCH, tmp_path_factory.mktemp("root") / "datasets" / "catch")


def episode_returns(dataset):
    """Return of each episode that ended, by episode number."""
    rewards, episodes = dataset.arrays["reward"], dataset.arrays["episode"]
    totals = np.bincount(episodes, weights=rewards)
    return totals[np.sort(episodes[dataset.arrays["discount"] == 0])]


def test_the_online_dqn_learns_catch(catch):
    returns = episode_returns(catch)
    assert returns[:200].mean() < -0.2, "the first episodes should be near random, -0.6"
    # Epsilon 0.05 over nine steps costs a perfect policy about 0.1.
    assert returns[-200:].mean() > 0.75
    assert catch.manifest.episodes == len(returns)
    assert catch.manifest.mean_return == pytest.approx(returns.mean())


def test_the_dataset_is_the_whole_replay_with_each_frame_once(catch):
    assert len(catch) == CATCH.steps
    episodes = catch.arrays["episode"].max() + 1
    # A frame for each transition and one more for each episode's beginning.
    assert len(catch.arrays["frames"]) == CATCH.steps + episodes
    np.testing.assert_array_equal(
        np.unique(catch.arrays["frame_index"]), np.arange(len(catch.arrays["frames"]))
    )


def test_transitions_are_those_of_the_environment_replayed(catch):
    slots = CATCH.num_envs
    vector = make(CATCH.env, slots)
    observation = vector.reset(generator(CATCH.seed, "collect", "environment").integers(2**31, size=slots))
    for first in range(0, CATCH.steps, slots):
        rows = np.arange(first, first + slots)
        np.testing.assert_array_equal(catch.observations(rows), observation)
        observation, reward, terminated, _ = vector.step(catch.arrays["action"][rows].astype(np.int64))
        np.testing.assert_array_equal(catch.observations(rows, following=True), observation)
        np.testing.assert_array_equal(catch.arrays["reward"][rows], reward)
        np.testing.assert_array_equal(catch.arrays["discount"][rows], 1.0 - terminated)
        if terminated.any():
            observation = vector.restart(terminated)


def test_the_recipe_and_the_rates_are_in_the_provenance(catch):
    record = catch.manifest.provenance
    assert CollectSpec.model_validate(record["recipe"]) == CATCH
    assert record["versions"]["bsuite"] == "0.3.6"
    assert record["collection"]["updates"] == (CATCH.steps - CATCH.learning_starts) // 4
    assert record["collection"]["steps_per_second"] > 0
    assert record["machine"]["cores"] >= 1


def test_equal_specs_give_equal_fingerprints_and_other_seeds_others(tmp_path):
    spec = CATCH.model_copy(update={"steps": 2000, "learning_starts": 200})
    first = collect(spec, tmp_path / "first").fingerprint
    assert collect(spec, tmp_path / "second").fingerprint == first
    assert collect(spec.model_copy(update={"seed": 1}), tmp_path / "third").fingerprint != first


def test_atari_frames_are_those_of_the_emulator_replayed_and_collection_is_deterministic(tmp_path):
    dataset = collect(ASTERIX, tmp_path / "one", num_threads=2)
    assert dataset.manifest.provenance["collection"]["updates"] == 18
    assert collect(ASTERIX, tmp_path / "two", num_threads=1).fingerprint == dataset.fingerprint
    vector = make(ASTERIX.env, 2)
    observation = vector.reset(generator(0, "collect", "environment").integers(2**31, size=2))
    ended = 0
    for first in range(0, ASTERIX.steps, 2):
        rows = np.arange(first, first + 2)
        np.testing.assert_array_equal(dataset.observations(rows), observation)
        observation, reward, terminated, _ = vector.step(dataset.arrays["action"][rows].astype(np.int64))
        np.testing.assert_array_equal(dataset.observations(rows, following=True), observation)
        np.testing.assert_array_equal(dataset.arrays["reward"][rows], reward)
        if terminated.any():
            ended += 1
            observation = vector.restart(terminated)
    assert ended > 0, "no episode ended, so the padding of a later episode was not compared"
    assert set(np.unique(dataset.arrays["reward"])) - {0.0, 50.0, 100.0} == set(), (
        "stored rewards are not clipped"
    )
    # Two frames an episode's beginning and transition are all there is: the black one, and each once.
    assert len(dataset.arrays["frames"]) == 1 + ASTERIX.steps + dataset.arrays["episode"].max() + 1


def test_truncated_episodes_keep_their_discount(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.environments.atari.MAX_FRAMES", 80)
    dataset = collect(
        CollectSpec(env="atari/Breakout", agent="random", steps=61, num_envs=1), tmp_path / "breakout"
    )
    np.testing.assert_array_equal(dataset.arrays["discount"], 1)
    np.testing.assert_array_equal(np.bincount(dataset.arrays["episode"]), [20, 20, 20, 1])
    assert dataset.manifest.episodes == 3


def test_the_random_agent_draws_actions_uniformly(tmp_path):
    dataset = collect(RANDOM.model_copy(update={"steps": 9000}), tmp_path / "random")
    counts = np.bincount(dataset.arrays["action"], minlength=3)
    # Three cells of a fair die: chi-square with 2 degrees of freedom exceeds 13.8 once in a thousand times.
    assert ((counts - 3000) ** 2 / 3000).sum() < 13.8
    assert dataset.manifest.mean_return == pytest.approx(-0.6, abs=4 * 0.8 / np.sqrt(1000))


def test_noise_replaces_what_is_executed_and_not_what_is_recorded(tmp_path):
    def moved_as_recorded(noise):
        spec = RANDOM.model_copy(update={"steps": 8000, "random_action_noise": noise})
        dataset = collect(spec, tmp_path / f"noise{int(noise * 10)}")
        rows = np.arange(len(dataset))
        before, after = (
            dataset.observations(rows, following=after).reshape(-1, 10, 5)[:, 9].argmax(-1)
            for after in (False, True)
        )
        landed = dataset.arrays["discount"] == 0
        # Away from the walls, where a move shows, and before the ball can hide the paddle.
        free = ~landed & (before > 0) & (before < 4)
        return (after - before == dataset.arrays["action"] - 1)[free].mean()

    assert moved_as_recorded(0.0) == 1
    # A uniform action is the recorded one in one case of three.
    assert moved_as_recorded(0.3) == pytest.approx(1 - 0.3 * 2 / 3, abs=0.03)


@pytest.mark.parametrize(("steps", "num_envs"), [(50, 8), (3, 8), (1, 1)])
def test_exactly_the_steps_asked_for_are_kept(tmp_path, steps, num_envs):
    spec = RANDOM.model_copy(update={"steps": steps, "num_envs": num_envs})
    assert len(collect(spec, tmp_path / "catch")) == steps
    verify(tmp_path / "catch")


def test_progress_is_reported_and_ends_at_the_total(tmp_path):
    seen = []
    collect(RANDOM, tmp_path / "catch", lambda done, total, info: seen.append((done, total, info)))
    assert seen[-1][:2] == (1000, 1000)
    assert {"steps_per_second", "updates_per_second", "epsilon", "recent_mean_return"} <= set(seen[-1][2])
    assert sum(seen[-1][2]["seconds_by_part"].values()) > 0


def test_epsilon_falls_linearly_and_then_stays():
    spec = CollectSpec(env="bsuite/catch/0", agent="dqn", steps=1000, epsilon_end=0.1)
    assert [spec.epsilon_at(step) for step in (0, 250, 500, 999)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_the_random_agent_needs_no_torch(tmp_path):
    code = (
        "import sys; from agents.collect import CollectSpec, collect;"
        "collect(CollectSpec(env='bsuite/catch/0', agent='random', steps=20), sys.argv[1]);"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "catch")], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def test_a_studys_recipe_is_a_collect_spec_field_by_field():
    for recipe in (Collect(agent="dqn", steps=500), Collect(agent="random", steps=500, num_envs=4)):
        spec = CollectSpec(env="bsuite/catch/0", **recipe.model_dump())
        assert spec.model_dump(exclude={"env"}) == recipe.model_dump()
        for step in (0, 100, 250, 499):
            bare = CollectSpec(env="bsuite/catch/0", agent=recipe.agent, steps=500)
            assert spec.epsilon_at(step) == bare.epsilon_at(step)


KILLED = """
    import sys
    from agents.collect import CollectSpec, collect
    def progress(done, total, info):
        print(done, flush=True)
    spec = CollectSpec(env="bsuite/catch/0", agent="dqn", steps=400000, updates_per_step=0.1)
    collect(spec, sys.argv[1], progress)
"""


def test_kill_9_in_the_middle_leaves_nothing_visible_and_the_next_collection_succeeds(tmp_path):
    path = tmp_path / "datasets" / "catch"
    maker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path)], stdout=subprocess.PIPE, text=True
    )
    while int(maker.stdout.readline()) < 2000:
        pass
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    maker.stdout.close()
    assert list_datasets(tmp_path) == []
    collect(RANDOM, path)
    assert [entry.name for entry in list_datasets(tmp_path)] == ["catch"]
    Dataset.open(path, verify=True)
    assert [child.name for child in path.parent.iterdir()] == ["catch"]


def test_nature_dqn_on_vectors_is_refused_before_anything_is_made(tmp_path):
    spec = CATCH.model_copy(update={"network": "nature_dqn", "hidden_sizes": (512,)})
    with pytest.raises(
        AgentError, match=r"nature_dqn reads images, and bsuite/catch/0 .*\(50,\)\. Use network: mlp"
    ):
        collect(spec, tmp_path / "catch")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_environment_and_an_existing_name_are_refused_at_once(tmp_path):
    began = time.perf_counter()
    with pytest.raises(EnvironmentUnavailable, match="Did you mean 'bsuite/catch/0'"):
        collect(CATCH.model_copy(update={"env": "bsuite/katch/0"}), tmp_path / "catch")
    (tmp_path / "taken").mkdir()
    with pytest.raises(DatasetError, match="'taken' exists already"):
        collect(CATCH, tmp_path / "taken")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"epsilon_end": 2}, {"agent": "sarsa"}, {"stepz": 1}])
def test_specs_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CollectSpec.model_validate({**CATCH.model_dump(), **wrong})
