"""Environments of one object a slot: gymnasium's own, and whatever is given its interface."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agents.environments.protocol import EnvironmentSpec, StepResult, check_seeds

Shown = npt.NDArray[Any] | tuple[npt.NDArray[Any], Mapping[str, npt.NDArray[Any]]]


class Slot(Protocol):
    """What is needed of ``gymnasium.Env``; the time limit is the slot's own (gymnasium's TimeLimit)."""

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; with a seed its random stream begins anew, without it the stream runs on."""
        ...

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated, info."""
        ...

    def close(self) -> None:
        """Give back what the slot holds."""
        ...


class GymnasiumSlots:
    """``num_envs`` slots that step one after the other in the caller's thread.

    ``make_slot`` makes one; ``show`` turns a slot's observation into an array that fits ``spec``, or into
    such an array and ``spec.extras`` by name. A slot is made once and kept, so a seeded ``reset`` must bring
    back all that differs between two of them: the tests of each family compare it with a new one.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        num_envs: int,
        make_slot: Callable[[], Slot],
        show: Callable[[Any], Shown],
    ) -> None:
        self.spec = spec
        self.num_envs = num_envs
        self._show = show
        self._slots: list[Slot] = []
        try:
            for _ in range(num_envs):
                self._slots.append(make_slot())
        except BaseException:
            self.close()
            raise
        self._observation = np.zeros((num_envs, *spec.observation_shape), spec.observation_dtype)
        self._extras = {
            name: np.zeros((num_envs, *one.shape), one.dtype) for name, one in spec.extras.items()
        }
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.reset``."""
        for place, seed in enumerate(check_seeds(seeds, self.num_envs)):
            self._keep(place, self._slots[place].reset(seed=int(seed))[0])
        self._ended[:] = False
        return self._observation.copy()

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.restart``."""
        for place in np.flatnonzero(which):
            self._keep(place, self._slots[place].reset()[0])
        self._ended &= ~which
        return self._observation.copy()

    def step(self, actions: npt.NDArray[Any]) -> StepResult:
        """See ``VectorEnvironment.step``."""
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        for place in np.flatnonzero(~self._ended):
            action = actions[place] if self.spec.continuous else int(actions[place])
            shown, reward[place], terminated[place], truncated[place], _ = self._slots[place].step(action)
            self._keep(place, shown)
        self._ended |= terminated | truncated
        return self._observation.copy(), reward, terminated, truncated

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """See ``VectorEnvironment.extras``."""
        return {name: array.copy() for name, array in self._extras.items()}

    def close(self) -> None:
        """See ``VectorEnvironment.close``."""
        while self._slots:
            self._slots.pop().close()

    def _keep(self, place: int | np.intp, shown: Any) -> None:
        given = self._show(shown)
        observation, extras = given if isinstance(given, tuple) else (given, {})
        # numpy would spread a smaller array over the slot without a word.
        if observation.shape != self.spec.observation_shape:
            raise ValueError(
                f"{self.spec.env_id} showed an observation of shape {observation.shape}, and its description "
                f"says {self.spec.observation_shape}: the installed version is not the one this was written "
                f"for. Install {self.spec.requires}"
            )
        self._observation[place] = observation
        for name, array in self._extras.items():
            array[place] = extras[name]
