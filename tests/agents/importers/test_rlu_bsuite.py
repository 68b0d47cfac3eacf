"""RL Unplugged's bsuite and DeepMind Lab formats: every field, joins, borders of episodes, bad records."""

import itertools

import numpy as np
import pytest
from rlu_writing import png, write_shards

from agents.data.importers.engine import import_dataset
from agents.environments import describe
from agents.errors import DatasetError


def pair(observations, actions=(0, 1), reward=0.0, steps=(0, 1), discount=1.0, episodic=3.0):
    return {
        "observation": (np.concatenate(observations).astype(np.float32).tolist(), "float"),
        "action": (list(actions), "int"),
        "reward": ([reward, 99.0], "float"),
        "discount": ([discount, 55.0], "float"),
        "step_type": (list(steps), "int"),
        "episodic_reward": ([episodic, 77.0], "float"),
    }


class Episode:
    """Random play of L steps; observations ``[L + 1, 6]``."""

    def __init__(self, rng, steps):
        self.steps = steps
        self.seen = rng.normal(size=(steps + 1, 6)).astype(np.float32)
        self.actions = rng.integers(0, 3, steps + 1)
        self.rewards = rng.normal(size=steps).astype(np.float32)
        self.total = float(self.rewards.sum())

    def records(self):
        return [
            pair(
                (self.seen[t], self.seen[t + 1]),
                self.actions[t : t + 2].tolist(),
                float(self.rewards[t]),
                (0 if t == 0 else 1, 2 if t == self.steps - 1 else 1),
                episodic=self.total,
            )
            for t in range(self.steps)
        ]


def played(seed=0, *steps):
    rng = np.random.default_rng(seed)
    return [Episode(rng, count) for count in steps]


def imported(tmp_path, records, shards=1, name="a", **options):
    folder = write_shards(tmp_path / "cartpole" / "3_0.2", "1_full", records, shards)
    return import_dataset("rlu-bsuite", str(folder), tmp_path / "datasets" / name, **options)


def test_every_field_of_bsuite_is_as_written(tmp_path):
    episodes = played(0, 5, 1, 8)
    records = [record for episode in episodes for record in episode.records()]
    dataset = imported(tmp_path, records, 2)
    assert dataset.spec == describe("bsuite/cartpole/3")
    steps = [(episode, t) for episode in episodes for t in range(episode.steps)]
    everything = np.arange(14)
    np.testing.assert_array_equal(dataset.observations(everything), [one.seen[t] for one, t in steps])
    np.testing.assert_array_equal(
        dataset.observations(everything, following=True), [one.seen[t + 1] for one, t in steps]
    )
    ends = [t == one.steps - 1 for one, t in steps]
    wanted = {
        "action": [one.actions[t] for one, t in steps],
        "next_action": [0 if end else one.actions[t + 1] for (one, t), end in zip(steps, ends, strict=True)],
        "reward": [one.rewards[t] for one, t in steps],
        "discount": [0 if end else 1 for end in ends],
        "episode_return": [np.float32(one.total) for one, _ in steps],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(dataset.arrays[name], values, err_msg=name)
    # Cut by the border of the two files, which no one can see over.
    np.testing.assert_array_equal(dataset.arrays["episode"], [0] * 5 + [1] + [2] + [3] * 7)
    assert dataset.manifest.consecutive
    assert dataset.manifest.episodes == 2
    assert dataset.manifest.mean_return == pytest.approx(np.mean([one.total for one in episodes[:2]]), 1e-5)
    assert dataset.manifest.provenance["reader"]["random_action_noise"] == 0.2


def test_shuffled_pairs_are_imported_as_pieces(tmp_path):
    episodes = played(1, 6, 6)
    records = [record for episode in episodes for record in episode.records()]
    order = np.random.default_rng(3).permutation(12)
    dataset = imported(tmp_path, [records[k] for k in order])
    steps = [(episodes[k // 6], k % 6) for k in order]
    np.testing.assert_array_equal(dataset.observations(np.arange(12)), [one.seen[t] for one, t in steps])
    np.testing.assert_array_equal(
        dataset.observations(np.arange(12), following=True), [one.seen[t + 1] for one, t in steps]
    )
    joined = [a + 1 == b and b % 6 for a, b in itertools.pairwise(order)]
    np.testing.assert_array_equal(np.diff(dataset.arrays["episode"]) == 0, joined)
    assert (dataset.manifest.episodes, dataset.manifest.mean_return) == (0, None)


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        ({"observation": ([0.0] * 11, "float")}, "observation", "has 11 values; 12 are needed"),
        ({"observation": ([float("nan")] * 12, "float")}, "observation", "nan is not a finite number"),
        ({"action": ([3, 0], "int")}, "action", "action 3 is outside 0 to 2 of bsuite/cartpole/3"),
        ({"reward": ([float("nan"), 0.0], "float")}, "reward", "nan is not a finite number"),
        ({"reward": ([0.0], "float")}, "reward", "has 1 values; 2 are needed"),
        ({"step_type": ([2, 0], "int")}, "step_type", "is [2, 0]; two steps of one episode"),
        ({"discount": ([-1.0, 0.0], "float")}, "discount", "-1.0 is not between 0 and 1"),
    ],
)
def test_a_bad_pair_is_named_and_cuts_its_episode_when_skipped(tmp_path, change, key, why):
    (episode,) = played(2, 7)
    records = episode.records()
    records[3] = {**records[3], **change}
    with pytest.raises(DatasetError) as caught:
        imported(tmp_path, records)
    assert f"1_full-00000-of-00001, record 3, key '{key}': " in str(caught.value)
    assert why in str(caught.value)
    dataset = imported(tmp_path, records, skip_bad_records=1)
    kept = [0, 1, 2, 4, 5, 6]
    np.testing.assert_array_equal(dataset.observations(np.arange(6)), episode.seen[kept])
    np.testing.assert_array_equal(
        dataset.observations(np.arange(6), following=True), episode.seen[np.array(kept) + 1]
    )
    np.testing.assert_array_equal(dataset.arrays["action"], episode.actions[kept])
    np.testing.assert_array_equal(dataset.arrays["episode"], [0, 0, 0, 1, 1, 1])
    assert dataset.manifest.episodes == 0


def test_the_bsuite_environment_is_told_by_the_folders_or_the_user(tmp_path):
    records = played(4, 2)[0].records()
    folder = write_shards(tmp_path / "here" / "data", "1_full", records, 1)
    with pytest.raises(DatasetError, match=r"cannot be told from the folders here/data.*--env"):
        import_dataset("rlu-bsuite", str(folder), tmp_path / "datasets" / "a")
    made = import_dataset(
        "rlu-bsuite", str(folder), tmp_path / "datasets" / "a", options={"env": "bsuite/cartpole/0"}
    )
    assert made.spec.env_id == "bsuite/cartpole/0"


LENGTH = 5


class LabEpisode:
    """An episode of LENGTH observations as DeepMind Lab shows them."""

    def __init__(self, rng, number):
        self.number = number
        self.pixels = rng.integers(0, 256, (LENGTH, 72, 96, 3), dtype=np.uint8)
        self.pixels[:, 4:] = self.pixels[:, :1]
        self.actions = rng.integers(0, 15, LENGTH)
        self.rewards = rng.integers(-1, 2, LENGTH).astype(np.float32)
        self.previous = np.concatenate([[0], self.actions[:-1]])
        self.previous_reward = np.concatenate([[0], self.rewards[:-1]]).astype(np.float32)
        self.total = float(self.rewards[:-1].sum())

    def record(self):
        one_hot = np.eye(15, dtype=np.float32)[self.previous]
        one_hot[0] = 0
        # OpenCV, which packed the published images, writes blue first.
        return {
            "episode_id": (self.number, "int"),
            "start_idx": (0, "int"),
            "episode_return": (self.total, "float"),
            "observations_pixels": (
                [png(np.ascontiguousarray(image[..., ::-1])) for image in self.pixels],
                "byte",
            ),
            "observations_action": (one_hot.reshape(-1).tolist(), "float"),
            "observations_reward": (self.previous_reward.tolist(), "float"),
            "actions": (self.actions.tolist(), "int"),
            "rewards": (self.rewards.tolist(), "float"),
            "discounted_rewards": (self.rewards.tolist(), "float"),
            "discounts": ([1.0] * (LENGTH - 2) + [0.0, 0.0], "float"),
        }


def lab(tmp_path, records, shards=1, name="a", **more):
    folder = write_shards(tmp_path / "seekavoid_arena_01" / "training_0", "tfrecord", records, shards)
    options = {"episode_length": str(LENGTH)}
    return import_dataset("rlu-dmlab", str(folder), tmp_path / "datasets" / name, options=options, **more)


def test_every_field_of_deepmind_lab_is_as_written(tmp_path):
    rng = np.random.default_rng(5)
    episodes = [LabEpisode(rng, -3), LabEpisode(rng, 8), LabEpisode(rng, 9)]
    dataset = lab(tmp_path, [one.record() for one in episodes], 2)
    spec = dataset.spec
    assert (spec.env_id, spec.num_actions, spec.observation_shape) == (
        "dmlab/seekavoid_arena_01", 15, (3, 72, 96),
    )  # fmt: skip
    kept = LENGTH - 1
    assert len(dataset) == 3 * kept
    everything = np.arange(len(dataset))
    for following in (0, 1):
        np.testing.assert_array_equal(
            dataset.observations(everything, following=bool(following)).transpose(0, 2, 3, 1),
            np.concatenate([one.pixels[following : kept + following] for one in episodes]),
        )
    wanted = {
        "action": np.concatenate([one.actions[:kept] for one in episodes]),
        "reward": np.concatenate([one.rewards[:kept] for one in episodes]),
        "discount": np.tile(([1.0] * (LENGTH - 2) + [0.0])[:kept], 3),
        "episode": np.repeat(np.arange(3), kept),
        "episode_id": np.repeat(np.array([2**64 - 3, 8, 9], np.uint64), kept),
        "episode_return": np.repeat(np.float32([one.total for one in episodes]), kept),
        "extra_previous_action": np.concatenate([one.previous for one in episodes]),
        "extra_previous_reward": np.concatenate([one.previous_reward for one in episodes]),
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(dataset.arrays[name], values, err_msg=name)
    assert len(dataset.arrays["frames"]) == 3 * LENGTH
    assert (dataset.manifest.episodes, dataset.manifest.consecutive) == (3, True)
    assert dataset.manifest.mean_return == pytest.approx(np.mean([one.total for one in episodes]))


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        ({"actions": ([1] * 4, "int")}, "actions", "has 4 values; 5 are needed"),
        ({"actions": ([15] * 5, "int")}, "actions", "action 15 is outside 0 to 14 of dmlab/"),
        ({"rewards": ([float("nan")] * 5, "float")}, "rewards", "nan is not a finite number"),
        ({"observations_action": ([0.5] * 75, "float")}, "observations_action", "at step 0; one-hot is needed"),
        ({"observations_pixels": ([b"x"] * 5, "byte")}, "observations_pixels[0]", "no whole PNG image"),
        (
            {"observations_pixels": ([png(np.zeros((72, 96), np.uint8))] * 5, "byte")},
            "observations_pixels[0]", "with mode L; 96×72 with mode RGB is needed",
        ),
        ({"observations_reward": ([float("inf")] * 5, "float")}, "observations_reward", "inf is not a finite"),
    ],
)  # fmt: skip
def test_a_bad_episode_of_deepmind_lab_is_named_and_can_be_skipped(tmp_path, change, key, why):
    rng = np.random.default_rng(6)
    records = [LabEpisode(rng, 0).record(), {**LabEpisode(rng, 1).record(), **change}]
    with pytest.raises(DatasetError) as caught:
        lab(tmp_path, records)
    assert f"tfrecord-00000-of-00001, record 1, key '{key}': " in str(caught.value)
    assert why in str(caught.value)
    assert len(lab(tmp_path, records, skip_bad_records=1)) == LENGTH - 1


def test_a_level_that_is_not_known_asks_for_its_length(tmp_path):
    record = LabEpisode(np.random.default_rng(7), 0).record()
    folder = str(write_shards(tmp_path / "maze" / "training_0", "tfrecord", [record], 1))
    target = tmp_path / "datasets" / "a"
    with pytest.raises(DatasetError, match=r"'maze' is no level of RL Unplugged \(seekavoid_arena_01.*--env"):
        import_dataset("rlu-dmlab", folder, target)
    with pytest.raises(DatasetError, match=r"has 5 values; 301 are needed"):
        import_dataset("rlu-dmlab", folder, target, options={"env": "dmlab/seekavoid_arena_01"})
    with pytest.raises(DatasetError, match=r"atari/Pong is no level of DeepMind Lab"):
        import_dataset("rlu-dmlab", folder, target, options={"env": "atari/Pong"})
