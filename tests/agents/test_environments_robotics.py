"""D4RL's mazes and kitchen against gymnasium-robotics stepped beside them and the installed d4rl."""

import glob
import re
import sys
import tempfile

import d4rl_package
import gymnasium
import numpy as np
import pytest
from slots import check_dataset, check_slots, random_actions

from agents.environments import describe, make, robotics_family
from agents.errors import EnvironmentUnavailable

IDS = robotics_family.env_ids()
MAZES = [env_id for env_id in IDS if "antmaze" in env_id]


@pytest.mark.parametrize(("env_id", "steps"), [("robotics/antmaze-umaze", 30), ("robotics/kitchen-mixed", 5)])
def test_a_slot_depends_on_its_own_seed_and_actions_only(env_id, steps):
    check_slots(env_id, steps)


@pytest.mark.parametrize("env_id", MAZES)
def test_a_maze_is_d4rls_with_its_start_and_goal(env_id):
    name = env_id.removeprefix("robotics/") + "-v2"
    _, limit, map_name = d4rl_package.registered("locomotion/__init__.py")[name]
    expected = getattr(d4rl_package.load("locomotion/maze_env.py"), map_name.removeprefix("maze_env."))
    vector = make(env_id, 1)
    first, extras = vector.reset(np.array([0])), vector.extras()
    maze = vector._slots[0].unwrapped.maze
    assert [[str(cell) for cell in row] for row in maze.maze_map] == [
        [str(cell) for cell in row] for row in expected
    ]
    assert vector._slots[0].spec.max_episode_steps == limit
    # Both move by up to a quarter of a cell of four metres.
    start, goal = maze.unique_reset_locations, maze.unique_goal_locations
    assert len(start) == len(goal) == 1
    assert 0 < np.abs(first[0, :2] - start[0]).max() <= 1
    assert 0 < np.abs(extras["goal"][0] - goal[0]).max() <= 1
    vector.close()


def test_a_maze_shows_the_ants_state_as_gymnasium_robotics_does():
    cells = [[1, 1, 1, 1, 1], [1, "r", 0, 0, 1], [1, 1, 1, 0, 1], [1, "g", 0, 0, 1], [1, 1, 1, 1, 1]]
    ours = make("robotics/antmaze-umaze", 1)
    theirs = gymnasium.make("AntMaze_UMaze-v5", maze_map=cells, continuing_task=False)
    shown, _ = theirs.reset(seed=3)
    observation = ours.reset(np.array([3]))
    for action in random_actions(ours.spec, 20, 1):
        np.testing.assert_array_equal(observation[0, :2], shown["achieved_goal"].astype(np.float32))
        # 13 of the body's position and 14 of its velocity; what follows are contact forces.
        np.testing.assert_array_equal(observation[0, 2:], shown["observation"][:27].astype(np.float32))
        np.testing.assert_array_equal(ours.extras()["goal"][0], shown["desired_goal"].astype(np.float32))
        shown, *_ = theirs.step(action[0])
        observation, *_ = ours.step(action)
    restarted, (shown, _) = ours.restart(np.array([True])), theirs.reset()
    np.testing.assert_array_equal(restarted[0, :2], shown["achieved_goal"].astype(np.float32))
    np.testing.assert_array_equal(ours.extras()["goal"][0], shown["desired_goal"].astype(np.float32))
    ours.close()
    theirs.close()


def test_reaching_the_goal_of_a_maze_pays_one_and_is_terminal():
    vector = make("robotics/antmaze-umaze", 2)
    vector.reset(np.array([0, 1]))
    slot = vector._slots[1].unwrapped
    position = slot.ant_env.data.qpos.copy()
    position[:2] = slot.goal
    slot.ant_env.set_state(position, slot.ant_env.data.qvel)
    _, reward, terminated, truncated = vector.step(np.zeros((2, 8), np.float32))
    assert reward.tolist() == [0, 1]
    assert terminated.tolist() == [False, True]
    assert not truncated.any()
    vector.close()


def test_a_maze_leaves_no_file_behind():
    pattern = f"{tempfile.gettempdir()}/ant_maze*.xml"
    before = set(glob.glob(pattern))
    vector = make("robotics/antmaze-umaze", 1)
    assert set(glob.glob(pattern)) <= before
    vector.close()


@pytest.mark.parametrize("name", ["kitchen-complete", "kitchen-partial", "kitchen-mixed"])
def test_the_kitchens_tasks_and_limit_are_d4rls(name):
    entry, limit, _ = d4rl_package.registered("kitchen/__init__.py")[f"{name}-v0"]
    tasks = d4rl_package.class_constant("kitchen/kitchen_envs.py", entry.split(":")[1], "TASK_ELEMENTS")
    assert set(robotics_family._KITCHENS[name]) == set(tasks)
    assert limit == 280


def test_the_kitchen_shows_positions_and_goal_and_pays_each_task_once():
    vector = make("robotics/kitchen-mixed", 1)
    observation = vector.reset(np.array([0]))
    slot, tasks = vector._slots[0].unwrapped, robotics_family._KITCHENS["kitchen-mixed"]
    assert vector._slots[0].spec.max_episode_steps == 280
    wanted = np.zeros(30)
    goals = {"microwave": ([22], [-0.75]), "bottom burner": ([11, 12], [-0.88, -0.01]),
             "light switch": ([17, 18], [-0.69, -0.05]),
             "kettle": (range(23, 30), [-0.23, 0.75, 1.62, 0.99, 0, 0, -0.06])}  # fmt: skip
    for places, goal in goals.values():
        wanted[list(places)] = goal
    np.testing.assert_array_equal(observation[0, 30:], wanted.astype(np.float32))
    # The sensors' noise is at most a thousandth or so.
    np.testing.assert_allclose(observation[0, :30], slot.data.qpos, atol=5e-3)
    paid = []
    for task in tasks:
        places, goal = goals[task]
        position = slot.data.qpos.copy()
        position[list(places)] = goal
        slot.robot_env.set_state(position, np.zeros_like(slot.data.qvel))
        _, reward, terminated, truncated = vector.step(np.zeros((1, 9), np.float32))
        paid.append((reward[0], terminated[0], truncated[0]))
    assert paid == [(1, False, False)] * 3 + [(1, True, False)]
    vector.close()


@pytest.mark.parametrize("env_id", IDS)
def test_scores_are_d4rls(env_id):
    infos = d4rl_package.load("infos.py")
    name = env_id.removeprefix("robotics/") + ("-v2" if env_id in MAZES else "-v0")
    low, high = infos.REF_MIN_SCORE[name], infos.REF_MAX_SCORE[name]
    returns = np.array([0.0, 0.6, 3.0])
    np.testing.assert_allclose(describe(env_id).normalise(returns), (returns - low) / (high - low))


def test_a_dataset_holds_what_was_shown_and_the_goals(tmp_path):
    dataset = check_dataset("robotics/antmaze-umaze", tmp_path, 10)
    assert dataset.arrays["extra_goal"].any()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    remedy = "pip install 'mujoco==3.10.0' 'gymnasium-robotics==1.4.2'"
    with pytest.raises(EnvironmentUnavailable, match=re.escape(remedy)):
        make("robotics/antmaze-umaze", 1)
