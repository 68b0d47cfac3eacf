"""DeepMind Control from pixels, the simulator's state beside them: DrQ-v2's protocol."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments import headless_gl
from agents.environments.family import Family
from agents.environments.gymnasium_slots import GymnasiumSlots, Shown
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import AgentError

REQUIRES = ("mujoco==3.10.0", "dm-control==1.0.43")

# Yarats et al. (2021), as in facebookresearch/drqv2 dmc.py and cfgs.
SIZE = 84
FRAME_STACK = 3
ACTION_REPEAT = 2
CAMERA = 0

# Action width and the parts of the state with their widths, in dm_control's order.
_TASKS: dict[str, tuple[int, dict[str, int]]] = {
    "walker_walk": (6, {"orientations": 14, "height": 1, "velocity": 9}),
    "hopper_stand": (4, {"position": 6, "velocity": 7, "touch": 2}),
    "finger_spin": (2, {"position": 4, "velocity": 3, "touch": 2}),
}


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"dmc/{name}" for name in _TASKS]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``dmc/<domain>_<task>``; nothing is imported."""
    actions, state = _TASKS[env_id.removeprefix("dmc/")]
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(3 * FRAME_STACK, SIZE, SIZE),
        observation_dtype="uint8",
        num_actions=0,
        action_shape=(actions,),
        frame_stack=FRAME_STACK,
        extras={"state": ArrayFormat(dtype="float32", shape=(sum(state.values()),))},
        # Each slot holds an OpenGL context, and drawing is nearly all of the time, so more slots gain nothing.
        evaluation_slots=2,
        requires=" ".join(REQUIRES),
    )


class _Slot:
    """One task with gymnasium's interface; shows a stack ``[9, 84, 84]`` and the state ``[D]``."""

    def __init__(self, name: str) -> None:
        from dm_control import suite

        domain, task = name.split("_")
        self._environment = suite.load(domain, task, task_kwargs={"random": 0})
        self._stack = np.zeros((3 * FRAME_STACK, SIZE, SIZE), np.uint8)
        self._parts = tuple(_TASKS[name][1])
        self._thread: int | None = None

    def reset(self, *, seed: int | None = None) -> tuple[Shown, dict[str, Any]]:
        """See ``Slot.reset``."""
        if seed is not None:
            # dm_control takes a seed in the constructor only; its RandomState seeded again is the same
            # stream (tested).
            self._environment.task.random.seed(seed)
        timestep = self._environment.reset()
        # A stack begins with black frames, as a dataset stores it; DrQ-v2 repeats the first frame.
        self._stack = np.zeros_like(self._stack)
        return self._see(timestep), {}

    def step(self, action: npt.NDArray[np.float32]) -> tuple[Shown, float, bool, bool, dict[str, Any]]:
        """See ``Slot.step``."""
        total = 0.0
        for _ in range(ACTION_REPEAT):
            timestep = self._environment.step(action)
            total += timestep.reward
            if timestep.last():
                break
        over, ended = timestep.last(), timestep.last() and timestep.discount == 0
        return self._see(timestep), total, ended, over and not ended, {}

    def close(self) -> None:
        """See ``Slot.close``."""
        self._environment.close()

    def _see(self, timestep: Any) -> Shown:
        # EGL would fail here with a dump of its pointers, OSMesa not at all.
        thread = threading.get_ident()
        self._thread = self._thread or thread
        if thread != self._thread:
            raise AgentError(
                f"a dmc environment was first reset in thread {self._thread} and is now used in thread {thread}: "
                "its OpenGL context belongs to the first. Make, reset and step it in one thread."
            )
        image = self._environment.physics.render(SIZE, SIZE, camera_id=CAMERA)
        self._stack = np.concatenate([self._stack[3:], image.transpose(2, 0, 1)])
        state = [np.ravel(timestep.observation[part]) for part in self._parts]
        return self._stack, {"state": np.concatenate(state).astype(np.float32)}


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` tasks; uint8 observations ``[B, 9, 84, 84]``: three RGB images, oldest first.

    Every action is taken twice and their rewards added; cut after 500 steps (1000 of the simulator) by a
    truncation. ``extras["state"]`` is the observation that the task has without pixels, float32 ``[B, D]``.
    Step it from the thread that has reset it: an OpenGL context belongs to one thread. Pixels depend on the
    renderer (see ``headless_gl``), everything else does not.
    """
    import dm_control  # noqa: F401 - before a renderer is looked for, which needs it

    headless_gl.choose()
    name = env_id.removeprefix("dmc/")
    return GymnasiumSlots(describe(env_id), num_envs, lambda: _Slot(name), lambda shown: shown)


FAMILY = Family(
    name="dmc",
    title="DeepMind Control from pixels with the simulator's state, continuous actions",
    example="dmc/walker_walk",
    extra="dmc",
    requires=REQUIRES,
    modules=("mujoco", "dm_control"),
    env_ids=env_ids,
    describe=describe,
    make=make,
    system=headless_gl.SYSTEM_PACKAGES,
)
