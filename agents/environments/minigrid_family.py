"""MiniGrid's memory tasks: remember an object from the start of a corridor and choose it at its end."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.gymnasium_slots import GymnasiumSlots
from agents.environments.protocol import EnvironmentSpec

REQUIRES = ("minigrid==3.2.0",)

_SIZES = ("S7", "S9", "S11", "S13", "S13Random", "S17Random")

# Each cell of the agent's view is three symbols (minigrid.core.constants): one of 11 kinds of object, one of
# six colours, one of three states of a door. They are names and not amounts, so each becomes a plane of its
# own: 255 where it holds, which the networks divide by 255.
SYMBOLS = (11, 6, 3)
_FIRST = (0, 11, 17)
PLANES = sum(SYMBOLS)
VIEW = 7


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"minigrid/Memory{size}" for size in _SIZES]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``minigrid/Memory<size>``; nothing is imported."""
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(PLANES, VIEW, VIEW),
        observation_dtype="uint8",
        num_actions=7,
        requires=" ".join(REQUIRES),
    )


def encode(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The agent's view ``[7, 7, 3]`` of symbols as planes ``[20, 7, 7]`` of 0 and 255, uint8.

    Planes: objects 0 to 10, colours 11 to 16, states 17 to 19. The view keeps MiniGrid's axes (x, then y): the
    agent stands at [3, 6] and looks towards y = 0.
    """
    planes = np.zeros((PLANES, VIEW, VIEW), np.uint8)
    x, y = np.indices((VIEW, VIEW))
    for first, symbol in zip(_FIRST, np.moveaxis(image, -1, 0), strict=True):
        planes[first + symbol.astype(np.intp), x, y] = 255
    return planes


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` corridors; the agent sees seven by seven cells, so what it has to remember is out of sight.

    Reward 1 - 0.9 t / T at the right object after t of T = 5 size² steps, 0 at the wrong one, and either is
    terminal; truncated after T. Of MiniGrid's seven actions only 0 to 2 (left, right, forward) have an effect
    in these tasks. The mission is one sentence for all and is left out, and so is the direction
    of the compass: the view is the agent's own.
    """
    import gymnasium
    import minigrid

    gymnasium.register_envs(minigrid)
    name = f"MiniGrid-{env_id.removeprefix('minigrid/')}-v0"

    def show(shown: dict[str, Any]) -> npt.NDArray[np.uint8]:
        return encode(shown["image"])

    return GymnasiumSlots(
        describe(env_id), num_envs, lambda: gymnasium.make(name, disable_env_checker=True), show
    )


FAMILY = Family(
    name="minigrid",
    title="MiniGrid's memory corridors, 7×7 cells in view",
    example="minigrid/MemoryS7",
    extra="minigrid",
    requires=REQUIRES,
    modules=("gymnasium", "minigrid"),
    env_ids=env_ids,
    describe=describe,
    make=make,
)
