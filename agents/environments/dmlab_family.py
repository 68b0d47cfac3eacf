"""DeepMind Lab's levels in RL Unplugged's protocol, for who has built ``deepmind_lab`` from its source."""

from typing import Any

import numpy as np

from agents.environments.family import Family
from agents.environments.first_person import EXTRAS, HEIGHT, WIDTH, shown
from agents.environments.gymnasium_slots import GymnasiumSlots, Shown
from agents.environments.protocol import EnvironmentSpec
from agents.errors import EnvironmentUnavailable

# google-deepmind/deepmind-research rl_unplugged/dmlab_r2d2.ipynb, for everything in this file: levels, actions,
# configuration, two repeats. Steps of an episode in the published data.
EPISODE_STEPS = {
    "seekavoid_arena_01": 301,
    "explore_object_rewards_few": 1351,
    "explore_object_rewards_many": 1801,
    "rooms_select_nonmatching_object": 181,
    "rooms_watermaze": 1801,
}
ACTION_REPEAT = 2
_CONFIGURATION = {
    "fps": "30",
    "height": str(HEIGHT),
    "width": str(WIDTH),
    "maxAltCameraHeight": "1",
    "maxAltCameraWidth": "1",
    "hasAltCameras": "false",
}

# DeepMind Lab's seven controls: look left or right, look down or up (both in pixels a frame), strafe, move, fire,
# jump, crouch.
ACTIONS: tuple[tuple[int, ...], ...] = (
    (0, 0, 0, 1, 0, 0, 0),  # forward
    (0, 0, 0, -1, 0, 0, 0),  # backward
    (0, 0, -1, 0, 0, 0, 0),  # strafe left
    (0, 0, 1, 0, 0, 0, 0),  # strafe right
    (-10, 0, 0, 0, 0, 0, 0),  # look left, a little
    (10, 0, 0, 0, 0, 0, 0),  # look right, a little
    (-60, 0, 0, 0, 0, 0, 0),  # look left
    (60, 0, 0, 0, 0, 0, 0),  # look right
    (0, 10, 0, 0, 0, 0, 0),  # look up
    (0, -10, 0, 0, 0, 0, 0),  # look down
    (-10, 0, 0, 1, 0, 0, 0),  # forward and a little left
    (10, 0, 0, 1, 0, 0, 0),  # forward and a little right
    (-60, 0, 0, 1, 0, 0, 0),  # forward and left
    (60, 0, 0, 1, 0, 0, 0),  # forward and right
    (0, 0, 0, 0, 1, 0, 0),  # fire
)

SOURCE = (
    "the Python package deepmind_lab, which is in no package index: build it with Bazel from github.com/"
    "google-deepmind/lab as docs/users/build.md there says (its section on the PIP package)"
)


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"dmlab/{level}" for level in EPISODE_STEPS]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``dmlab/<level>``; nothing is imported."""
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(3, HEIGHT, WIDTH),
        observation_dtype="uint8",
        num_actions=len(ACTIONS),
        extras=EXTRAS,
        evaluation_slots=2,
        requires="deepmind_lab, built from its source",
    )


class _Slot:
    """One level with gymnasium's interface; shows an image and the action and reward before it."""

    def __init__(self, level: str) -> None:
        import deepmind_lab

        # The only level of the five outside DMLab-30.
        name = level if level == "seekavoid_arena_01" else f"contributed/dmlab30/{level}"
        self._lab = deepmind_lab.Lab(name, ["RGB_INTERLEAVED"], _CONFIGURATION)
        self._seeds, self._episode = np.random.default_rng(0), 0
        self._image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def reset(self, *, seed: int | None = None) -> tuple[Shown, dict[str, Any]]:
        """See ``Slot.reset``."""
        if seed is not None:
            self._seeds, self._episode = np.random.default_rng(seed), 0
        # Without a seed the level takes one from C's rand(), and without a number it counts all its episodes.
        self._lab.reset(episode=self._episode, seed=int(self._seeds.integers(2**31)))
        self._episode += 1
        self._image = self._lab.observations()["RGB_INTERLEAVED"].copy()
        return shown(self._image, 0, 0.0), {}

    def step(self, action: int) -> tuple[Shown, float, bool, bool, dict[str, Any]]:
        """See ``Slot.step``."""
        reward = float(self._lab.step(np.array(ACTIONS[action], np.intc), num_steps=ACTION_REPEAT))
        ended = not self._lab.is_running()
        if not ended:  # an ended level shows nothing: the last image stays
            self._image = self._lab.observations()["RGB_INTERLEAVED"].copy()
        return shown(self._image, action, reward), reward, ended, False, {}

    def close(self) -> None:
        """See ``Slot.close``."""
        self._lab.close()


def make(env_id: str, num_envs: int, num_threads: int = 1) -> GymnasiumSlots:
    """``num_envs`` levels; uint8 images ``[B, 3, 72, 96]``, 15 actions, each taken for two frames of 30 a second.

    An episode ends by its level's clock with a termination, as RL Unplugged's wrapper has it. ``extras``: the
    previous action and reward. This adapter has been run against a stand-in for ``deepmind_lab`` only.
    """
    level = env_id.removeprefix("dmlab/")
    try:
        return GymnasiumSlots(describe(env_id), num_envs, lambda: _Slot(level), lambda given: given)
    except ImportError as error:
        raise EnvironmentUnavailable(
            f"environment {env_id!r} needs {SOURCE}. The import said: {error}. vizdoom/HealthGatheringSupreme is "
            "a relative that pip installs."
        ) from error


FAMILY = Family(
    name="dmlab",
    title="DeepMind Lab, RL Unplugged's five levels",
    example="dmlab/seekavoid_arena_01",
    extra=None,
    requires=(),
    modules=("deepmind_lab",),
    env_ids=env_ids,
    describe=describe,
    make=make,
    system=SOURCE,
)
