"""Blocks of rows against the plainest bookkeeping there is: one step and one slot at a time."""

import errno
import os
import sys

import numpy as np
import pytest

from agents.collect.blocks import BlockStore
from agents.data.arrays import GrowingArray
from agents.data.writer import DatasetWriter
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError

IMAGES = EnvironmentSpec(
    env_id="test/images", observation_shape=(9, 2, 2), observation_dtype="uint8", num_actions=4, frame_stack=3,
    extras={"state": ArrayFormat(dtype="float32", shape=(2,))}, requires="",
)  # fmt: skip
GREY = EnvironmentSpec(
    env_id="test/grey", observation_shape=(4, 2, 2), observation_dtype="uint8", num_actions=4, frame_stack=4,
    requires="",
)  # fmt: skip
VECTORS = EnvironmentSpec(
    env_id="test/vectors", observation_shape=(3,), observation_dtype="float32", num_actions=0, action_shape=(2,),
    requires="",
)  # fmt: skip


class Scripted:
    """Slots that show how often they were stepped, and end their episodes at random: for bookkeeping only."""

    def __init__(self, spec: EnvironmentSpec, slots: int, seed: int) -> None:
        self.spec, self.num_envs, self.draws = spec, slots, np.random.default_rng(seed)
        self.shape = (
            spec.frame_stack,
            *np.zeros(spec.observation_shape).reshape(spec.frame_stack, -1).shape[1:],
        )
        self.stacks = np.zeros((slots, *self.shape), spec.observation_dtype)

    def show(self, which: np.ndarray, begin: bool) -> np.ndarray:
        """A new random frame in the slots of ``which``; the rest of a beginning stack is black."""
        for slot in np.flatnonzero(which):
            past = np.zeros_like(self.stacks[slot]) if begin else self.stacks[slot]
            frame = self.draws.integers(0, 256, (1, *self.shape[1:])).astype(self.spec.observation_dtype)
            self.stacks[slot] = np.concatenate([past[1:], frame])
        self.state = self.draws.random((self.num_envs, 2)).astype(np.float32)
        return self.stacks.reshape(self.num_envs, *self.spec.observation_shape).copy()

    def extras(self) -> dict[str, np.ndarray]:
        return {"state": self.state} if self.spec.extras else {}


def played(spec, slots, total, path, seed, flush_every, checkpoints=None):
    """Play ``total`` steps into a dataset; returns it and what each slot went through, by episode."""
    vector = Scripted(spec, slots, seed)
    draws = np.random.default_rng(seed + 1)
    everyone = np.ones(slots, np.bool_)
    expected, episode, next_episode = [], list(range(slots)), slots
    sums, finished = [0.0] * slots, []
    columns = {"checkpoint": ArrayFormat(dtype="int32")} if checkpoints else {}
    with (
        DatasetWriter(path, spec, total, columns=columns) as writer,
        BlockStore(writer, vector, total, checkpoints) as store,
    ):
        before, state = vector.show(everyone, True), vector.extras()
        store.begin(before)
        done = step = 0
        while done < total:
            shape = (slots, *spec.action_shape)
            action = (
                draws.random(shape).astype(np.float32) if spec.continuous else draws.integers(0, 4, shape)
            )
            reward = draws.normal(size=slots).astype(np.float32)
            terminated, truncated = draws.random((2, slots)) < 0.1
            ended = terminated | truncated
            after, next_state = vector.show(everyone, False), vector.extras()
            store.add(action, after, reward, terminated, ended)
            for slot in range(min(slots, total - done)):
                row = (before[slot], action[slot], reward[slot], float(~terminated[slot]), after[slot])
                expected.append((*row, episode[slot], state, next_state, slot))
                sums[slot] += float(reward[slot])
                if ended[slot]:
                    finished.append(sums[slot])
                    sums[slot] = 0.0
            done = min(done + slots, total)
            before, state = after, next_state
            if done < total and ended.any():
                before, state = vector.show(ended, True), vector.extras()
                state = {name: np.where(ended[:, None], now, next_state[name]) for name, now in state.items()}
                store.restarted(before, ended)
                for slot in np.flatnonzero(ended):
                    episode[slot], next_episode = next_episode, next_episode + 1
            step += 1
            if flush_every and step % flush_every == 0:
                store.flush()
                assert writer.filled == done
        store.flush()
        dataset = writer.finish(len(store.finished_returns), None, {})
    assert store.finished_returns == pytest.approx(finished)
    assert dataset.manifest.episodes == len(finished)
    return dataset, expected


@pytest.mark.parametrize("flush_every", [0, 1, 3])
@pytest.mark.parametrize(("slots", "total"), [(1, 40), (5, 203), (7, 700), (4, 3), (4, 4)])
@pytest.mark.parametrize("spec", [IMAGES, GREY, VECTORS], ids=lambda spec: spec.env_id)
def test_every_transition_is_the_one_that_was_played(
    tmp_path, monkeypatch, spec, slots, total, flush_every
) -> None:
    # Blocks of a few steps, so that stacks, episodes and returns cross their borders.
    monkeypatch.setattr("agents.collect.blocks._BLOCK_STEPS", 11)
    dataset, expected = played(spec, slots, total, tmp_path / "d", 7 * slots + total, flush_every)
    rows = np.arange(total)
    seen, following = dataset.observations(rows), dataset.observations(rows, following=True)
    index = dataset.arrays["frame_index"]
    for row, (s, a, r, d, s_next, episode, state, next_state, slot) in enumerate(expected):
        np.testing.assert_array_equal(seen[row], s)
        np.testing.assert_array_equal(following[row], s_next)
        np.testing.assert_array_equal(dataset.arrays["action"][row], a)
        assert dataset.arrays["reward"][row] == r
        assert dataset.arrays["discount"][row] == d
        assert dataset.arrays["episode"][row] == episode
        for name in spec.extras:
            shown = dataset.arrays[f"extra_{name}"]
            np.testing.assert_array_equal(shown[index[row, -2]], state[name][slot])
            np.testing.assert_array_equal(shown[index[row, -1]], next_state[name][slot])
    dataset.verify()


def test_each_frame_is_stored_once(tmp_path) -> None:
    interval = sys.getswitchinterval()
    dataset, _ = played(GREY, 3, 300, tmp_path / "d", 0, 0)
    assert sys.getswitchinterval() == interval, "left as it was found"
    started = dataset.arrays["episode"].max() + 1
    assert len(dataset.arrays["frames"]) == 1 + 300 + started
    assert (dataset.arrays["frames"][0] == 0).all()


@pytest.mark.parametrize(("total", "checkpoints"), [(100, 4), (103, 50), (7, 50)])
def test_checkpoints_cut_training_into_equal_stretches(tmp_path, total, checkpoints) -> None:
    dataset, _ = played(VECTORS, 3, total, tmp_path / "d", 0, 2, checkpoints)
    column = dataset.arrays["checkpoint"]
    assert column.dtype == np.int32
    np.testing.assert_array_equal(column, [row * checkpoints // total for row in range(total)])
    assert (np.diff(column) >= 0).all()
    lengths = np.bincount(column)
    assert column[-1] <= checkpoints - 1
    if total >= checkpoints:
        assert len(lengths) == checkpoints
        assert lengths.max() - lengths.min() <= 1


@pytest.mark.parametrize("short", [False, True])
def test_parts_are_written_one_behind_the_other(tmp_path, monkeypatch, short) -> None:
    draws = np.random.default_rng(0)
    # More parts than one system call takes, empty ones among them.
    parts = [draws.random((int(rows), 3), np.float32) for rows in draws.integers(0, 4, 2500)]
    if short:
        real = os.pwritev
        monkeypatch.setattr(os, "pwritev", lambda file, some, at: real(file, some[: len(some) // 2], at))
    array = GrowingArray(tmp_path / "whole.npy", "<f4", (3,), None)
    assert array.append_parts(parts) == 0
    whole = np.concatenate(parts)
    assert array.append_parts([whole[::2], whole.astype(np.float64)[:5]]) == len(whole), (
        "others are converted"
    )
    array.finish()
    expected = np.concatenate([whole, whole[::2], whole[:5]])
    np.testing.assert_array_equal(np.load(tmp_path / "whole.npy"), expected)


def test_parts_beyond_the_capacity_are_refused(tmp_path) -> None:
    array = GrowingArray(tmp_path / "small.npy", "<f4", (), 5)
    with pytest.raises(ValueError, match="was to hold 5 rows, not 6"):
        array.append_parts([np.zeros(3, np.float32), np.zeros(3, np.float32)])
    array.close()


def test_a_disk_that_fills_in_the_writing_thread_ends_the_collection(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    real, calls = os.pwrite, []

    def pwrite(*arguments: object) -> int:
        calls.append(1)
        return real(*arguments) if len(calls) < 60 else full()  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr("agents.collect.blocks._BLOCK_STEPS", 5)
    with pytest.raises(DatasetError, match="no room for"):
        played(GREY, 3, 3000, tmp_path / "d", 0, 0)
    assert list(tmp_path.iterdir()) == []
