"""MiniGrid's memory corridors against minigrid stepped beside them."""

import re
import sys

import gymnasium
import minigrid
import numpy as np
import pytest
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX
from slots import check_dataset, check_end, check_slots, random_actions

from agents.environments import describe, make, minigrid_family
from agents.errors import EnvironmentUnavailable

gymnasium.register_envs(minigrid)
LEFT, FORWARD = 0, 2


@pytest.mark.parametrize("env_id", minigrid_family.env_ids())
def test_a_corridor_is_minigrids(env_id):
    ours = make(env_id, 1)
    theirs = gymnasium.make(f"MiniGrid-{env_id.removeprefix('minigrid/')}-v0")
    assert ours.spec.num_actions == theirs.action_space.n
    shown, _ = theirs.reset(seed=4)
    observation = ours.reset(np.array([4]))
    for action in random_actions(ours.spec, 30, 1):
        assert set(np.unique(observation)) == {0, 255}
        objects, colours, states = np.split(observation[0], [11, 17])
        for planes, symbols in zip(
            (objects, colours, states), np.moveaxis(shown["image"], -1, 0), strict=True
        ):
            assert ((planes == 255).sum(axis=0) == 1).all()
            np.testing.assert_array_equal(planes.argmax(axis=0), symbols)
        shown, reward, terminated, truncated, _ = theirs.step(int(action[0]))
        observation, *rest = ours.step(action)
        assert [part[0] for part in rest] == [np.float32(reward), terminated, truncated]
    restarted, (shown, _) = ours.restart(np.array([True])), theirs.reset()
    np.testing.assert_array_equal(restarted[0, :11].argmax(axis=0), shown["image"][..., 0])
    ours.close()


def test_every_symbol_of_minigrid_has_a_plane():
    assert (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX)) == minigrid_family.SYMBOLS
    for table in (OBJECT_TO_IDX, COLOR_TO_IDX, STATE_TO_IDX):
        assert sorted(table.values()) == list(range(len(table)))


def test_a_view_of_distinct_symbols_is_told_apart():
    image = np.zeros((7, 7, 3), np.uint8)
    image[2, 5] = OBJECT_TO_IDX["door"], COLOR_TO_IDX["yellow"], STATE_TO_IDX["locked"]
    planes = minigrid_family.encode(image)
    assert np.flatnonzero(planes[:, 2, 5]).tolist() == [4, 11 + 4, 17 + 2]
    assert np.flatnonzero(planes[:, 5, 2]).tolist() == [0, 11, 17]


def test_a_slot_depends_on_its_own_seed_and_actions_only():
    shown = check_slots("minigrid/MemoryS7", 300, differs=False)
    assert (shown["observation"][:, 0] != shown["observation"][:, 1]).any()
    assert (shown["terminated"] | shown["truncated"]).any(), "no episode ended, so restarts were not compared"


@pytest.mark.parametrize("right", [True, False])
def test_remembering_pays_and_forgetting_does_not(right):
    vector = make("minigrid/MemoryS7", 1)
    vector.reset(np.array([0]))
    slot = vector._slots[0].unwrapped
    above = slot.success_pos[1] < slot.height // 2
    turns = [LEFT] if above == right else [LEFT] * 3  # three times left is right
    path = [FORWARD] * (slot.success_pos[0] - slot.agent_pos[0]) + turns + [FORWARD]
    for steps, action in enumerate(path, start=1):
        _, reward, terminated, truncated = vector.step(np.array([action]))
        assert terminated[0] == (steps == len(path))
    assert not truncated[0]
    assert reward[0] == pytest.approx(1 - 0.9 * steps / (5 * 7**2) if right else 0)
    vector.close()


def test_a_time_limit_is_a_truncation():
    turning = np.array([LEFT, LEFT])
    assert check_end("minigrid/MemoryS7", turning, 1000) == (5 * 7**2, False, True)


def test_a_dataset_holds_what_was_shown(tmp_path):
    check_dataset("minigrid/MemoryS7", tmp_path, 20)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid", None)
    assert describe("minigrid/MemoryS7").num_actions == 7
    with pytest.raises(EnvironmentUnavailable, match=re.escape("pip install 'minigrid==3.2.0'")):
        make("minigrid/MemoryS7", 1)
