"""Datasets from episodes that a program holds: content, and errors that name episode, step and key."""

import re
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from agents.data.importers.episodes import from_episodes
from agents.environments import describe
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError

SPEC = EnvironmentSpec(
    env_id="mine/cart", observation_shape=(4,), observation_dtype="float32", num_actions=2, requires=""
)


def episode(length, seed=0, **changes):
    random = np.random.default_rng(seed)
    ends = np.arange(length) == length - 1
    return {
        "observations": random.normal(size=(length + 1, 4)).astype(np.float32),
        "actions": random.integers(0, 2, length),
        "rewards": random.normal(size=length),
        "terminations": ends,
        "truncations": ends & False,
        **changes,
    }


def played(episodes, name="CartPole-v1"):
    """Episodes of a real environment, one at a time."""
    env = gymnasium.make(name)
    env.action_space.seed(0)
    for number in range(episodes):
        seen, rows, ended = [env.reset(seed=number)[0]], [], False
        while not ended:
            action = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            seen.append(observation)
            rows.append((action, reward, terminated, truncated))
        keys = ("actions", "rewards", "terminations", "truncations")
        yield {
            "observations": np.array(seen),
            **dict(zip(keys, map(np.array, zip(*rows, strict=True)), strict=True)),
        }
    env.close()


@pytest.mark.parametrize("kind", [dict, lambda content: SimpleNamespace(**content)], ids=["dicts", "objects"])
def test_every_step_of_every_episode_is_stored(tmp_path, kind):
    whole = list(played(5))
    dataset = from_episodes(
        (kind(one) for one in whole), tmp_path / "datasets" / "cart", spec=SPEC, note="random"
    )
    steps = [len(one["rewards"]) for one in whole]
    every, rows = np.arange(sum(steps)), dataset.arrays
    together = lambda key, part=slice(None): np.concatenate([one[key][part] for one in whole])  # noqa: E731
    np.testing.assert_array_equal(dataset.observations(every), together("observations", slice(-1)))
    np.testing.assert_array_equal(
        dataset.observations(every, following=True), together("observations", slice(1, None))
    )
    np.testing.assert_array_equal(rows["action"], together("actions"))
    np.testing.assert_array_equal(rows["reward"], together("rewards"))
    np.testing.assert_array_equal(rows["discount"], 1.0 - together("terminations"))
    np.testing.assert_array_equal(rows["episode"], np.repeat(np.arange(5), steps))
    assert len(rows["frames"]) == sum(steps) + 5
    assert (dataset.manifest.episodes, dataset.manifest.mean_return) == (5, pytest.approx(np.mean(steps)))
    assert dataset.manifest.provenance["import"]["note"] == "random"
    dataset.verify()


def test_continuous_actions_of_a_known_environment(tmp_path):
    (one,) = played(1, "Hopper-v5")
    dataset = from_episodes([one], tmp_path / "datasets" / "hopper", env="mujoco/Hopper")
    np.testing.assert_array_equal(dataset.arrays["action"], one["actions"])
    assert dataset.spec == describe("mujoco/Hopper")


def test_images_are_stacked_when_they_are_sampled(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 84, 84), np.uint8)
    content = episode(3, observations=images, actions=[0, 5, 2])
    dataset = from_episodes([content], tmp_path / "datasets" / "pong", env="atari/Pong")
    black = np.zeros((84, 84), np.uint8)
    np.testing.assert_array_equal(
        dataset.observations(np.array([1]))[0], [black, black, images[0], images[1]]
    )
    stacks = np.zeros((4, 4, 84, 84), np.uint8)
    with pytest.raises(
        DatasetError, match=r"episode 0, key 'observations': stacks of 4 .*single images of shape"
    ):
        from_episodes([episode(3, observations=stacks)], tmp_path / "datasets" / "x", env="atari/Pong")


def test_extras_and_open_ends(tmp_path):
    spec = SPEC.model_copy(update={"extras": {"state": ArrayFormat(dtype="float32", shape=(2,))}})
    extra = np.arange(8.0).reshape(4, 2)
    content = episode(3, extras={"state": extra}, terminations=[0, 0, 0])
    del content["truncations"]
    dataset = from_episodes([content], tmp_path / "datasets" / "x", spec=spec)
    np.testing.assert_array_equal(dataset.arrays["extra_state"], extra)
    assert (dataset.manifest.episodes, dataset.manifest.mean_return) == (0, None)
    with pytest.raises(DatasetError, match="key 'state': is missing"):
        from_episodes([episode(3)], tmp_path / "datasets" / "y", spec=spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": None}, "episode 2 has no key 'rewards'. It needs observations"),
        (
            {"observations": np.zeros((3, 4))},
            "key 'observations': 3 entries beside 3 rewards; 4 are needed .the last",
        ),
        ({"actions": [0, 1]}, "episode 2, key 'actions': 2 entries beside 3 rewards; 3 are needed"),
        ({"terminations": [0, 1]}, "key 'terminations': 2 entries beside 3 rewards"),
        ({"truncations": [0]}, "key 'truncations': 1 entries beside 3 rewards"),
        ({"terminations": [0, 0, 2]}, "key 'terminations': must be true or false"),
        ({"terminations": ["a", "b", "c"]}, "key 'terminations': must be true or false"),
        ({"rewards": [0.0, np.nan, 1.0]}, "episode 2, step 1, key 'rewards': nan is not a finite number"),
        ({"rewards": ["a", "b", "c"]}, "episode 2, key 'rewards': has dtype <U1"),
        ({"rewards": 3.0}, "episode 2, key 'rewards': a single value"),
        ({"rewards": []}, "episode 2, key 'rewards': is empty"),
        ({"actions": [0, 2, 0]}, "episode 2, step 1, key 'actions': action 2 is outside 0 to 1 of mine/cart"),
        ({"actions": [0, 0.5, 0]}, "episode 2, key 'actions': has dtype float64"),
        ({"actions": np.zeros((3, 2), int)}, r"key 'actions': has shape \(3, 2\); \(3,\) is needed"),
        ({"observations": np.zeros((4, 5))}, r"key 'observations': has shape \(4, 5\); \(4, 4\) is needed"),
        (
            {"observations": np.full((4, 4), np.inf)},
            "episode 2, step 0, key 'observations': inf is not a finite",
        ),
        (
            {"observations": [[0] * 4, [0] * 3, [0] * 4, [0] * 4]},
            "key 'observations': rows of different shapes",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_kept(tmp_path, changes, message):
    episodes = [episode(4), episode(2), episode(3, **changes)]
    with pytest.raises(DatasetError, match=message):
        from_episodes(episodes, tmp_path / "datasets" / "x", spec=SPEC)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_an_environment_and_an_episode_are_needed(tmp_path):
    for given in ({}, {"env": "mujoco/Hopper", "spec": SPEC}):
        with pytest.raises(DatasetError, match=r"give either env.*or spec"):
            from_episodes([episode(3)], tmp_path / "datasets" / "x", **given)
    with pytest.raises(DatasetError, match="there are no episodes"):
        from_episodes([], tmp_path / "datasets" / "x", spec=SPEC)


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    page = Path(__file__).parents[3] / "docs" / "how-to" / "import-your-own.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    assert (tmp_path / "sweeps" / "datasets" / "cartpole-random" / "dataset.json").is_file()
