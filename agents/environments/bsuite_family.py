"""bsuite's catch, cartpole, mountain car and memory length, all slots in one batch of array operations."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.environments.bsuite_dynamics import Cartpole, Catch, Dynamics, MemoryChain, MountainCar
from agents.environments.family import Family
from agents.environments.protocol import EnvironmentSpec, ScoreReference, StepResult, check_seeds

REQUIRES = "bsuite>=0.3.6,<0.4"


class _Experiment(NamedTuple):
    """How many settings bsuite has of it, and what an agent sees and does."""

    settings: int
    observation_size: int
    num_actions: int
    dynamics: type[Catch] | type[Cartpole] | type[MountainCar] | type[MemoryChain]
    scores: ScoreReference | None = None


# bsuite 0.3.6 has 20 settings of each of the first three, all {'seed': None}: catch/0 to catch/19 are one and
# the same task, and the number only picked a run of bsuite's own protocol. The number is kept because papers
# cite it. Those of memory_len are its 23 lengths: 1 to 10, 12, 14, 17, 20, 25, 30, 40, … 100 steps.
_EXPERIMENTS = {
    "catch": _Experiment(
        20,
        50,
        3,
        Catch,
        # A uniform policy's paddle is independent of the ball's column, so it catches with probability 1/5:
        # the mean return is 0.2 - 0.8. It equals 1 minus bsuite's own BASE_REGRET of 1.6.
        ScoreReference(
            low=-0.6,
            low_name="random",
            high=1.0,
            high_name="optimal",
            source="closed form; bsuite BASE_REGRET",
        ),
    ),
    "cartpole": _Experiment(20, 6, 3, Cartpole),
    "mountain_car": _Experiment(20, 3, 3, MountainCar),
    "memory_len": _Experiment(
        23,
        3,
        2,
        MemoryChain,
        ScoreReference(
            low=0.0,
            low_name="random",
            high=1.0,
            high_name="optimal",
            source="closed form: a bit guessed is right half of the time",
        ),
    ),
}


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"bsuite/{name}/{number}" for name, one in _EXPERIMENTS.items() for number in range(one.settings)]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``bsuite/<experiment>/<number>``; bsuite is not imported."""
    experiment = _EXPERIMENTS[env_id.split("/")[1]]
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(experiment.observation_size,),
        observation_dtype="float32",
        num_actions=experiment.num_actions,
        score_reference=experiment.scores,
        requires=REQUIRES,
    )


class BsuiteVector:
    """``num_envs`` slots of a bsuite environment with flattened float32 observations.

    A slot shows what the bsuite environment built with its seed shows, bit for bit, without a Python object
    of its own: one bsuite environment is loaded for its settings, and all slots step together as arrays
    (``bsuite_dynamics``). All end by termination and none by truncation: cartpole and mountain car show the
    time in their observation and end their time limit with discount 0, so the limit is part of the task.
    """

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 1) -> None:
        self.spec = describe(env_id)
        self.num_envs = num_envs
        _, name, number = env_id.split("/")
        # Costs 0.4 s (bsuite's logging imports pandas), hence not at the top.
        import bsuite
        from bsuite import sweep

        source = bsuite.load(name, {**sweep.SETTINGS[f"{name}/{number}"], "seed": 0})
        self._dynamics: Dynamics = _EXPERIMENTS[name].dynamics(source, num_envs)
        # Of this bit generator's seeding, `reset` keeps nothing; without it numpy would gather entropy.
        self._streams = [np.random.RandomState(np.random.MT19937(0)) for _ in range(num_envs)]
        self._observation = np.zeros((num_envs, *self.spec.observation_shape), np.float32)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.reset``."""
        for stream, seed in zip(self._streams, check_seeds(seeds, self.num_envs).tolist(), strict=True):
            stream.seed(seed)
            self._dynamics.seeded(stream)
        return self.restart(np.ones(self.num_envs, np.bool_))

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.restart``."""
        slots = np.flatnonzero(which)
        if len(slots):
            self._dynamics.begin(slots, self._streams)
            self._observation[slots] = self._dynamics.observe(slots)
        self._ended &= ~which
        return self._observation.copy()

    def step(self, actions: npt.NDArray[np.int64]) -> StepResult:
        """See ``VectorEnvironment.step``."""
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        slots = np.flatnonzero(~self._ended)
        if len(slots):
            reward[slots], terminated[slots] = self._dynamics.step(slots, np.asarray(actions)[slots])
            self._observation[slots] = self._dynamics.observe(slots)
            self._ended |= terminated
        return self._observation.copy(), reward, terminated, np.zeros(self.num_envs, np.bool_)

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """See ``VectorEnvironment.extras``."""
        return {}

    def close(self) -> None:
        """See ``VectorEnvironment.close``."""
        self._streams = []


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
