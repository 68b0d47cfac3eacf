"""D4RL's ant mazes and kitchen, as gymnasium-robotics keeps them, in the layout of D4RL's observations."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.gymnasium_slots import GymnasiumSlots, Shown, Slot
from agents.environments.protocol import ArrayFormat, EnvironmentSpec, ScoreReference

REQUIRES = ("mujoco==3.10.0", "gymnasium-robotics==1.4.2")


class _Maze(NamedTuple):
    name: str
    map_name: str
    goal_cell: tuple[int, int]


# Start and goal cell (row, column) of D4RL's evaluation mazes (d4rl.locomotion.maze_env, *_TEST). Its "play"
# and "diverse" data differ in how they were recorded, not in the task.
_START_CELL = (1, 1)
_UMAZE = _Maze("UMaze", "U_MAZE", (3, 1))
_MEDIUM = _Maze("Medium", "MEDIUM_MAZE", (6, 6))
_LARGE = _Maze("Large", "LARGE_MAZE", (7, 9))
_MAZES = {
    "antmaze-umaze": _UMAZE,
    "antmaze-umaze-diverse": _UMAZE,
    "antmaze-medium-play": _MEDIUM,
    "antmaze-medium-diverse": _MEDIUM,
    "antmaze-large-play": _LARGE,
    "antmaze-large-diverse": _LARGE,
}

# The tasks that D4RL's environments reward (d4rl.kitchen.kitchen_envs): "complete" and "partial" are one task
# with two datasets.
_FOUR = ("microwave", "kettle", "light switch", "slide cabinet")
_KITCHENS = {
    "kitchen-complete": _FOUR,
    "kitchen-partial": _FOUR,
    "kitchen-mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}


def env_ids() -> list[str]:
    """Every id of this family: D4RL's names without their version."""
    return [f"robotics/{name}" for name in (*_MAZES, *_KITCHENS)]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``robotics/<D4RL name>``; nothing is imported."""
    maze = env_id.removeprefix("robotics/") in _MAZES
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(29,) if maze else (60,),
        observation_dtype="float32",
        num_actions=0,
        action_shape=(8,) if maze else (9,),
        extras={"goal": ArrayFormat(dtype="float32", shape=(2,))} if maze else {},
        # Each holds a model of its own, the kitchen's with many meshes.
        evaluation_slots=4 if maze else 2,
        # REF_MIN_SCORE and REF_MAX_SCORE: reaching the goal, and completing the four tasks.
        score_reference=ScoreReference(
            low=0.0, low_name="nothing", high=1.0 if maze else 4.0, high_name="D4RL", source="d4rl.infos"
        ),
        requires=" ".join(REQUIRES),
    )


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` slots; float32 observations without the goal in mazes, and with it in the kitchen, as D4RL's.

    Mazes: x, y and then the ant's 27 numbers; reward 1 and the end within 0.45 of the goal; cut after 700
    steps (large and medium: 1000). The goal, which moves by up to a metre an episode, is ``extras["goal"]``.
    Kitchen: 9 joint positions of the robot, 21 numbers of the things, and the 30 that they should be (0 where
    no task is); a reward for each task once; ends with all four, cut after 280 steps.
    """
    # Also where the kitchen's things and goals are defined: MuJoCo missing shows here.
    import gymnasium_robotics  # noqa: F401
    from gymnasium_robotics.envs.franka_kitchen import kitchen_env

    name = env_id.removeprefix("robotics/")
    if name in _MAZES:
        return GymnasiumSlots(describe(env_id), num_envs, lambda: _make_maze(_MAZES[name]), _show_maze)
    goals = {task: kitchen_env.OBS_ELEMENT_GOALS[task] for task in _KITCHENS[name]}
    places = {task: kitchen_env.OBS_ELEMENT_INDICES[task] for task in _KITCHENS[name]}
    return GymnasiumSlots(
        describe(env_id), num_envs, lambda: _make_kitchen(_KITCHENS[name]), _kitchen_shower(goals, places)
    )


def _make_maze(maze: _Maze) -> Slot:
    import gymnasium
    from gymnasium_robotics.envs.maze import maps

    cells = [list(row) for row in getattr(maps, maze.map_name)]
    cells[_START_CELL[0]][_START_CELL[1]] = maps.RESET
    cells[maze.goal_cell[0]][maze.goal_cell[1]] = maps.GOAL
    slot = gymnasium.make(
        f"AntMaze_{maze.name}-v5",
        disable_env_checker=True,
        maze_map=cells,
        reward_type="sparse",
        continuing_task=False,  # the default plays on after the goal
        include_cfrc_ext_in_observation=False,  # version 5 adds 78 contact forces that D4RL's ant has not
    )
    # The maze is handed to MuJoCo through a file that nobody deletes.
    os.unlink(slot.unwrapped.tmp_xml_file_path)
    made: Slot = slot
    return made


def _show_maze(shown: dict[str, npt.NDArray[np.float64]]) -> Shown:
    observation = np.concatenate([shown["achieved_goal"], shown["observation"]]).astype(np.float32)
    return observation, {"goal": shown["desired_goal"].astype(np.float32)}


def _make_kitchen(tasks: tuple[str, ...]) -> Slot:
    import gymnasium

    slot: Slot = gymnasium.make("FrankaKitchen-v1", disable_env_checker=True, tasks_to_complete=list(tasks))
    return slot


def _kitchen_shower(
    goals: dict[str, npt.NDArray[np.float64]], places: dict[str, npt.NDArray[np.int64]]
) -> Callable[[Any], Shown]:
    wanted = np.zeros(30)
    for task, goal in goals.items():
        wanted[places[task]] = goal

    def show(shown: dict[str, Any]) -> Shown:
        # gymnasium-robotics: 9 positions and 9 velocities of the robot, 21 and 20 of the things.
        both = shown["observation"]
        return np.concatenate([both[:9], both[18:39], wanted]).astype(np.float32)

    return show


FAMILY = Family(
    name="robotics",
    title="D4RL's ant mazes and kitchen, continuous actions",
    example="robotics/antmaze-umaze",
    extra="robotics",
    requires=REQUIRES,
    modules=("gymnasium", "mujoco", "gymnasium_robotics"),
    env_ids=env_ids,
    describe=describe,
    make=make,
)
