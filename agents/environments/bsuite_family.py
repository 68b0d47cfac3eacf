"""bsuite's catch, cartpole and mountain car: real bsuite environments, one Python object a slot."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.protocol import EnvironmentSpec, ScoreReference, StepResult, check_seeds

# bsuite 0.3.6 has 20 settings of each of these, all {'seed': None}: catch/0 to catch/19 are one and the same
# task, and the number only picked a run of bsuite's own protocol. The number is kept because papers cite it.
SETTINGS_PER_EXPERIMENT = 20
REQUIRES = "bsuite>=0.3.6,<0.4"

_SHAPES = {"catch": (50,), "cartpole": (6,), "mountain_car": (3,)}

# A uniform policy's paddle is independent of the ball's column, so it catches with probability 1/5: the mean
# return is 0.2 - 0.8. It equals 1 minus bsuite's own BASE_REGRET of 1.6.
_CATCH_SCORES = ScoreReference(
    low=-0.6, low_name="random", high=1.0, high_name="optimal", source="closed form; bsuite BASE_REGRET"
)


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"bsuite/{name}/{number}" for name in _SHAPES for number in range(SETTINGS_PER_EXPERIMENT)]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``bsuite/<experiment>/<number>``; bsuite is not imported."""
    experiment = env_id.split("/")[1]
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=_SHAPES[experiment],
        observation_dtype="float32",
        num_actions=3,
        score_reference=_CATCH_SCORES if experiment == "catch" else None,
        requires=REQUIRES,
    )


class BsuiteVector:
    """``num_envs`` bsuite environments with flattened float32 observations.

    All end by termination and none by truncation: cartpole and mountain car show the time in their
    observation and end their time limit with discount 0, so the limit is part of the task.
    """

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 1) -> None:
        self.spec = describe(env_id)
        self.num_envs = num_envs
        _, experiment, number = env_id.split("/")
        # Costs 0.4 s (bsuite's logging imports pandas), hence not at the top.
        import bsuite
        from bsuite import sweep

        settings: dict[str, Any] = {**sweep.SETTINGS[f"{experiment}/{number}"], "seed": 0}
        self._slots: list[Any] = [bsuite.load(experiment, settings) for _ in range(num_envs)]
        self._observation = np.zeros((num_envs, *self.spec.observation_shape), np.float32)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.reset``."""
        # bsuite takes a seed in its constructor only, where numpy spends 90 us on entropy that the seed then
        # replaces; seeding the slot's own RandomState again gives the same stream in 1.4 us (tested).
        for slot, seed in zip(self._slots, check_seeds(seeds, self.num_envs), strict=True):
            slot._rng.seed(int(seed))
        return self.restart(np.ones(self.num_envs, np.bool_))

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.restart``."""
        for slot in np.flatnonzero(which):
            self._observation[slot] = self._slots[slot].reset().observation.reshape(-1)
        self._ended &= ~which
        return self._observation.copy()

    def step(self, actions: npt.NDArray[np.int64]) -> StepResult:
        """See ``VectorEnvironment.step``."""
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        # Ended slots are passed over: bsuite would begin a new episode by itself and draw from the slot's
        # stream.
        for slot in np.flatnonzero(~self._ended):
            timestep = self._slots[slot].step(int(actions[slot]))
            self._observation[slot] = timestep.observation.reshape(-1)
            reward[slot] = timestep.reward
            if timestep.last():
                terminated[slot] = timestep.discount == 0
                truncated[slot] = timestep.discount != 0
        self._ended |= terminated | truncated
        return self._observation.copy(), reward, terminated, truncated

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """See ``VectorEnvironment.extras``."""
        return {}

    def close(self) -> None:
        """See ``VectorEnvironment.close``."""
        self._slots = []


FAMILY = Family(
    name="bsuite",
    title="bsuite's small experiments, flat vectors",
    example="bsuite/catch/0",
    extra=None,
    requires=(REQUIRES,),
    modules=("bsuite",),
    env_ids=env_ids,
    describe=describe,
    make=BsuiteVector,
)
