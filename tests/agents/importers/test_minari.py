"""Datasets that the real minari package writes, against what the same package reads back."""

import json
import shutil

import gymnasium
import h5py
import minari
import numpy as np
import pyarrow
import pytest
from file_servers import served
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from read_blocks import read, source

from agents.data.importers import minari as module
from agents.data.importers.engine import import_dataset
from agents.data.importers.minari import READER
from agents.errors import DatasetError

FORMATS = ("hdf5", "arrow", "parquet")
BOX = spaces.Box(-np.inf, np.inf, (4,), np.float64)
LOPSIDED = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))
GOAL = spaces.Dict(
    {
        "observation": spaces.Box(-9, 9, (3,), np.float64),
        "achieved_goal": spaces.Box(-9, 9, (2, 2), np.float32),
        "deep": spaces.Dict({"switch": spaces.MultiBinary(3), "level": spaces.Discrete(4, start=-1)}),
    }
)
PAIR = spaces.Tuple((spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,), np.float32)))
PICTURE = spaces.Box(0, 255, (40, 36, 3), np.uint8)


@pytest.fixture(autouse=True)
def _datasets_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def stacked(space, samples):
    if isinstance(space, spaces.Dict):
        return {key: stacked(one, [sample[key] for sample in samples]) for key, one in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(one, [s[i] for s in samples]) for i, one in enumerate(space.spaces))
    return np.array(samples, space.dtype)


def write(
    tmp_path, observations, actions, data_format, name="test/some-v0", lengths=(5, 1, 8), edit=None, **more
):
    """A dataset by minari, and the folder it wrote."""
    observations.seed(0)
    actions.seed(1)
    random, buffers = np.random.default_rng(2), []
    for number, length in enumerate(lengths):
        ends = np.zeros(length, bool)
        ends[-1] = True
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=stacked(observations, [observations.sample() for _ in range(length + 1)]),
                actions=stacked(actions, [actions.sample() for _ in range(length)]),
                rewards=list(random.normal(size=length)),
                terminations=list(ends if number % 2 == 0 else ends & False),
                truncations=list(ends if number % 2 == 1 else ends & False),
                infos={},
            )
        )
    if edit is not None:
        edit(buffers)
    dataset = minari.create_dataset_from_buffers(
        name, buffers, observation_space=observations, action_space=actions, data_format=data_format, **more
    )
    return dataset, tmp_path / "minari" / name


def assert_same(rows, dataset, shown=lambda values: values, start=0):
    """Every field of every episode, as minari reads it."""
    episodes = list(dataset.iterate_episodes())
    assert rows.lengths == [len(episode) for episode in episodes]
    observed = [shown(episode.observations) for episode in episodes]
    np.testing.assert_array_equal(rows.s, np.concatenate([one[:-1] for one in observed]).astype(rows.s.dtype))
    np.testing.assert_array_equal(
        rows.s_next, np.concatenate([one[1:] for one in observed]).astype(rows.s.dtype)
    )
    np.testing.assert_array_equal(rows.action, np.concatenate([one.actions for one in episodes]) - start)
    np.testing.assert_array_equal(rows.reward, np.concatenate([one.rewards for one in episodes]))
    ended = np.concatenate([one.terminations for one in episodes])
    np.testing.assert_array_equal(rows.discount, 1 - ended.astype(np.float32))
    assert [block.complete for block in rows.blocks] == [True] * len(episodes)
    assert [block.record for block in rows.blocks] == [episode.id for episode in episodes]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("actions", [LOPSIDED, spaces.Discrete(5, start=2)], ids=["box", "discrete"])
def test_vectors_are_those_of_minari(tmp_path, data_format, actions):
    dataset, folder = write(tmp_path, BOX, actions, data_format)
    rows = read(READER, folder, tmp_path)
    discrete = isinstance(actions, spaces.Discrete)
    assert_same(rows, dataset, start=2 if discrete else 0)
    spec = rows.spec
    assert (spec.env_id, spec.observation_shape, spec.observation_dtype) == (
        "minari/test/some-v0",
        (4,),
        "float32",
    )
    assert (spec.num_actions, spec.action_shape) == ((5, ()) if discrete else (0, (2,)))
    assert discrete or (spec.action_low, spec.action_high) == (-1, 1)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("space", [GOAL, PAIR], ids=["dict", "tuple"])
def test_flatten_is_that_of_gymnasium(tmp_path, data_format, space):
    dataset, folder = write(tmp_path, space, LOPSIDED, data_format)
    rows = read(READER, folder, tmp_path, observation="flatten")

    def shown(values):
        return np.array([spaces.flatten(space, sample) for sample in unstacked(space, values)], np.float32)

    def unstacked(space, values):
        if isinstance(space, spaces.Dict):
            parts = {key: unstacked(one, values[key]) for key, one in space.spaces.items()}
            return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
        if isinstance(space, spaces.Tuple):
            return list(zip(*[unstacked(one, values[i]) for i, one in enumerate(space.spaces)], strict=True))
        return list(values)

    assert_same(rows, dataset, shown)
    assert rows.spec.observation_shape == (spaces.flatdim(space),)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("jpeg", [True, False])
def test_images_get_their_channels_first(tmp_path, data_format, jpeg):
    dataset, folder = write(tmp_path, PICTURE, LOPSIDED, data_format, jpeg_encoding=jpeg)
    rows = read(READER, folder, tmp_path)
    assert_same(rows, dataset, lambda values: values.transpose(0, 3, 1, 2))
    assert (rows.spec.observation_shape, rows.spec.observation_dtype) == ((3, 40, 36), "uint8")
    assert rows.plan.provenance["jpeg"] == (["observations"] if jpeg else [])


def test_images_of_one_colour_and_those_with_channels_first(tmp_path):
    for space, shape in (
        (spaces.Box(0, 255, (40, 36), np.uint8), (1, 40, 36)),
        (spaces.Box(0, 255, (4, 84, 84), np.uint8), (4, 84, 84)),
        (spaces.Box(0, 10, (7, 7, 3), np.uint8), (3, 7, 7)),
    ):
        dataset, folder = write(
            tmp_path, space, LOPSIDED, "hdf5", f"test/shape{len(shape)}{shape[0]}{shape[1]}-v0"
        )
        rows = read(READER, folder, tmp_path)
        last = shape == (3, 7, 7)

        def shown(values, shape=shape, last=last):
            return values.transpose(0, 3, 1, 2) if last else values.reshape(-1, *shape)

        assert_same(rows, dataset, shown)
        assert rows.spec.observation_shape == shape


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_key_of_a_dict_is_chosen(tmp_path, data_format):
    dataset, folder = write(tmp_path, GOAL, LOPSIDED, data_format)
    assert_same(
        read(READER, folder, tmp_path, observation="observation"), dataset, lambda v: v["observation"]
    )
    assert_same(
        read(READER, folder, tmp_path, observation="achieved_goal"), dataset, lambda v: v["achieved_goal"]
    )
    levels = read(READER, folder, tmp_path, observation="deep/level")
    assert_same(levels, dataset, lambda v: np.eye(4)[v["deep"]["level"] + 1])
    with pytest.raises(
        DatasetError, match=r"several arrays\. Choose one of achieved_goal, deep/level, deep/switch, o"
    ):
        READER.plan(source(folder, tmp_path), {})
    with pytest.raises(DatasetError, match="has no array 'image'"):
        READER.plan(source(folder, tmp_path), {"observation": "image"})


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_collected_environment_is_ours_where_it_fits(tmp_path, data_format):
    # Its own DataCollector needs jax; the buffers it fills are filled here.
    env, buffers = gymnasium.make("Hopper-v5"), []
    for seed in range(3):
        shown, played, ended = [env.reset(seed=seed)[0]], [], False
        env.action_space.seed(seed)
        while not ended:
            action = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            shown.append(observation)
            played.append((action, reward, terminated, truncated))
        actions, rewards, terminations, truncations = map(list, zip(*played, strict=True))
        buffers.append(
            EpisodeBuffer(
                id=seed,
                observations=np.array(shown),
                actions=np.array(actions),
                rewards=rewards,
                terminations=terminations,
                truncations=truncations,
                infos={},
            )
        )
    dataset = minari.create_dataset_from_buffers(
        "test/hopper-v0", buffers, env=env, data_format=data_format, ref_min_score=-20.0, ref_max_score=3000.0
    )
    env.close()
    folder = tmp_path / "minari" / "test" / "hopper-v0"
    assert_same(read(READER, folder, tmp_path), dataset)
    imported = import_dataset("minari", str(folder), tmp_path / "datasets" / "x")
    assert imported.spec.env_id == "mujoco/Hopper"
    assert imported.manifest.episodes == 3
    assert len(imported) == dataset.total_steps
    returns = [episode.rewards.sum() for episode in dataset.iterate_episodes()]
    assert imported.manifest.mean_return == pytest.approx(np.mean(returns))
    imported.verify()


def test_an_import_goes_on_from_the_part_it_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART_EPISODES", 2)
    dataset, folder = write(tmp_path, BOX, LOPSIDED, "hdf5", lengths=(3, 4, 5, 6, 7))
    plan = READER.plan(source(folder, tmp_path), {})
    assert [shard.name for shard in plan.shards] == ["episodes 0 to 1", "episodes 2 to 3", "episodes 4 to 4"]
    assert_same(read(READER, folder, tmp_path), dataset)
    path = folder / "data" / "main_data.hdf5"
    whole = path.read_bytes()
    with h5py.File(path, "a") as file:
        file["episode_4/rewards"][:] = np.nan
    with pytest.raises(
        DatasetError, match="episodes 4 to 4, record 4, key 'rewards': nan is not a finite number"
    ):
        import_dataset("minari", str(folder), tmp_path / "datasets" / "x")
    assert not (tmp_path / "datasets" / "x").exists()
    path.write_bytes(whole)
    resumed = import_dataset("minari", str(folder), tmp_path / "datasets" / "x")
    fresh = import_dataset("minari", str(folder), tmp_path / "datasets" / "y")
    assert resumed.fingerprint == fresh.fingerprint
    assert resumed.manifest.provenance["import"]["processes"] == 2


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_damaged_episode_is_named_and_can_be_skipped(tmp_path, data_format):
    _, folder = write(tmp_path, PICTURE, LOPSIDED, data_format)
    if data_format == "hdf5":
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            pictures = file["episode_1/observations"]
            pictures[0] = np.zeros_like(pictures[0])
        message = "main_data.hdf5, record 1, key 'observations': holds a picture that cannot be decoded"
    else:
        (path,) = (folder / "data" / "1").glob(f"*.{data_format}")
        path.write_bytes(path.read_bytes()[:-40])
        message = f"{path.name}, record 1, key 'file': is cut short or damaged"
    with pytest.raises(DatasetError, match=message):
        import_dataset("minari", str(folder), tmp_path / "datasets" / "x")
    kept = import_dataset("minari", str(folder), tmp_path / "datasets" / "x", skip_bad_records=1)
    assert len(kept) == 5 + 8
    assert kept.manifest.provenance["import"]["bad_records"]["count"] == 1


def test_a_truncated_file_is_named(tmp_path):
    _, folder = write(tmp_path, BOX, LOPSIDED, "hdf5")
    path = folder / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DatasetError, match=r"main_data\.hdf5 cannot be opened as HDF5"):
        import_dataset("minari", str(folder), tmp_path / "datasets" / "x")


def drop(key):
    def change(file):
        del file[key]

    return change


def put(key, value):
    def change(file):
        del file[key]
        file[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("episode_2"), "record 2, key 'episode_2': is missing"),
        (drop("episode_2/observations"), "record 2, key 'observations': is missing"),
        (drop("episode_2/truncations"), "record 2, key 'truncations': is missing"),
        (put("episode_0/actions", np.zeros((4, 2))), "record 0, key 'actions': has 4 rows beside 6 observations"),
        (put("episode_0/observations", np.zeros((6, 5))), r"key 'observations': .*shape \(5,\), the space \(4,\)"),
        (put("episode_0/observations", np.array([b"a"] * 6)), r"key 'observations': .*rows of shape \(\)"),
        (put("episode_0/actions", np.full((5, 2), 0.7)), r"key 'actions': action \[0.7, 0.7\] of step 0 lies"),
        (put("episode_0/rewards", np.full(5, np.nan)), "record 0, key 'rewards': nan is not a finite number"),
        (put("episode_0/rewards", np.array([b"a"] * 5)), r"record 0, key 'rewards': has dtype \|S1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, change, message):
    _, folder = write(tmp_path, BOX, LOPSIDED, "hdf5")
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        change(file)
    with pytest.raises(DatasetError, match=message):
        import_dataset("minari", str(folder), tmp_path / "datasets" / "x")


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_missing_columns_and_episodes_are_named(tmp_path, data_format):
    _, folder = write(tmp_path, GOAL, LOPSIDED, data_format)
    (path,) = (folder / "data" / "0").glob(f"*.{data_format}")
    table = pyarrow.dataset.dataset(path, format=data_format).to_table().drop_columns(["rewards"])
    pyarrow.dataset.write_dataset(
        table, path.parent, format=data_format, existing_data_behavior="delete_matching"
    )
    shutil.rmtree(folder / "data" / "2")
    with pytest.raises(DatasetError, match=r"record 0, key 'rewards': is missing"):
        import_dataset("minari", str(folder), tmp_path / "datasets" / "x", options={"observation": "flatten"})
    with pytest.raises(
        DatasetError, match=rf"data/2/, record 2, key 'file': holds no \*\.{data_format} file"
    ):
        import_dataset(
            "minari",
            str(folder),
            tmp_path / "datasets" / "x",
            options={"observation": "flatten"},
            skip_bad_records=1,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation_space": None}, "metadata.json has no key 'observation_space'"),
        ({"data_format": "zarr"}, "data_format 'zarr' is not one of hdf5, arrow, parquet"),
        ({"observation_space": '{"type": "Graph"}'}, "cannot be read.*unknown type 'Graph'"),
        ({"observation_space": '{"type": "Box"}'}, "cannot be read"),
        (
            {"action_space": '{"type": "MultiBinary", "n": 3}'},
            "actions are MultiBinary.*only Discrete and floating Box",
        ),
        (
            {"observation_space": '{"type": "Text", "max_length": 5, "min_length": 0, "charset": "ab"}'},
            "observations is text, which no network here reads",
        ),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(tmp_path, change, message):
    _, folder = write(tmp_path, BOX, LOPSIDED, "hdf5")
    path = folder / "data" / "metadata.json"
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    with pytest.raises(DatasetError, match=message):
        READER.plan(source(folder, tmp_path), {})


def test_the_folder_must_be_one_dataset(tmp_path):
    for name in ("test/a-v0", "test/b-v0"):
        write(tmp_path, BOX, LOPSIDED, "arrow", name)
    with pytest.raises(
        DatasetError, match=r"found a-v0/data/metadata\.json, b-v0/data/metadata\.json\. Give the folder"
    ):
        READER.plan(source(tmp_path / "minari" / "test", tmp_path), {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="found none"):
        READER.plan(source(tmp_path / "empty", tmp_path), {})
    (tmp_path / "empty" / "metadata.json").write_text('{"data_format": ')
    with pytest.raises(DatasetError, match=r"metadata\.json is damaged"):
        READER.plan(source(tmp_path / "empty", tmp_path), {})


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_dataset_on_a_server_is_the_same(tmp_path, data_format):
    _, folder = write(tmp_path, BOX, LOPSIDED, data_format)
    with served(folder.parent) as (address, _):
        there = import_dataset("minari", f"{address}/{folder.name}", tmp_path / "root" / "datasets" / "x")
    here = import_dataset("minari", str(folder), tmp_path / "root" / "datasets" / "y")
    assert there.fingerprint == here.fingerprint
