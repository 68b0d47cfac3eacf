"""VizDoom's scenarios in first person: what can be installed in the place of DeepMind Lab's levels."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.environments.family import Family
from agents.environments.first_person import EXTRAS, HEIGHT, WIDTH, shown
from agents.environments.gymnasium_slots import GymnasiumSlots, Shown
from agents.environments.protocol import EnvironmentSpec

REQUIRES = ("vizdoom==1.3.2",)
FRAME_SKIP = 4  # of Doom's 35 tics a second


class _Scenario(NamedTuple):
    num_actions: int
    limit: int | None  # tics, as the scenario's own configuration has it


# One button at a time or none, in vizdoom's order: for HealthGathering* 0 stands still, 1 goes forward, 2 turns
# right and 3 turns left.
_SCENARIOS = {
    "HealthGatheringSupreme": _Scenario(4, 2100),
    "HealthGathering": _Scenario(4, 2100),
    "MyWayHome": _Scenario(6, 2100),
    "DefendCenter": _Scenario(4, 2100),
    "Basic": _Scenario(4, 300),
    "TakeCover": _Scenario(3, None),
}


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"vizdoom/{name}" for name in _SCENARIOS]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``vizdoom/<Scenario>``; nothing is imported."""
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(3, HEIGHT, WIDTH),
        observation_dtype="uint8",
        num_actions=_SCENARIOS[env_id.removeprefix("vizdoom/")].num_actions,
        extras=EXTRAS,
        evaluation_slots=2,  # each is a process of Doom
        requires=" ".join(REQUIRES),
    )


class _Slot:
    """One game with gymnasium's interface; shows an image and the action and reward before it."""

    def __init__(self, name: str) -> None:
        import gymnasium
        import vizdoom.gymnasium_wrapper  # noqa: F401 - registers the ids

        scenario = _SCENARIOS[name]
        self._limit = None if scenario.limit is None else -(-scenario.limit // FRAME_SKIP)
        self._steps = 0
        self._image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        # Doom writes its settings into the working folder where it is given no other.
        self._settings = tempfile.TemporaryDirectory(prefix="vizdoom-")
        self._game = gymnasium.make(
            f"Vizdoom{name}-v1",
            disable_env_checker=True,
            frame_skip=FRAME_SKIP,
            max_buttons_pressed=1,
            screen_resolution="RES_160X120",  # the smallest of this shape
            screen_format="RGB24",
            # Doom shows nothing once an episode is over, so its own limit would hide the image that a
            # truncated episode's value is of. The same limit is kept here.
            episode_timeout=0,
            doom_config_path=str(Path(self._settings.name) / "settings.ini"),
        )

    def reset(self, *, seed: int | None = None) -> tuple[Shown, dict[str, Any]]:
        """See ``Slot.reset``."""
        with _nothing_left_in_the_working_folder():
            observation, _ = self._game.reset(seed=seed)
        self._steps = 0
        self._image = _scaled(observation["screen"])
        return shown(self._image, 0, 0.0), {}

    def step(self, action: int) -> tuple[Shown, float, bool, bool, dict[str, Any]]:
        """See ``Slot.step``."""
        observation, reward, terminated, _, _ = self._game.step(action)
        self._steps += 1
        if not terminated:
            self._image = _scaled(observation["screen"])
        truncated = not terminated and self._steps == self._limit
        return shown(self._image, action, reward), reward, terminated, truncated, {}

    def close(self) -> None:
        """See ``Slot.close``."""
        self._game.close()
        self._settings.cleanup()


def _scaled(screen: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    # With Pillow's filter as wide as the step, so that every pixel counts; in whole numbers, so the same anywhere.
    return np.asarray(Image.fromarray(screen).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


@contextlib.contextmanager
def _nothing_left_in_the_working_folder() -> Iterator[None]:
    # Doom makes an empty folder where it starts, for screenshots that nobody takes.
    folder = Path("_vizdoom")
    was_there = folder.exists()
    yield
    if not was_there:
        with contextlib.suppress(OSError):
            folder.rmdir()


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` games; uint8 images ``[B, 3, 72, 96]``, the size of RL Unplugged's DeepMind Lab data.

    Each action is held for four tics and their rewards added. One image shows what lies ahead and not what
    was there before: the task is partially observed, and made for agents that learn from sequences
    (``extras``: the previous action and reward). A death is terminal and shows the last image before it; the
    scenario's time limit truncates (2100 tics: 525 steps).
    """
    name = env_id.removeprefix("vizdoom/")
    return GymnasiumSlots(describe(env_id), num_envs, lambda: _Slot(name), lambda given: given)


FAMILY = Family(
    name="vizdoom",
    title="VizDoom in first person, partially observed: DeepMind Lab's installable relative",
    example="vizdoom/HealthGatheringSupreme",
    extra="vizdoom",
    requires=REQUIRES,
    modules=("gymnasium", "vizdoom"),
    env_ids=env_ids,
    describe=describe,
    make=make,
)
