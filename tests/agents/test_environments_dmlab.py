"""The adapter of DeepMind Lab: which calls it makes, in which order, with which arguments.

``deepmind_lab`` has to be built from its source, which is not done here. The stand-in below has its interface
(docs/users/python_api.md and python/dmlab_module.c of google-deepmind/lab) and nothing of its levels, so these
tests say nothing about the real package.
"""

import re
import sys
import types

import numpy as np
import pytest
from slots import check_dataset, check_end, check_slots

from agents.environments import dmlab_family, family_of, make
from agents.errors import EnvironmentUnavailable

EPISODE_FRAMES = 20
SEEK = "dmlab/seekavoid_arena_01"


class Lab:
    """Refuses what the C module refuses; its images follow from seed, episode number and actions."""

    made: list["Lab"] = []  # noqa: RUF012

    def __init__(self, level, observations, config=None, renderer="software"):
        assert observations == ["RGB_INTERLEAVED"]
        assert all(isinstance(text, str) for pair in config.items() for text in pair)
        self.level, self.config, self.renderer = level, config, renderer
        self.calls, self.running, self.open = [], False, True
        Lab.made.append(self)

    def reset(self, episode=-1, seed=None):
        assert type(episode) is int
        assert type(seed) is int
        assert 0 <= seed < 2**31
        self.calls.append(("reset", episode, seed))
        self.frames, self.running = 0, True
        self.draws = np.random.default_rng([seed, max(episode, 0)])
        self._draw()
        return True

    def step(self, action, num_steps=1):
        assert self.running, "Environment in wrong status to advance."
        assert (action.dtype, action.shape) == (np.intc, (7,))
        self.calls.append(("step", tuple(action.tolist()), num_steps))
        self.frames += num_steps
        self.draws = np.random.default_rng([self.draws.integers(2**31), *np.abs(action), self.frames])
        self._draw()
        self.running = self.frames < EPISODE_FRAMES
        return float(self.draws.integers(2))

    def observations(self):
        assert self.running, "Environment in wrong status for call to observations()"
        return {"RGB_INTERLEAVED": self.image}

    def is_running(self):
        return self.running

    def close(self):
        self.open = False

    def _draw(self):
        shape = (int(self.config["height"]), int(self.config["width"]), 3)
        self.image = self.draws.integers(256, size=shape, dtype=np.uint8)


@pytest.fixture
def lab(monkeypatch):
    Lab.made = []
    module = types.ModuleType("deepmind_lab")
    module.Lab = Lab
    monkeypatch.setitem(sys.modules, "deepmind_lab", module)


@pytest.mark.parametrize("env_id", dmlab_family.env_ids())
@pytest.mark.usefixtures("lab")
def test_a_level_is_started_as_rl_unplugged_starts_it(env_id):
    level = env_id.removeprefix("dmlab/")
    vector = make(env_id, 1)
    assert Lab.made[0].level == (level if level == "seekavoid_arena_01" else f"contributed/dmlab30/{level}")
    assert Lab.made[0].config == {
        "fps": "30", "height": "72", "width": "96",
        "maxAltCameraHeight": "1", "maxAltCameraWidth": "1", "hasAltCameras": "false",
    }  # fmt: skip
    vector.close()
    assert not Lab.made[0].open


@pytest.mark.usefixtures("lab")
def test_actions_are_rl_unpluggeds_fifteen_taken_twice():
    vector = make(SEEK, 1)
    assert vector.spec.num_actions == 15
    taken = []
    vector.reset(np.array([0]))
    for action in range(15):
        if not Lab.made[0].running:
            vector.restart(np.array([True]))
        before = Lab.made[0].image
        observation, reward, *_ = vector.step(np.array([action]))
        taken.append(Lab.made[0].calls[-1])
        after = Lab.made[0].image if Lab.made[0].running else before
        np.testing.assert_array_equal(observation[0].transpose(1, 2, 0), after)
        assert vector.extras() == {"previous_action": np.array([action]), "previous_reward": reward}
    look, move = {4: -10, 5: 10, 6: -60, 7: 60}, {10: -10, 11: 10, 12: -60, 13: 60}
    expected = [(0, 0, 0, 1, 0, 0, 0), (0, 0, 0, -1, 0, 0, 0), (0, 0, -1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0, 0)]
    expected += [(look[number], 0, 0, 0, 0, 0, 0) for number in range(4, 8)]
    expected += [(0, 10, 0, 0, 0, 0, 0), (0, -10, 0, 0, 0, 0, 0)]
    expected += [(move[number], 0, 0, 1, 0, 0, 0) for number in range(10, 14)] + [(0, 0, 0, 0, 1, 0, 0)]
    assert taken == [("step", action, 2) for action in expected]


@pytest.mark.usefixtures("lab")
def test_every_episode_is_seeded_and_numbered():
    vector = make(SEEK, 2)
    for _ in range(2):
        vector.reset(np.array([7, 8]))
        vector.restart(np.array([True, False]))
    first, second = ([call[1:] for call in one.calls] for one in Lab.made)
    assert first[:2] == first[2:]
    assert [number for number, _ in first] == [0, 1, 0, 1]
    assert len({seed for _, seed in first + second}) == 3
    assert second[0] == second[1]


@pytest.mark.usefixtures("lab")
def test_a_slot_depends_on_its_own_seed_and_actions_only():
    shown = check_slots(SEEK, 25)
    assert shown["terminated"].any()


@pytest.mark.usefixtures("lab")
def test_the_end_of_a_level_is_terminal_and_shows_the_last_image():
    assert check_end(SEEK, np.array([0, 0]), 300) == (EPISODE_FRAMES // 2, True, False)


@pytest.mark.usefixtures("lab")
def test_a_dataset_holds_images_actions_and_rewards(tmp_path):
    check_dataset(SEEK, tmp_path, 12)


def test_without_the_package_it_is_said_where_it_is_built_from(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepmind_lab", None)
    said = (
        "environment 'dmlab/seekavoid_arena_01' needs the Python package deepmind_lab, which is in no package "
        "index: build it with Bazel from github.com/google-deepmind/lab as docs/users/build.md there says"
    )
    with pytest.raises(EnvironmentUnavailable, match=re.escape(said)):
        make(SEEK, 1)
    assert family_of(SEEK).install_command == ""
    assert not family_of(SEEK).installed()
