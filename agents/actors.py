"""Who chooses the actions while a dataset is collected."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from agents.randomness import generator


class Actor(Protocol):
    """Chooses actions, and may learn from what has been written so far."""

    def act(self, observation: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.int64]:
        """Actions int64 ``[B]`` for observations ``[B, *observation_shape]`` at agent step ``step``."""
        ...

    def learn(self, step: int) -> int:
        """Take the gradient steps due at agent step ``step``; returns their number."""
        ...


class RandomActor:
    """Draws every action uniformly and learns nothing."""

    def __init__(self, seed: int, num_actions: int) -> None:
        self.draws, self.num_actions = generator(seed, "collect", "exploration"), num_actions

    def act(self, observation: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.int64]:
        """See ``Actor.act``."""
        action: npt.NDArray[np.int64] = (self.draws.random(len(observation)) * self.num_actions).astype(
            np.int64
        )
        return action

    def learn(self, step: int) -> int:
        """See ``Actor.learn``."""
        return 0
