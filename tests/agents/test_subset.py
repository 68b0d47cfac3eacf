"""Subsets, against plain loops over the parent's arrays."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from agents.data import Dataset
from agents.data.episode_returns import episode_returns, returns_by_checkpoint
from agents.data.subset import Checkpoints, Fraction, Prefix, Returns, make_subset
from agents.data.writer import DatasetWriter
from agents.environments import describe
from agents.environments.protocol import ArrayFormat
from agents.errors import DatasetError

# Episodes by length, whether they end in a terminal state, and their training checkpoint. The last was still going
# on when the data ended; the third and the fifth were cut by a time limit.
EPISODES = [
    (5, True, 0),
    (3, True, 0),
    (7, False, 1),
    (4, True, 1),
    (6, False, 2),
    (2, True, 2),
    (3, False, 2),
]
TOTAL = sum(length for length, _, _ in EPISODES)
COMPLETED = [0, 1, 2, 3, 4, 5]


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """Thirty transitions in seven episodes, with a column and with something shown beside the frames."""
    draw = np.random.default_rng(3)
    spec = describe("bsuite/catch/0").model_copy(update={"extras": {"clock": ArrayFormat(dtype="float32")}})
    columns = {"checkpoint": ArrayFormat(dtype="int32")}
    returns = []
    with DatasetWriter(tmp_path / "whole", spec, None, columns=columns) as writer:
        for number, (length, terminal, checkpoint) in enumerate(EPISODES):
            frames = draw.random((length + 1, *spec.frame_shape), np.float32)
            index = writer.add_frames(frames, {"clock": draw.random(length + 1).astype(np.float32)})
            discount = np.ones(length, np.float32)
            discount[-1] = 0 if terminal else 1
            reward = draw.normal(size=length).astype(np.float32)
            returns.append(float(reward.astype(np.float64).sum()))
            writer.add_transitions(
                np.stack([index[:-1], index[1:]], axis=1),
                draw.integers(0, 3, length).astype(np.int32),
                reward,
                discount,
                np.full(length, number, np.int32),
                {"checkpoint": np.full(length, checkpoint, np.int32)},
            )
        mean = float(np.mean([returns[number] for number in COMPLETED]))
        return writer.finish(len(COMPLETED), mean, {"made": "drawn"})


def refused(call: object, *arguments: object) -> str:
    with pytest.raises(DatasetError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def rows_of(subset: Dataset, parent: Dataset) -> list[int]:
    """Which transitions of the parent these are, found by their observations, each checked in every field."""
    where = {
        parent.arrays["frames"][row[0]].tobytes(): i for i, row in enumerate(parent.arrays["frame_index"])
    }
    found = []
    for i in range(len(subset)):
        row = where[subset.observations(np.array([i]))[0].tobytes()]
        for name in ("action", "reward", "discount", "episode", "checkpoint"):
            assert subset.arrays[name][i] == parent.arrays[name][row], name
        following = (
            subset.observations(np.array([i]), following=True),
            parent.observations(np.array([row]), True),
        )
        np.testing.assert_array_equal(*following)
        found.append(row)
    subset.verify()
    return found


def returns_by_loop(parent: Dataset) -> dict[int, float]:
    sums: dict[int, float] = {}
    for episode, reward in zip(parent.arrays["episode"], parent.arrays["reward"], strict=True):
        sums[int(episode)] = sums.get(int(episode), 0.0) + float(reward)
    return sums


def test_a_prefix_is_the_first_transitions(parent: Dataset, tmp_path: Path) -> None:
    subset = make_subset(parent, tmp_path / "first", [Prefix(0.41)])
    assert rows_of(subset, parent) == list(range(math.ceil(0.41 * TOTAL)))
    assert subset.manifest.consecutive
    touched = sorted({int(e) for e in subset.arrays["episode"]})
    sums = returns_by_loop(parent)
    assert touched == [0, 1, 2]
    assert subset.manifest.episodes == 3
    assert subset.manifest.mean_return == pytest.approx(np.mean([sums[e] for e in touched]), rel=1e-6)


def test_a_fraction_is_drawn_uniformly_and_by_its_seed(parent: Dataset, tmp_path: Path) -> None:
    one = make_subset(parent, tmp_path / "one", [Fraction(0.3, seed=1)])
    rows = rows_of(one, parent)
    assert len(rows) == len(set(rows)) == 9
    assert rows == sorted(rows)
    assert not one.manifest.consecutive, "transitions are missing within episodes"
    same = make_subset(parent, tmp_path / "same", [Fraction(0.3, seed=1)])
    other = make_subset(parent, tmp_path / "other", [Fraction(0.3, seed=2)])
    assert same.fingerprint == one.fingerprint
    assert other.fingerprint != one.fingerprint
    whole = make_subset(parent, tmp_path / "all", [Fraction(1.0)])
    assert whole.fingerprint == parent.fingerprint, "equal content, equal fingerprint"
    assert (whole.manifest.episodes, whole.manifest.mean_return) == (6, parent.manifest.mean_return)


def test_draws_of_a_fraction_are_uniform(parent: Dataset) -> None:
    rows = np.arange(50)
    counts = np.zeros(50)
    for seed in range(400):
        counts[Fraction(0.2, seed).apply(parent, rows)] += 1
    assert counts.sum() == 400 * 10
    # Hypergeometric: 80 expected each, standard deviation 8.
    assert abs(counts - 80).max() < 5 * 8


def test_checkpoints_go_from_the_first_to_the_last_included(parent: Dataset, tmp_path: Path) -> None:
    subset = make_subset(parent, tmp_path / "later", [Checkpoints(1, 2)])
    assert rows_of(subset, parent) == list(range(8, TOTAL))
    assert subset.manifest.consecutive
    assert "there are 0 to 2" in refused(make_subset, parent, tmp_path / "none", [Checkpoints(3, 9)])
    assert "must not lie behind" in refused(make_subset, parent, tmp_path / "none", [Checkpoints(2, 1)])


def test_returns_keep_whole_completed_episodes_between_quantiles(parent: Dataset, tmp_path: Path) -> None:
    sums = returns_by_loop(parent)
    low, high = np.quantile([sums[e] for e in COMPLETED], [0.5, 1.0])
    wanted = [e for e in COMPLETED if low <= sums[e] <= high]
    subset = make_subset(parent, tmp_path / "best", [Returns(0.5, 1.0)])
    expected = [i for i, e in enumerate(parent.arrays["episode"]) if int(e) in wanted]
    assert rows_of(subset, parent) == expected
    assert subset.manifest.episodes == len(wanted) == 3
    assert subset.manifest.mean_return == pytest.approx(np.mean([sums[e] for e in wanted]), rel=1e-6)
    assert subset.manifest.consecutive
    assert "episode_return" not in subset.arrays, "its episodes are whole"


def test_the_episode_that_the_end_of_the_data_cut_is_told_from_those_of_a_time_limit(parent: Dataset) -> None:
    found = episode_returns(parent)
    assert found.complete.tolist() == [True] * 6 + [False]
    np.testing.assert_allclose(found.value, list(returns_by_loop(parent).values()), rtol=1e-6)


def test_selections_are_made_from_left_to_right(parent: Dataset, tmp_path: Path) -> None:
    prefix_first = make_subset(parent, tmp_path / "a", [Prefix(0.5), Checkpoints(1, 1)])
    assert rows_of(prefix_first, parent) == list(range(8, 15))
    other_way = make_subset(parent, tmp_path / "b", [Checkpoints(1, 1), Prefix(0.5)])
    assert rows_of(other_way, parent) == list(range(8, 8 + math.ceil(0.5 * 11)))
    steps = make_subset(
        make_subset(parent, tmp_path / "c", [Prefix(0.5)]), tmp_path / "d", [Checkpoints(1, 1)]
    )
    assert (
        steps.fingerprint == make_subset(parent, tmp_path / "e", [Prefix(0.5), Checkpoints(1, 1)]).fingerprint
    )
    assert prefix_first.manifest.provenance["subset"]["selections"] == [
        {"kind": "prefix", "prefix": 0.5},
        {"kind": "checkpoints", "first": 1, "last": 1},
    ]


def test_parts_of_episodes_remember_the_return_of_the_whole(parent: Dataset, tmp_path: Path) -> None:
    sums = returns_by_loop(parent)
    part = make_subset(parent, tmp_path / "part", [Fraction(0.5)])
    for episode, value in zip(part.arrays["episode"], part.arrays["episode_return"], strict=True):
        if int(episode) == 6:
            assert np.isnan(value), "it was not completed"
        else:
            assert value == pytest.approx(sums[int(episode)], rel=1e-6)
    best = make_subset(part, tmp_path / "best-of-part", [Returns(0.5, 1.0)])
    there = sorted({int(e) for e in part.arrays["episode"]} - {6})
    bound = np.quantile([np.float32(sums[e]) for e in there], 0.5)
    expected = {e for e in there if np.float32(sums[e]) >= bound}
    assert {int(e) for e in best.arrays["episode"]} == expected


def test_frames_are_shared_and_the_parent_may_go(parent: Dataset, tmp_path: Path) -> None:
    subset = make_subset(parent, tmp_path / "half", [Prefix(0.5)])
    for name in ("frames", "extra_clock"):
        assert (subset.path / f"{name}.npy").samefile(parent.path / f"{name}.npy")
    record = subset.manifest.provenance
    assert record["subset"]["fingerprint"] == parent.fingerprint
    assert record["subset"]["of"] == "whole"
    assert record["parent"] == {"made": "drawn"}
    before = subset.arrays["frames"].copy()
    del subset
    shutil.rmtree(parent.path)
    again = Dataset.open(tmp_path / "half", verify=True)
    np.testing.assert_array_equal(again.arrays["frames"], before)


def test_where_links_cannot_be_made_frames_are_copied(
    parent: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", no_links)
    subset = make_subset(parent, tmp_path / "half", [Prefix(0.5)])
    assert not (subset.path / "frames.npy").samefile(parent.path / "frames.npy")
    assert rows_of(subset, parent) == list(range(15))


def test_quality_by_checkpoint_is_that_of_the_episodes_played_by_it(parent: Dataset) -> None:
    sums = returns_by_loop(parent)
    expected = [(0, 8, [0, 1]), (1, 11, [2, 3]), (2, 11, [4, 5])]
    for row, (checkpoint, transitions, episodes) in zip(returns_by_checkpoint(parent), expected, strict=True):
        assert (row["checkpoint"], row["transitions"], row["episodes"]) == (
            checkpoint,
            transitions,
            len(episodes),
        )
        assert row["mean_return"] == pytest.approx(np.mean([sums[e] for e in episodes]), rel=1e-6)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Fraction(0.0), "fraction is 0.0"),
        (Prefix(1.5), "prefix is 1.5"),
        (Returns(0.9, 0.1), "both must lie in [0, 1]"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    selection: Fraction, words: str, parent: Dataset, tmp_path: Path
) -> None:
    assert words in refused(make_subset, parent, tmp_path / "x", [selection])
    assert not (tmp_path / "x").exists()


def test_returns_and_checkpoints_need_what_they_go_by(parent: Dataset, tmp_path: Path) -> None:
    assert "at least one of" in refused(make_subset, parent, tmp_path / "x", [])
    spec = describe("bsuite/catch/0")
    with DatasetWriter(tmp_path / "shuffled", spec, 2) as writer:
        index = writer.add_frames(np.zeros((4, *spec.frame_shape), np.float32)).reshape(2, 2)
        zeros = np.zeros(2, np.float32)
        writer.add_transitions(index, np.zeros(2, np.int32), zeros, zeros, np.zeros(2, np.int32))
        shuffled = writer.finish(0, None, {}, consecutive=False)
    assert "not whole" in refused(make_subset, shuffled, tmp_path / "x", [Returns(0, 1)])
    assert "no column `checkpoint`" in refused(make_subset, shuffled, tmp_path / "x", [Checkpoints(0, 1)])
    assert make_subset(shuffled, tmp_path / "half", [Prefix(0.5)]).manifest.mean_return is None
