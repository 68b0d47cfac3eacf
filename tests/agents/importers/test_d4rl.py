"""D4RL files against the real d4rl.qlearning_dataset, transition by transition; files written by h5py."""

import ast
import importlib
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from file_servers import served
from read_blocks import read, source

from agents.data.importers import d4rl as module
from agents.data.importers import d4rl_names
from agents.data.importers.d4rl import READER
from agents.data.importers.engine import import_dataset
from agents.errors import DatasetError


@pytest.fixture
def real(monkeypatch):
    """The real package, whose import fails loudly on a machine without mujoco-py unless it is told not to."""
    monkeypatch.setenv("D4RL_SUPPRESS_IMPORT_ERROR", "1")
    return importlib.import_module("d4rl")


def arrays(rows=200, width=11, actions=3, seed=0, terminals=(20, 21, 60, 140), timeouts=(40, 100, 140)):
    random = np.random.default_rng(seed)
    content = {
        "observations": random.normal(size=(rows, width)).astype(np.float32),
        "actions": random.uniform(-1, 1, (rows, actions)).astype(np.float32),
        "rewards": random.normal(size=rows).astype(np.float32),
        "terminals": np.isin(np.arange(rows), terminals),
        "timeouts": np.isin(np.arange(rows), timeouts),
    }
    return {key: value for key, value in content.items() if key != "timeouts" or timeouts is not None}


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            file.create_dataset(key, data=value, compression="gzip")
    return path


def assert_same(rows, expected, total):
    assert len(rows.reward) == len(expected["rewards"]) > total * 0.8
    np.testing.assert_array_equal(rows.s, expected["observations"])
    np.testing.assert_array_equal(rows.s_next, expected["next_observations"])
    np.testing.assert_array_equal(rows.action, expected["actions"])
    np.testing.assert_array_equal(rows.reward, expected["rewards"])
    np.testing.assert_array_equal(rows.discount, 1 - expected["terminals"].astype(np.float32))
    assert rows.s.dtype == rows.action.dtype == rows.reward.dtype == rows.discount.dtype == np.float32


@pytest.mark.parametrize("on_end", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", ["open", "terminal", "timeout"])
def test_every_transition_is_that_of_qlearning_dataset(real, tmp_path, monkeypatch, on_end, dtype, last):
    content = arrays()
    content["terminals"][-1], content["timeouts"][-1] = last == "terminal", last == "timeout"
    content["observations"] = content["observations"].astype(dtype) * 1.1
    expected = real.qlearning_dataset(SimpleNamespace(), content, terminate_on_end=on_end)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1500)  # 23 rows: episodes are divided
    rows = read(READER, write(tmp_path / "x.hdf5", content), tmp_path, terminate_on_end=str(on_end).lower())
    assert_same(rows, expected, 200)
    assert max(rows.lengths) == 23


@pytest.mark.parametrize("on_end", [False, True])
@pytest.mark.parametrize("limit", [2, 7, 25, 500])
@pytest.mark.parametrize("terminals", [(), (5, 13, 60, 61, 140), (0, 1, 6, 7, 13, 14, 31, 199)])
def test_without_timeouts_the_time_limit_counts_as_there(real, tmp_path, on_end, limit, terminals):
    content = arrays(terminals=terminals, timeouts=None)
    env = SimpleNamespace(_max_episode_steps=limit)
    expected = real.qlearning_dataset(env, content, terminate_on_end=on_end)
    path = write(tmp_path / "x.hdf5", content)
    options = {"terminate_on_end": str(on_end).lower(), "max_episode_steps": str(limit)}
    assert_same(read(READER, path, tmp_path, **options), expected, 200 * (0.4 if limit == 2 else 0.8))


def test_the_time_limit_of_a_named_dataset_is_known(real, tmp_path):
    content = arrays(rows=900, terminals=(100,), timeouts=None)
    expected = real.qlearning_dataset(SimpleNamespace(_max_episode_steps=280), content)
    name = "mini_kitchen_microwave_kettle_light_slider-v0.hdf5"
    rows = read(READER, write(tmp_path / name, content), tmp_path)
    assert_same(rows, expected, 900)
    assert rows.plan.provenance["time_limit_steps"] == 280


def test_episodes_are_whole_and_returns_count_the_dropped_step(tmp_path):
    content = arrays()
    rows = read(READER, write(tmp_path / "x.hdf5", content), tmp_path)
    # Ends are 20, 21, 40, 60, 100 and 140; the rest is open. Episode 21 is one step, a terminal one.
    assert [block.complete for block in rows.blocks] == [True] * 6 + [False]
    assert rows.lengths == [21, 1, 18, 20, 39, 39, 58]
    assert [block.record for block in rows.blocks] == [0, 21, 22, 41, 61, 101, 141]
    assert rows.blocks[2].episode_return == pytest.approx(content["rewards"][22:41].sum(dtype=np.float64))
    assert all(block.rows for block in rows.blocks)


def registered_limits(real):
    """max_episode_steps as the package's source registers them: most of its environments cannot be imported."""
    limits, mujoco = {}, set()
    for path in Path(real.__file__).parent.glob("*/__init__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "register":
                values = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                limits[values["id"]] = values["max_episode_steps"]
                if path.parent.name == "gym_mujoco":
                    mujoco.add(values["max_episode_steps"])
    (limits["any mujoco"],) = mujoco  # versions 1 and 2 are registered by a loop
    return limits


def test_an_unknown_reward_of_a_left_out_step_leaves_the_return_out(tmp_path):
    content = arrays()
    content["rewards"][40] = np.nan
    dataset = import_dataset("d4rl", str(write(tmp_path / "x.hdf5", content)), tmp_path / "datasets" / "x")
    assert dataset.manifest.episodes == 5
    assert np.isfinite(dataset.manifest.mean_return)


def test_names_scores_and_limits_are_those_of_d4rl(real):
    infos = importlib.import_module("d4rl.infos")
    limits = registered_limits(real)
    assert len(d4rl_names.names()) > 70
    for name in d4rl_names.names():
        entry = d4rl_names.by_name(name)
        assert entry.url == infos.DATASET_URLS[name], name
        assert entry.score.low == infos.REF_MIN_SCORE[name], name
        assert entry.score.high == infos.REF_MAX_SCORE[name], name
        key = "any mujoco" if entry.env_ids[0].startswith("mujoco/") else name
        assert entry.max_episode_steps == limits[key], name


def test_other_names_come_from_the_package(real, monkeypatch):
    limits = registered_limits(real)
    for name in ("pen-human-v0", "hammer-cloned-v0", "maze2d-umaze-v1", "maze2d-large-dense-v1"):
        entry = d4rl_names.by_name(name)
        assert entry.url.startswith(d4rl_names.HOST)
        assert entry.max_episode_steps == limits[name], name
    monkeypatch.setattr(d4rl_names, "_package", lambda: None)
    with pytest.raises(DatasetError, match=r"pip install --no-deps d4rl==1\.1 gym==0\.23\.1"):
        d4rl_names.by_name("pen-human-v1")
    with pytest.raises(DatasetError, match="Did you mean halfcheetah-medium-v2"):
        READER.locate("halfcheeta-medium-v2", {})


def test_a_name_becomes_an_address_at_the_host_or_a_mirror(tmp_path):
    address = READER.locate("hopper-medium-replay-v2", {})
    assert address == d4rl_names.HOST + "gym_mujoco_v2/hopper_medium_replay-v2.hdf5"
    there = READER.locate("hopper-medium-replay-v2", {"mirror": "https://mirror.example/d4rl/"})
    assert there == "https://mirror.example/d4rl/gym_mujoco_v2/hopper_medium_replay-v2.hdf5"
    assert READER.locate(str(tmp_path), {}) == str(tmp_path)


@pytest.mark.parametrize(
    ("file", "width", "actions", "env"),
    [
        ("hopper_medium-v2.hdf5", 11, 3, "mujoco/Hopper"),
        ("halfcheetah_random-v2.hdf5", 17, 6, "mujoco/HalfCheetah"),
        ("walker_mixed.hdf5", 17, 6, "mujoco/Walker2d"),
        ("ant_medium_expert-v2.hdf5", 111, 8, "mujoco/AntD4RL"),
        (
            "Ant_maze_big-maze_noisy_multistart_True_multigoal_False_sparse.hdf5",
            29,
            8,
            "robotics/antmaze-medium-play",
        ),
        ("kitchen_microwave_kettle_bottomburner_light-v0.hdf5", 60, 9, "robotics/kitchen-mixed"),
        ("hopper_medium-v1.hdf5", 12, 3, "d4rl/hopper-medium-v1"),
        ("mine.hdf5", 11, 3, "d4rl/mine"),
    ],
)
def test_the_environment_is_ours_where_the_data_fit_it(tmp_path, file, width, actions, env):
    content = arrays(rows=10, width=width, actions=actions, terminals=(4,), timeouts=())
    rows = read(READER, write(tmp_path / file, content), tmp_path)
    assert rows.spec.env_id == env
    assert rows.spec.observation_shape == (width,)
    assert (rows.plan.provenance["no_evaluation_because"] is not None) == (env == "d4rl/hopper-medium-v1")
    if file != "mine.hdf5":
        assert rows.spec.score_reference is not None


def test_an_environment_that_does_not_fit_is_refused(tmp_path):
    path = write(tmp_path / "x.hdf5", arrays(rows=10, terminals=(), timeouts=()))
    assert read(READER, path, tmp_path, env="mujoco/Hopper").spec.env_id == "mujoco/Hopper"
    with pytest.raises(
        DatasetError, match=r"mujoco/Walker2d has observations of shape \(17,\), the data \(11,\)"
    ):
        READER.plan(source(path, tmp_path), {"env": "mujoco/Walker2d"})
    with pytest.raises(DatasetError, match="unknown environment 'mujoco/Hoper'"):
        READER.plan(source(path, tmp_path), {"env": "mujoco/Hoper"})


def test_actions_are_clipped_only_on_demand(tmp_path):
    content = arrays(rows=10, terminals=(), timeouts=())
    content["actions"][3] = 1.5
    path = write(tmp_path / "x.hdf5", content)
    assert read(READER, path, tmp_path).action.max() == 1.5
    assert read(READER, path, tmp_path, clip_actions="true").action.max() == 1


def test_a_truncated_file_is_named(tmp_path):
    path = write(tmp_path / "cut.hdf5", arrays(rows=2000, terminals=(), timeouts=()))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DatasetError, match=r"cut\.hdf5 cannot be opened as HDF5.*fetch the file again"):
        READER.plan(source(path, tmp_path), {})


def test_damage_inside_a_file_names_the_key_and_the_rows(tmp_path):
    path = write(tmp_path / "x.hdf5", arrays(rows=50, terminals=(), timeouts=()))
    with h5py.File(path, "r") as file:
        chunk = file["actions"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\x00" * chunk.size
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.hdf5: key 'actions' is damaged in rows 0 to 50"):
        read(READER, path, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("terminals"), "no array 'terminals', only actions, observations"),
        (lambda c: c.update(rewards=c["rewards"][:-1]), "key 'observations' has 50 rows, 'rewards' has 49"),
        (lambda c: c.update(rewards=np.zeros((50, 2))), r"key 'rewards' has rows of shape \(2,\)"),
        (
            lambda c: c.update(actions=np.array([b"left"] * 50)),
            r"key 'actions' is \|S4; it must hold numbers",
        ),
        (lambda c: c.update(observations=np.zeros(50)), r"key 'observations' has shape \(50,\)"),
        (lambda c: c.update({k: v[:1] for k, v in c.items()}), "has 1 rows: a transition takes two"),
        (lambda c: c.pop("timeouts"), "no key 'timeouts'.*option max_episode_steps"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    content = arrays(rows=50, terminals=(), timeouts=())
    change(content)
    with pytest.raises(DatasetError, match=f"x.hdf5.*{message}"):
        READER.plan(source(write(tmp_path / "x.hdf5", content), tmp_path), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terminate_at_end": "true"}, "no option 'terminate_at_end'. Did you mean 'terminate_on_end'"),
        ({"terminate_on_end": "yes"}, "terminate_on_end is 'yes'; it must be true or false"),
        ({"max_episode_steps": "0"}, "max_episode_steps is '0'; it must be a whole number from 1 on"),
        ({"dataset": "hopper-v2"}, "'hopper-v2' is neither a file"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    path = write(tmp_path / "x.hdf5", arrays(rows=10, terminals=(), timeouts=()))
    with pytest.raises(DatasetError, match=message):
        READER.plan(source(path, tmp_path), options)


def test_a_folder_must_hold_exactly_one_file(tmp_path):
    with pytest.raises(DatasetError, match="must be one HDF5 file or hold exactly one; found none"):
        READER.plan(source(tmp_path, tmp_path), {})
    for name in ("a.hdf5", "b.hdf5"):
        write(tmp_path / name, arrays(rows=10, terminals=(), timeouts=()))
    with pytest.raises(DatasetError, match=r"found a\.hdf5, b\.hdf5\. Give the file itself"):
        READER.plan(source(tmp_path, tmp_path), {})


def test_an_import_is_whole(tmp_path):
    content = arrays(width=11)
    path = write(tmp_path / "hopper_medium-v2.hdf5", content)
    dataset = import_dataset("d4rl", str(path), tmp_path / "datasets" / "x")
    rows = read(READER, path, tmp_path)
    every = np.arange(len(dataset))
    np.testing.assert_array_equal(dataset.observations(every), rows.s)
    np.testing.assert_array_equal(dataset.observations(every, following=True), rows.s_next)
    np.testing.assert_array_equal(dataset.arrays["action"], rows.action)
    assert dataset.spec.env_id == "mujoco/Hopper"
    assert dataset.manifest.episodes == 6
    ends, begin, returns = (20, 21, 40, 60, 100, 140), 0, []
    for end in ends:
        returns.append(content["rewards"][begin : end + 1].sum(dtype=np.float64))
        begin = end + 1
    assert dataset.manifest.mean_return == pytest.approx(np.mean(returns))
    # A row is a frame; the frame behind each episode is stored with it.
    assert len(dataset.arrays["frames"]) <= 200 + 7
    dataset.verify()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rewards", np.nan, "record 50, key 'rewards': nan is not a finite number"),
        ("observations", np.inf, "record 50, key 'observations': inf is not a finite number"),
        (
            "actions",
            -1.5,
            r"record 50, key 'actions': component -1.5 is outside \[-1.0, 1.0\] of mujoco/Hopper",
        ),
    ],
)
def test_a_bad_row_is_named_and_can_be_skipped(tmp_path, key, value, message):
    content = arrays(width=11)
    content[key][50] = value
    path = write(tmp_path / "hopper_medium-v2.hdf5", content)
    with pytest.raises(DatasetError, match=rf"hopper_medium-v2\.hdf5.*, {message}"):
        import_dataset("d4rl", str(path), tmp_path / "datasets" / "x")
    assert not (tmp_path / "datasets" / "x").exists()
    good = len(
        read(READER, write(tmp_path / "good" / "hopper_medium-v2.hdf5", arrays(width=11)), tmp_path).reward
    )
    kept = import_dataset("d4rl", str(path), tmp_path / "datasets" / "x", skip_bad_records=1)
    assert len(kept) == good - (2 if key == "observations" else 1)
    assert kept.manifest.provenance["import"]["bad_records"]["count"] == 1


def test_an_import_goes_on_from_the_rows_it_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART_ROWS", 50)
    content = arrays(width=11)
    content["rewards"][150] = np.nan
    path = write(tmp_path / "hopper_medium-v2.hdf5", content)
    with pytest.raises(DatasetError, match="rows 141 to 199, record 150"):
        import_dataset("d4rl", str(path), tmp_path / "datasets" / "x")
    resumed = import_dataset("d4rl", str(path), tmp_path / "datasets" / "x", skip_bad_records=1)
    fresh = import_dataset("d4rl", str(path), tmp_path / "datasets" / "y", skip_bad_records=1)
    assert resumed.manifest.provenance["import"]["processes"] == 2
    assert resumed.fingerprint == fresh.fingerprint


def test_a_name_is_fetched_from_a_mirror(tmp_path):
    content = arrays(width=17, actions=6)
    path = write(tmp_path / "www" / "halfcheetah_medium-v2.hdf5", content)
    (tmp_path / "www" / "gym_mujoco_v2").mkdir()
    path.rename(tmp_path / "www" / "gym_mujoco_v2" / path.name)
    with served(tmp_path / "www") as (address, _):
        options = {"mirror": address}
        target = tmp_path / "root" / "datasets" / "x"
        fetched = import_dataset("d4rl", "halfcheetah-medium-v2", target, options=options)
    here = import_dataset(
        "d4rl", str(tmp_path / "www" / "gym_mujoco_v2"), tmp_path / "root" / "datasets" / "y"
    )
    assert fetched.fingerprint == here.fingerprint
    assert fetched.spec.env_id == "mujoco/HalfCheetah"
    assert fetched.manifest.provenance["import"]["source"].startswith(address)
