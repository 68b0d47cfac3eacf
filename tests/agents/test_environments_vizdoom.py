"""VizDoom's scenarios against vizdoom stepped beside them."""

import re
import sys

import gymnasium
import numpy as np
import pytest
import vizdoom
import vizdoom.gymnasium_wrapper
from slots import check_dataset, check_end, check_slots, random_actions

from agents.environments import describe, make, vizdoom_family
from agents.errors import EnvironmentUnavailable

IDS = vizdoom_family.env_ids()
SUPREME = "vizdoom/HealthGatheringSupreme"
FORWARD = 1


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Doom leaves files in the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filtered(screen):
    """Scaled by 3/5 with triangles as wide as two steps, in floating point."""

    def weights(wide, narrow):
        centres = (np.arange(narrow) + 0.5) * wide / narrow
        distance = np.abs(np.arange(wide) + 0.5 - centres[:, None]) * narrow / wide
        triangles = np.maximum(0, 1 - distance)
        return triangles / triangles.sum(axis=1, keepdims=True)

    lower = np.tensordot(weights(120, 72), screen.astype(float), axes=(1, 0))
    return np.tensordot(lower, weights(160, 96), axes=(1, 1)).transpose(0, 2, 1)


def test_a_game_is_vizdooms_with_its_images_scaled_down():
    ours = make(SUPREME, 1)
    theirs = gymnasium.make("VizdoomHealthGatheringSupreme-v1", frame_skip=4, screen_resolution="RES_160X120")
    screen = theirs.reset(seed=6)[0]["screen"]
    observation = ours.reset(np.array([6]))
    action, reward = [0], [0.0]
    for following in random_actions(ours.spec, 25, 1):
        difference = observation[0].transpose(1, 2, 0) - filtered(screen)
        assert np.abs(difference).max() < 1.1  # rounded twice
        assert {name: array.tolist() for name, array in ours.extras().items()} == {
            "previous_action": list(action),
            "previous_reward": list(reward),
        }
        seen, expected, terminated, truncated, _ = theirs.step(int(following[0]))
        observation, reward, *ends = ours.step(following)
        assert reward[0] == expected == 4  # a point for every tic alive
        assert (terminated, truncated) == (False, False) == tuple(bool(end[0]) for end in ends)
        screen, action = seen["screen"], following
    assert np.unique(observation).size > 20
    restarted, screen = ours.restart(np.array([True])), theirs.reset()[0]["screen"]
    assert np.abs(restarted[0].transpose(1, 2, 0) - filtered(screen)).max() < 1.1
    assert not any(array.any() for array in ours.extras().values())
    ours.close()
    theirs.close()


@pytest.mark.parametrize("env_id", IDS)
def test_actions_and_limits_are_the_scenarios(env_id):
    name = env_id.removeprefix("vizdoom/")
    theirs = gymnasium.make(f"Vizdoom{name}-v1")
    assert describe(env_id).num_actions == theirs.action_space.n
    assert vizdoom_family._SCENARIOS[name].limit == (theirs.unwrapped.game.get_episode_timeout() or None)
    theirs.close()


def test_the_first_action_after_standing_still_is_forward():
    theirs = gymnasium.make("VizdoomHealthGatheringSupreme-v1")
    game = theirs.unwrapped.game
    pressed = dict(zip(game.get_available_buttons(), theirs.unwrapped.button_map[FORWARD], strict=True))
    assert [button for button, down in pressed.items() if down] == [vizdoom.Button.MOVE_FORWARD]
    assert not any(theirs.unwrapped.button_map[0])
    theirs.close()


def test_a_slot_depends_on_its_own_seed_and_actions_only():
    check_slots(SUPREME, 40)


def test_starving_is_terminal_and_shows_the_last_image():
    steps, terminated, truncated = check_end(SUPREME, np.array([0, 0]), 525)
    assert steps < 525
    assert (terminated, truncated) == (True, False)
    vector = make(SUPREME, 1)
    observation = vector.reset(np.array([1]))
    for _ in range(steps - 1):
        observation, *_ = vector.step(np.array([0]))
    last, reward, terminated, _ = vector.step(np.array([0]))
    assert terminated[0]
    assert reward[0] < -90  # the penalty of 100 and a few tics alive
    np.testing.assert_array_equal(last, observation)
    assert last.any()
    vector.close()


def test_a_time_limit_is_a_truncation_with_an_image():
    # Nothing in this scenario ends an episode while the agent stands still.
    assert check_end("vizdoom/MyWayHome", np.array([0, 0]), 600) == (525, False, True)


def test_a_dataset_holds_images_actions_and_rewards(tmp_path):
    dataset = check_dataset(SUPREME, tmp_path / "datasets", 6)
    assert dataset.arrays["extra_previous_reward"].max() == 4


def test_nothing_is_left_behind(folder):
    vector = make(SUPREME, 1)
    vector.reset(np.array([1]))
    vector.close()
    assert list(folder.iterdir()) == []


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    monkeypatch.delitem(sys.modules, "vizdoom.gymnasium_wrapper")
    with pytest.raises(EnvironmentUnavailable, match=re.escape("pip install 'vizdoom==1.3.2'")):
        make(SUPREME, 1)
