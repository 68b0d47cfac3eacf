"""MinAtar's five games: real MinAtar environments, one Python object a slot."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.protocol import EnvironmentSpec, StepResult, check_seeds

REQUIRES = "minatar==1.0.15"
STICKY_PROBABILITY = 0.1
"""MinAtar's default: probability that the previous action is played once more."""
GRID = 10


class _Game(NamedTuple):
    """Channels of the image, and how many of MinAtar's six actions do anything."""

    channels: int
    num_actions: int


_GAMES = {
    "asterix": _Game(4, 5),
    "breakout": _Game(4, 3),
    "freeway": _Game(7, 3),
    "seaquest": _Game(10, 6),
    "space_invaders": _Game(6, 4),
}


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"minatar/{name}" for name in _GAMES]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``minatar/<game>``; minatar is not imported. No random or human scores are published."""
    game = _GAMES[env_id.removeprefix("minatar/")]
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(game.channels, GRID, GRID),
        observation_dtype="uint8",
        num_actions=game.num_actions,
        requires=REQUIRES,
    )


class MinAtarVector:
    """``num_envs`` MinAtar games; uint8 observations ``[B, C, 10, 10]`` with 255 where something is.

    Sticky actions with probability 0.1 and difficulty ramping, MinAtar's defaults. Actions are the game's
    minimal set, in MinAtar's order (no-op, left, up, right, down, fire): the paper's six include some that
    do nothing. There is no time limit. 255 and not 1, because networks read uint8 as a share of 255.
    """

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 1) -> None:
        self.spec = describe(env_id)
        self.num_envs = num_envs
        from minatar import Environment

        name = env_id.removeprefix("minatar/")
        self._slots: list[Any] = [
            Environment(name, sticky_action_prob=STICKY_PROBABILITY, difficulty_ramping=True)
            for _ in range(num_envs)
        ]
        self._actions = np.array(self._slots[0].minimal_action_set(), np.int64)
        self._observation = np.zeros((num_envs, *self.spec.observation_shape), np.uint8)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.reset``."""
        for slot, seed in zip(self._slots, check_seeds(seeds, self.num_envs).tolist(), strict=True):
            slot.seed(seed)
            # Neither seeding nor resetting touches the action that a sticky first step repeats.
            slot.last_action = 0
        return self.restart(np.ones(self.num_envs, np.bool_))

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.restart``."""
        for place in np.flatnonzero(which):
            self._slots[place].reset()
            self._look(int(place))
        self._ended &= ~which
        return self._observation.copy()

    def step(self, actions: npt.NDArray[np.int64]) -> StepResult:
        """See ``VectorEnvironment.step``."""
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        chosen = self._actions[np.asarray(actions)]
        for place in np.flatnonzero(~self._ended):
            reward[place], terminated[place] = self._slots[place].act(chosen[place])
            self._look(int(place))
        self._ended |= terminated
        return self._observation.copy(), reward, terminated, np.zeros(self.num_envs, np.bool_)

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """See ``VectorEnvironment.extras``."""
        return {}

    def close(self) -> None:
        """See ``VectorEnvironment.close``."""
        self._slots = []

    def _look(self, place: int) -> None:
        np.multiply(
            self._slots[place].state().transpose(2, 0, 1), np.uint8(255), out=self._observation[place]
        )


FAMILY = Family(
    name="minatar",
    title="MinAtar: five Atari games on a 10×10 grid, sticky actions .1",
    example="minatar/asterix",
    extra="minatar",
    requires=(REQUIRES,),
    modules=("minatar",),
    env_ids=env_ids,
    describe=describe,
    make=MinAtarVector,
)
