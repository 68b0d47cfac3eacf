"""MinAtar's slots beside the raw package, stepped with the same seeds."""

import sys

import minatar
import numpy as np
import pytest
from slots import check_dataset, check_end, check_slots

from agents.environments import describe, env_ids, make
from agents.errors import EnvironmentUnavailable

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")


def test_the_family_is_the_packages_five_games():
    assert [env_id for env_id in env_ids() if env_id.startswith("minatar/")] == [
        f"minatar/{g}" for g in GAMES
    ]


@pytest.mark.parametrize("game", GAMES)
def test_slots_play_as_the_raw_package_does(game):
    seeds = [0, 3, 2**31 - 1]
    theirs = [minatar.Environment(game, sticky_action_prob=0.1, difficulty_ramping=True) for _ in seeds]
    minimal, spec = theirs[0].minimal_action_set(), describe(f"minatar/{game}")
    assert spec.num_actions == len(minimal)
    assert spec.observation_shape == (theirs[0].state_shape()[2], 10, 10)
    for environment, seed in zip(theirs, seeds, strict=True):
        environment.seed(seed)
        environment.reset()
    vector = make(f"minatar/{game}", len(seeds))
    observation = vector.reset(np.array(seeds))
    draws, ends, total = np.random.default_rng(0), 0, 0.0
    for _ in range(2600 if game == "freeway" else 1000):
        for slot, environment in enumerate(theirs):
            state = environment.state()
            np.testing.assert_array_equal(observation[slot], np.where(state, 255, 0).transpose(2, 0, 1))
        action = draws.integers(len(minimal), size=len(seeds))
        observation, reward, terminated, truncated = vector.step(action)
        results = [e.act(minimal[a]) for e, a in zip(theirs, action, strict=True)]
        np.testing.assert_array_equal(reward, [r for r, _ in results])
        np.testing.assert_array_equal(terminated, [t for _, t in results])
        assert not truncated.any()
        total += reward.sum()
        ends += terminated.sum()
        for slot in np.flatnonzero(terminated):
            theirs[slot].reset()
        if terminated.any():
            observation = vector.restart(terminated)
    assert ends > 0
    assert total > 0 or game == "freeway", "a random chicken is run over"
    assert observation.dtype == spec.observation_dtype == "uint8"


def test_a_tenth_of_the_actions_are_the_one_before():
    # Breakout's paddle stands with the no-op: where it moved although it was told not to, an action stuck.
    vector = make("minatar/breakout", 400)
    vector.reset(np.arange(400))
    paddle = vector.step(np.full(400, 1))[0][:, 0].argmax(-1).max(1)
    after = vector.step(np.full(400, 0))[0][:, 0].argmax(-1).max(1)
    assert (paddle != after).mean() == pytest.approx(0.1 * 0.9, abs=0.05)


@pytest.mark.parametrize("game", ["asterix", "seaquest"])
def test_slots_depend_on_their_seed_alone(game):
    # The first image of asterix and seaquest is the same for every seed.
    shown = check_slots(f"minatar/{game}", 400, differs=False)
    assert shown["terminated"].any()
    assert (shown["observation"][:, 0] != shown["observation"][:, 1]).any()


def test_an_ended_game_stands_still():
    _, terminated, truncated = check_end("minatar/breakout", np.array([0, 0]), 400)
    assert terminated
    assert not truncated


def test_a_dataset_keeps_the_images(tmp_path):
    dataset = check_dataset("minatar/space_invaders", tmp_path, 60)
    assert dataset.arrays["frames"].shape[1:] == (6, 10, 10)


def test_without_the_package_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "minatar", None)
    with pytest.raises(EnvironmentUnavailable, match=r"minatar/asterix.*pip install 'minatar==1\.0\.15'"):
        make("minatar/asterix", 1)
