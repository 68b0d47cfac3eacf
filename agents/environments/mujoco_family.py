"""Locomotion in MuJoCo: gymnasium's Hopper, HalfCheetah, Walker2d and Ant, version 5."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.gymnasium_slots import GymnasiumSlots, Slot
from agents.environments.protocol import EnvironmentSpec, ScoreReference

REQUIRES = ("mujoco==3.10.0", "gymnasium[mujoco]>=1.4,<2")

# Observation and action widths. Ant shows 27 numbers of its body and then the contact forces on 13 parts, six
# each, as gymnasium documents version 5. AntD4RL is what D4RL's files of Ant show: version 2 under MuJoCo 2,
# where the 84 contact forces (the world's too) are zero in every row (D4RL issue 143), and so is their cost.
_WIDTHS = {
    "Hopper": (11, 3),
    "HalfCheetah": (17, 6),
    "Walker2d": (17, 6),
    "Ant": (105, 8),
    "AntD4RL": (111, 8),
}
_CONTACTS: dict[str, dict[str, Any]] = {
    "Ant": {"include_cfrc_ext_in_observation": True},
    "AntD4RL": {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
}

# Returns of a random policy and of a policy trained with SAC, d4rl.infos (REF_MIN_SCORE, REF_MAX_SCORE of
# <name>-medium-v2 and its siblings, which share them).
_D4RL_SCORES = {
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
    "AntD4RL": (-325.6, 3879.7),
}


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"mujoco/{name}" for name in _WIDTHS]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``mujoco/<Robot>``; neither gymnasium nor MuJoCo is imported."""
    name = env_id.removeprefix("mujoco/")
    observations, actions = _WIDTHS[name]
    low, high = _D4RL_SCORES[name]
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(observations,),
        observation_dtype="float32",
        num_actions=0,
        action_shape=(actions,),
        score_reference=ScoreReference(
            low=low, low_name="random", high=high, high_name="D4RL", source="d4rl.infos, v2"
        ),
        requires=" ".join(REQUIRES),
    )


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` robots; float32 observations, at most 1000 steps an episode, then truncated.

    Version 5 is not what D4RL's files were recorded in (version 2, mujoco-py): the tasks are the same, the
    physics and some rewards are not.
    """
    import gymnasium
    import mujoco  # noqa: F401 - gymnasium's own message names another remedy where this one is missing

    name, spec = env_id.removeprefix("mujoco/"), describe(env_id)

    def make_slot() -> Slot:
        slot: Slot = gymnasium.make(
            f"{name.removesuffix('D4RL')}-v5", disable_env_checker=True, **_CONTACTS.get(name, {})
        )
        return slot

    def show(shown: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        padded = np.zeros(spec.observation_shape if name == "AntD4RL" else shown.shape, np.float32)
        padded[: len(shown)] = shown
        return padded

    return GymnasiumSlots(spec, num_envs, make_slot, show)


FAMILY = Family(
    name="mujoco",
    title="MuJoCo locomotion, gymnasium's version 5, continuous actions",
    example="mujoco/Hopper",
    extra="mujoco",
    requires=REQUIRES,
    modules=("gymnasium", "mujoco", "imageio"),
    env_ids=env_ids,
    describe=describe,
    make=make,
)
