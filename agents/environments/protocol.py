"""What an environment is to the rest of the package: a description, and a row of slots that step together."""

from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator


class ScoreReference(BaseModel):
    """Two returns that put a game's scores on a common scale: 0 at ``low``, 1 at ``high``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    low_name: str
    high: float
    high_name: str
    source: str

    @property
    def scale_name(self) -> str:
        """What a normalised score is called, such as ``human-normalised``."""
        return f"{self.high_name}-normalised"


class ArrayFormat(BaseModel):
    """Dtype and shape of one row of an array."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float32", "uint8", "int32", "uint64"]
    shape: tuple[int, ...] = ()


class EnvironmentSpec(BaseModel):
    """What is known of an environment before it is started.

    ``observation_shape`` is one observation without a batch axis: ``(50,)``, or ``(4, 84, 84)`` for a stack
    of ``frame_stack`` images, oldest first; the images of a stack with C channels lie one behind the other,
    ``(frame_stack * C, H, W)``. Actions are integers below ``num_actions``, or, where that is 0, float32
    vectors of ``action_shape`` whose components lie in [``action_low``, ``action_high``]. ``extras`` are
    further arrays that are shown beside each observation, such as the simulator's state beside pixels.
    ``evaluation_slots`` bounds how many slots play one member's evaluation episodes (None: a slot each); it
    belongs to the environment and not to the pack, so that a member's episodes are the same whatever pack it
    is in. ``requires`` is what pip has to install; ``other_score_references`` are further scales for the same
    returns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env_id: str
    observation_shape: tuple[int, ...]
    observation_dtype: Literal["float32", "uint8"]
    num_actions: int = Field(ge=0)
    action_shape: tuple[int, ...] = ()
    action_low: float = -1.0
    action_high: float = 1.0
    frame_stack: int = 1
    extras: dict[str, ArrayFormat] = {}
    evaluation_slots: int | None = None
    score_reference: ScoreReference | None = None
    other_score_references: tuple[ScoreReference, ...] = ()
    requires: str

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        if (self.num_actions == 0) != bool(self.action_shape):
            raise ValueError(
                f"{self.env_id} needs either num_actions or action_shape; got {self.num_actions} and "
                f"{self.action_shape}"
            )
        return self

    @property
    def continuous(self) -> bool:
        """Whether actions are float32 vectors of ``action_shape`` and not integers."""
        return self.num_actions == 0

    @property
    def action_format(self) -> ArrayFormat:
        """One action as a dataset stores it."""
        return (
            ArrayFormat(dtype="float32", shape=self.action_shape)
            if self.continuous
            else ArrayFormat(dtype="int32")
        )

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of what a dataset stores once: a single image of the stack, or the whole vector."""
        if self.frame_stack == 1:
            return self.observation_shape
        channels = self.observation_shape[0] // self.frame_stack
        return self.observation_shape[1:] if channels == 1 else (channels, *self.observation_shape[1:])

    def normalise(self, returns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """Returns on the scale of ``score_reference``; None where there is no reference."""
        reference = self.score_reference
        if reference is None:
            return None
        scaled: npt.NDArray[np.float64] = (returns - reference.low) / (reference.high - reference.low)
        return scaled


StepResult = tuple[
    npt.NDArray[np.generic], npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]
]


class VectorEnvironment(Protocol):
    """``num_envs`` slots that step together; B = ``num_envs`` below.

    What a slot shows depends only on its own seed and its own actions since ``reset``: not on its place, on
    the other slots or on the number of threads. A slot that has ended its episode stays ended (reward 0,
    neither flag, an observation without meaning) until ``restart`` or ``reset``. Arrays returned belong to
    the caller.
    """

    @property
    def spec(self) -> EnvironmentSpec:
        """What this environment is."""
        ...

    @property
    def num_envs(self) -> int:
        """Number of slots."""
        ...

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """Seed every slot (``[B]``, each in [0, 2**31)), begin an episode; observations ``[B, *shape]``."""
        ...

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """Begin the next episode in the slots of ``which`` ``[B]``, their random streams running on.

        Returns the observations ``[B, *shape]`` of all slots, those not restarted unchanged.
        """
        ...

    def step(self, actions: npt.NDArray[Any]) -> StepResult:
        """One agent step in every slot; ``actions`` int64 ``[B]``, or float32 ``[B, *action_shape]``.

        Returns observation ``[B, *shape]``, reward float32 ``[B]`` (never clipped), terminated bool ``[B]``
        (the value of what follows is 0), truncated bool ``[B]`` (cut by a time limit). At an episode's end
        the observation is its last one, not the next episode's first.
        """
        ...

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """What ``spec.extras`` names, ``[B, *shape]`` each, as it was at the last observation; else empty."""
        ...

    def close(self) -> None:
        """Give back what the environment holds; a second call does nothing."""
        ...


def check_seeds(seeds: npt.NDArray[np.int64], num_envs: int) -> npt.NDArray[np.int64]:
    """Seeds as int64 ``[num_envs]``; raises ValueError for another shape or a value outside [0, 2**31)."""
    seeds = np.asarray(seeds, dtype=np.int64)
    if seeds.shape != (num_envs,) or (seeds < 0).any() or (seeds >= SEED_LIMIT).any():
        raise ValueError(f"seeds must be [{num_envs}] integers in [0, {SEED_LIMIT}), got {seeds!r}")
    return seeds


# ale-py takes a 32-bit signed seed and reads -1 as "leave the stream as it is".
SEED_LIMIT = 2**31
