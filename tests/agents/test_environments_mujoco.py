"""MuJoCo's robots against gymnasium stepped beside them, and their scores against d4rl's own."""

import re
import sys

import d4rl_package
import gymnasium
import numpy as np
import pytest
from slots import check_dataset, check_end, check_slots, random_actions

from agents.environments import describe, make, mujoco_family
from agents.environments.gymnasium_slots import GymnasiumSlots
from agents.errors import EnvironmentUnavailable

IDS = mujoco_family.env_ids()


@pytest.mark.parametrize("env_id", IDS)
def test_a_robot_moves_as_gymnasiums_own(env_id):
    spec = describe(env_id)
    name = env_id.removeprefix("mujoco/").removesuffix("D4RL")
    theirs = gymnasium.make(f"{name}-v5")
    assert spec.action_shape == theirs.action_space.shape
    assert (spec.action_low, spec.action_high) == (
        theirs.action_space.low.min(),
        theirs.action_space.high.max(),
    )
    assert theirs.spec.max_episode_steps == 1000
    ours = make(env_id, 1)
    shown, _ = theirs.reset(seed=7)
    observation = ours.reset(np.array([7]))
    width = 27 if env_id == "mujoco/AntD4RL" else len(shown)
    np.testing.assert_array_equal(observation[0, :width], shown[:width].astype(np.float32))
    for action in random_actions(spec, 30, 1):
        shown, reward, terminated, truncated, info = theirs.step(action[0])
        observation, got, ended, cut = ours.step(action)
        np.testing.assert_array_equal(observation[0, :width], shown[:width].astype(np.float32))
        assert not observation[0, width:].any()
        if env_id == "mujoco/AntD4RL":  # version 2's contact cost was zero
            reward -= info["reward_contact"]
        assert got[0] == pytest.approx(reward, rel=1e-6)
        assert (ended[0], cut[0]) == (terminated, truncated)
        if terminated:
            shown, _ = theirs.reset()
            observation = ours.restart(np.array([True]))
            np.testing.assert_array_equal(observation[0, :width], shown[:width].astype(np.float32))
    # The random stream runs on: the second episode is gymnasium's second.
    restarted = ours.restart(np.array([True]))
    np.testing.assert_array_equal(restarted[0, :width], theirs.reset()[0][:width].astype(np.float32))
    ours.close()


@pytest.mark.parametrize("env_id", ["mujoco/Hopper", "mujoco/Ant"])
def test_a_slot_depends_on_its_own_seed_and_actions_only(env_id):
    shown = check_slots(env_id, 120)
    assert shown["terminated"].any() or env_id == "mujoco/Ant"


def test_a_fall_is_terminal_and_an_ended_slot_stands_still():
    steps, terminated, truncated = check_end("mujoco/Hopper", np.zeros((2, 3), np.float32), 1000)
    assert 5 < steps < 1000
    assert (terminated, truncated) == (True, False)


def test_a_time_limit_is_a_truncation():
    # The cheetah cannot fall.
    assert check_end("mujoco/HalfCheetah", np.zeros((2, 6), np.float32), 1001) == (1000, False, True)


def test_a_dataset_holds_what_was_shown(tmp_path):
    check_dataset("mujoco/Hopper", tmp_path, 40)


@pytest.mark.parametrize("env_id", IDS)
def test_scores_are_d4rls(env_id):
    infos = d4rl_package.load("infos.py")
    name = env_id.removeprefix("mujoco/").removesuffix("D4RL").lower()
    returns = np.array([-300.0, 0.0, 2500.0])
    reference = describe(env_id).score_reference
    assert reference.scale_name == "D4RL-normalised"
    for data in ("random", "medium", "expert", "medium-replay", "full-replay", "medium-expert"):
        low, high = infos.REF_MIN_SCORE[f"{name}-{data}-v2"], infos.REF_MAX_SCORE[f"{name}-{data}-v2"]
        np.testing.assert_allclose(describe(env_id).normalise(returns), (returns - low) / (high - low))


def test_a_missing_mujoco_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(
        EnvironmentUnavailable, match=re.escape("pip install 'mujoco==3.10.0' 'gymnasium[mujoco]>=1.4,<2'")
    ):
        make("mujoco/Hopper", 1)


def test_an_observation_that_does_not_fit_its_description_is_refused():
    slots = GymnasiumSlots(
        describe("mujoco/Hopper"), 1, lambda: gymnasium.make("Hopper-v5"), lambda shown: shown[:1]
    )
    with pytest.raises(
        ValueError, match=r"mujoco/Hopper showed .* shape \(1,\).* says \(11,\).*mujoco==3.10.0"
    ):
        slots.reset(np.array([0]))
    slots.close()


def test_slots_already_made_are_closed_when_one_cannot_be_made():
    made, closed = [], []

    class Emulator:
        def close(self):
            closed.append(self)

    def make_slot():
        if len(made) == 2:
            raise OSError("no more")
        made.append(Emulator())
        return made[-1]

    with pytest.raises(OSError, match="no more"):
        GymnasiumSlots(describe("mujoco/Hopper"), 3, make_slot, lambda shown: shown)
    assert set(map(id, closed)) == set(map(id, made))
    assert len(made) == 2
