"""Dopamine's replay buffers: what the reader hands over against what Dopamine's own rules would sample."""

import gzip
import pickle

import numpy as np
import pytest
from file_servers import served
from read_blocks import read, source

from agents.data import Dataset
from agents.data.importers import dqn_replay as module
from agents.data.importers.dqn_replay import READER
from agents.data.importers.engine import import_dataset
from agents.errors import DatasetError

KEYS = (
    "$store$_observation",
    "$store$_action",
    "$store$_reward",
    "$store$_terminal",
    "add_count",
    "invalid_range",
)


class Replay:
    """Dopamine's OutOfGraphReplayBuffer, rule by rule and index by index: stacks of 4, one-step targets."""

    def __init__(self, capacity, padded=True):
        self.capacity, self.padded, self.count = capacity, padded, 0
        # Rows that were never written hold what the memory held.
        self.observation = np.full((capacity, 84, 84), 77, np.uint8)
        self.action, self.reward = np.full(capacity, 1, np.int32), np.full(capacity, 9, np.float32)
        self.terminal = np.zeros(capacity, np.uint8)

    @property
    def cursor(self):
        return self.count % self.capacity

    @property
    def invalid_range(self):
        return np.array([(self.cursor - 1 + i) % self.capacity for i in range(5)])

    def add(self, value, action, reward, terminal):
        if self.padded and (self.count == 0 or self.terminal[self.cursor - 1] == 1):
            for _ in range(3):
                self._add(0, 0, 0, 0)
        self._add(value, action, reward, terminal)

    def _add(self, value, action, reward, terminal):
        at = self.cursor
        self.observation[at], self.action[at] = value, action
        self.reward[at], self.terminal[at] = reward, terminal
        self.count += 1

    def valid(self, index):
        full = self.count >= self.capacity
        if not full and (index >= self.cursor - 1 or index < 3):
            return False
        if index in set(self.invalid_range):
            return False
        return not any(self.terminal[(index - back) % self.capacity] for back in (1, 2, 3))

    def transitions(self):
        """What can be sampled, oldest first: row, stack, action, reward, stack of s', terminal."""
        oldest = self.cursor if self.count >= self.capacity else 0
        for row in ((oldest + t) % self.capacity for t in range(self.capacity)):
            if self.valid(row):
                stack = [int(self.observation[(row - back) % self.capacity, 0, 0]) for back in (3, 2, 1, 0)]
                after = int(self.observation[(row + 1) % self.capacity, 0, 0])
                yield row, stack, self.action[row], self.reward[row], after, self.terminal[row]

    def save(self, folder, number, leave_out=()):
        folder.mkdir(parents=True, exist_ok=True)
        values = (
            self.observation,
            self.action,
            self.reward,
            self.terminal,
            np.array(self.count),
            self.invalid_range,
        )
        for key, value in zip(KEYS, values, strict=True):
            if key not in leave_out:
                with gzip.open(folder / f"{key}_ckpt.{number}.gz", "wb") as file:
                    np.save(file, value, allow_pickle=False)


def filled(capacity, adds, lengths=(7, 12, 3, 1, 25), padded=True):
    """A buffer after at least ``adds`` rows; frames count 1 to 250, so that neighbours differ."""
    replay, step, random = Replay(capacity, padded), 0, np.random.default_rng(1)
    while True:
        for length in lengths:
            for at in range(length):
                if replay.count >= adds:
                    return replay
                step += 1
                end = at == length - 1
                replay.add(1 + step % 250, random.integers(6), random.choice([-1, 0, 1]), end)


def run_folder(tmp_path):
    return tmp_path / "Pong" / "1" / "replay_logs"


def assert_sampled(dataset, expected):
    """The dataset's rows are exactly the transitions that Dopamine would sample, oldest first."""
    assert len(dataset) == len(expected)
    s = dataset.observations(np.arange(len(dataset)))
    after = dataset.observations(np.arange(len(dataset)), following=True)
    np.testing.assert_array_equal(s[:, :, 0, 0], [row[1] for row in expected])
    assert (s == s[:, :, :1, :1]).all()
    np.testing.assert_array_equal(dataset.arrays["action"], [row[2] for row in expected])
    np.testing.assert_array_equal(dataset.arrays["reward"], [row[3] for row in expected])
    np.testing.assert_array_equal(dataset.arrays["discount"], [1 - row[5] for row in expected])
    # At a terminal Dopamine's s' is the padding of the next episode; here the last frame once more.
    wanted = [[*row[1][1:], row[1][-1] if row[5] else row[4]] for row in expected]
    np.testing.assert_array_equal(after[:, :, 0, 0], wanted)


@pytest.mark.parametrize(
    "adds",
    [
        40,  # a buffer that training ended in
        149, 299, 449,  # when the data were logged: one row before the buffer is full, or full again
        150, 300,  # the cursor at 0
        211, 333, 161, 158,  # anywhere: the file is gone through twice
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [5, 2048])
def test_exactly_what_dopamine_samples_from_is_imported(tmp_path, monkeypatch, adds, chunk):
    monkeypatch.setattr(module, "_CHUNK_ROWS", chunk)
    replay = filled(150, adds)
    replay.save(run_folder(tmp_path), 0)
    dataset = import_dataset("dqn-replay", str(run_folder(tmp_path)), tmp_path / "datasets" / "x")
    assert_sampled(dataset, list(replay.transitions()))
    assert dataset.spec.env_id == "atari/Pong"


@pytest.mark.parametrize("adds", [149, 211])
def test_long_episodes_are_read_in_parts(tmp_path, monkeypatch, adds):
    monkeypatch.setattr(module, "_MOST_STEPS", 10)
    replay = filled(150, adds, lengths=(70, 33))
    replay.save(run_folder(tmp_path), 0)
    rows = read(READER, run_folder(tmp_path), tmp_path)
    assert max(rows.lengths) == 10
    dataset = import_dataset("dqn-replay", str(run_folder(tmp_path)), tmp_path / "datasets" / "x")
    assert_sampled(dataset, list(replay.transitions()))


def test_checkpoints_are_numbered_in_order_and_can_be_chosen(tmp_path):
    sizes = {}
    for number, adds in ((2, 449), (10, 1649), (9, 1499)):
        replay = filled(150, adds)
        replay.save(run_folder(tmp_path), number)
        sizes[number] = len(list(replay.transitions()))
    rows = read(READER, run_folder(tmp_path), tmp_path)
    assert rows.columns["checkpoint"].tolist() == [n for n in (2, 9, 10) for _ in range(sizes[n])]
    assert rows.columns["checkpoint"].dtype == np.int32
    chosen = read(READER, run_folder(tmp_path), tmp_path, checkpoints="2,9-10")
    assert len(chosen.reward) == len(rows.reward)
    assert set(read(READER, run_folder(tmp_path), tmp_path, checkpoints="9-10").columns["checkpoint"]) == {
        9,
        10,
    }
    for wrong, message in (
        ("3", "asks for 3, which is not there. There are 2 to 10"),
        ("a-b", "must be numbers"),
    ):
        with pytest.raises(DatasetError, match=f"option checkpoints.*{message}"):
            READER.plan(source(run_folder(tmp_path), tmp_path), {"checkpoints": wrong})


def test_whole_episodes_count_and_begin_black(tmp_path):
    # Episodes of 7, 12, 3, 1 and 25 steps take 63 rows with their padding: twice, then one of 7, then one cut.
    replay = filled(150, 149)
    replay.save(run_folder(tmp_path), 0)
    dataset = import_dataset("dqn-replay", str(run_folder(tmp_path)), tmp_path / "datasets" / "x")
    starts = np.flatnonzero(np.diff(dataset.arrays["episode"], prepend=-1))
    stacks = dataset.observations(starts)[:, :, 0, 0]
    assert len(stacks) == 12
    assert (stacks[:, :3] == 0).all()
    assert (stacks[:, 3] > 0).all()
    assert dataset.manifest.episodes == 11
    assert dataset.manifest.mean_return == pytest.approx(replay.reward[:136].sum(dtype=np.float64) / 11)


def test_a_buffer_without_padding_loses_nothing(tmp_path):
    replay = filled(150, 100, padded=False)
    replay.save(run_folder(tmp_path), 0)
    rows = read(READER, run_folder(tmp_path), tmp_path)
    # Dopamine's range around the cursor is 99 to 103: only the newest row goes.
    np.testing.assert_array_equal(rows.s[:, 0, 0], replay.observation[:99, 0, 0])
    np.testing.assert_array_equal(rows.action, replay.action[:99])


def test_a_game_is_found_in_the_folder_or_given(tmp_path):
    for folder, game in (("Space_Invaders", "SpaceInvaders"), ("pong", "Pong")):
        filled(30, 29).save(tmp_path / folder / "3", 0)
        assert READER.plan(source(tmp_path / folder, tmp_path), {}).environment.env_id == f"atari/{game}"
    filled(30, 29).save(tmp_path / "data", 0)
    with pytest.raises(DatasetError, match=r"no folder of .*data is named for a game.*env=atari/Pong"):
        READER.plan(source(tmp_path / "data", tmp_path), {})
    for env in ("Breakout", "atari/Breakout"):
        plan = READER.plan(source(tmp_path / "data", tmp_path), {"env": env})
        assert plan.environment.env_id == "atari/Breakout"
    with pytest.raises(DatasetError, match=r"option env: unknown environment 'atari/Pnog'.*Did you mean"):
        READER.plan(source(tmp_path / "data", tmp_path), {"env": "Pnog"})


def test_the_folder_must_be_one_run(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no \$store\$_observation_ckpt.N.gz"):
        READER.plan(source(tmp_path, tmp_path), {})
    for run in "12":
        filled(30, 29).save(tmp_path / "Pong" / run, 0)
    with pytest.raises(DatasetError, match=r"holds 2 runs \(1/, 2/\). Give the folder of one"):
        READER.plan(source(tmp_path / "Pong", tmp_path), {})


@pytest.mark.parametrize("key", KEYS[1:])
def test_a_missing_key_is_named(tmp_path, key):
    filled(30, 29).save(run_folder(tmp_path), 4, leave_out=(key,))
    with pytest.raises(DatasetError) as caught:
        READER.plan(source(run_folder(tmp_path), tmp_path), {})
    assert f"{key}_ckpt.4.gz" in str(caught.value)
    assert "missing" in str(caught.value)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damage_is_named_and_nothing_appears(tmp_path, key, damage):
    folder = run_folder(tmp_path)
    filled(60, 59).save(folder, 0)
    file = folder / f"{key}_ckpt.0.gz"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-6] ^= 0xFF  # in the checksum, which only who reads to the end sees
    file.write_bytes({"cut": content[: len(content) - 12], "flip": content, "empty": b""}[damage])
    with pytest.raises(DatasetError) as caught:
        import_dataset("dqn-replay", str(folder), tmp_path / "datasets" / "x")
    assert f"{key}_ckpt.0.gz" in str(caught.value)
    assert not (tmp_path / "datasets" / "x").exists()
    with pytest.raises(DatasetError):
        Dataset.open(tmp_path / "datasets" / "x")


def save_as(folder, key, value, pickled=False):
    with gzip.open(folder / f"{key}_ckpt.0.gz", "wb") as file:
        if pickled:
            pickle.dump(value, file)
        else:
            np.save(file, value, allow_pickle=value.dtype.hasobject)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("$store$_observation", np.zeros((60, 84, 84, 4), np.uint8), "single frames, not stacks"),
        ("$store$_observation", np.zeros((60, 84, 84), np.float32), "holds float32 of shape"),
        ("$store$_action", np.zeros(59, np.int32), r"has shape \(59,\), the frames beside it \(60, 84, 84\)"),
        ("$store$_reward", np.zeros((60, 2), np.float32), r"has shape \(60, 2\)"),
        ("add_count", np.array([1.5]), "a count of rows is needed"),
        ("invalid_range", np.array([1, 99]), "numbers of the 60 rows are needed"),
        ("$store$_action", np.array([{}] * 60, object), "holds pickled objects"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, key, value, message):
    folder = run_folder(tmp_path)
    filled(60, 59).save(folder, 0)
    save_as(folder, key, value)
    with pytest.raises(DatasetError, match=message) as caught:
        import_dataset("dqn-replay", str(folder), tmp_path / "datasets" / "x")
    assert f"{key}_ckpt.0.gz" in str(caught.value)


def test_a_pickle_in_place_of_an_array_is_refused(tmp_path):
    folder = run_folder(tmp_path)
    filled(60, 59).save(folder, 0)
    save_as(folder, "add_count", 59, pickled=True)
    with pytest.raises(DatasetError, match=r"add_count_ckpt\.0\.gz holds no npy array"):
        import_dataset("dqn-replay", str(folder), tmp_path / "datasets" / "x")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "$store$_reward",
            np.nan,
            r"observation_ckpt\.0\.gz, record 20, key '\$store\$_reward': nan is not a finite number",
        ),
        ("$store$_action", 6, r"record 20, key '\$store\$_action': action 6 is outside 0 to 5 of atari/Pong"),
    ],
)
def test_a_bad_row_is_named_and_can_be_skipped(tmp_path, key, value, message):
    folder = run_folder(tmp_path)
    replay = filled(60, 59)
    array = {"$store$_reward": replay.reward, "$store$_action": replay.action}[key]
    array[20] = value
    replay.save(folder, 0)
    with pytest.raises(DatasetError, match=message):
        import_dataset("dqn-replay", str(folder), tmp_path / "datasets" / "x")
    dataset = import_dataset("dqn-replay", str(folder), tmp_path / "datasets" / "x", skip_bad_records=1)
    assert dataset.manifest.provenance["import"]["bad_records"]["count"] == 1
    assert len(dataset) < len(list(replay.transitions()))


def test_a_run_on_a_server_is_the_same(tmp_path):
    filled(150, 211).save(run_folder(tmp_path), 3)
    with served(tmp_path) as (address, _):
        there = import_dataset(
            "dqn-replay", f"{address}/Pong/1/replay_logs", tmp_path / "root" / "datasets" / "x"
        )
    here = import_dataset("dqn-replay", str(run_folder(tmp_path)), tmp_path / "root" / "datasets" / "y")
    assert there.fingerprint == here.fingerprint
