"""COG's buffers, written as roboverse writes them and compared with what COG's own loader would train on."""

import os
import pickle

import numpy as np
import pytest
from read_blocks import read, source

from agents.data.importers.cog import READER
from agents.data.importers.engine import import_dataset
from agents.errors import DatasetError


def trajectory(random, steps, joined=True):
    """One as scripted_collect.py fills it: a picture and the arm's state before and after each step."""

    def seen():
        return {"state": random.normal(size=10), "image": random.integers(0, 256, (48, 48, 3), np.uint8)}

    traj = {key: [] for key in ("observations", "actions", "rewards", "next_observations", "terminals")}
    traj |= {"agent_infos": [], "env_infos": []}
    observation = seen()
    for step in range(steps):
        following = seen()
        traj["observations"].append(observation)
        traj["next_observations"].append(following)
        traj["actions"].append(np.clip(random.normal(size=7), -0.9, 0.9))
        traj["rewards"].append(float(step == steps - 1))
        traj["terminals"].append(False)
        traj["agent_infos"].append({"done": False})
        traj["env_infos"].append({"grasp_success": np.bool_(step > 2), "target": np.zeros(3)})
        # Rendered anew before each step, as there, so that it is another object of the same content.
        observation = {key: value.copy() for key, value in following.items()} if joined else seen()
    return traj


def trajectories(seed=0, lengths=(4, 1, 6), joined=True):
    random = np.random.default_rng(seed)
    return [trajectory(random, length, joined) for length in lengths]


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, data)
    return path


def both(tmp_path):
    prior, task = trajectories(1), trajectories(2, (3, 5))
    write(tmp_path / "cog" / "closed_drawer_prior.npy", prior)
    write(tmp_path / "cog" / "drawer_task.npy", task)
    return tmp_path / "cog", prior, task


def loaded(data, zero=False):
    """What avisingh599/cog's load_buffer.py puts into its replay buffer, pixels not yet divided by 255."""
    steps = [(traj, at) for traj in data for at in range(len(traj["actions"]))]
    picture = lambda traj, key, at: traj[key][at]["image"].transpose(2, 0, 1)  # noqa: E731
    return {
        "s": np.array([picture(traj, "observations", at) for traj, at in steps]),
        "s_next": np.array([picture(traj, "next_observations", at) for traj, at in steps]),
        "action": np.array([traj["actions"][at] for traj, at in steps]),
        "reward": np.array([0.0 if zero else traj["rewards"][at] for traj, at in steps]),
        "discount": np.array([1.0 - traj["terminals"][at] for traj, at in steps]),
    }


def assert_same(rows, *parts):
    for name in parts[0]:
        np.testing.assert_array_equal(
            getattr(rows, name), np.concatenate([part[name] for part in parts]), name
        )


def test_prior_and_task_are_what_cog_trains_on(tmp_path):
    folder, prior, task = both(tmp_path)
    rows = read(READER, folder, tmp_path)
    assert_same(rows, loaded(prior, zero=True), loaded(task))
    assert rows.columns["prior"].tolist() == [1] * 11 + [0] * 8
    assert rows.lengths == [4, 1, 6, 3, 5]
    assert all(block.complete for block in rows.blocks)
    states = [
        traj["observations"][at]["state"] for traj in prior + task for at in range(len(traj["actions"]))
    ]
    np.testing.assert_array_equal(rows.extras["state"], np.array(states))
    spec = rows.spec
    assert (spec.env_id, spec.observation_shape, spec.observation_dtype) == (
        "cog/drawer_task",
        (3, 48, 48),
        "uint8",
    )
    assert (spec.action_shape, spec.num_actions) == ((7,), 0)


def test_the_prior_rewards_can_be_those_logged(tmp_path):
    folder, prior, task = both(tmp_path)
    assert_same(read(READER, folder, tmp_path, prior_rewards="logged"), loaded(prior), loaded(task))


def test_one_file_and_named_files(tmp_path):
    folder, prior, task = both(tmp_path)
    write(folder / "pickplace_task.npy", trajectories(3))
    with pytest.raises(
        DatasetError, match=r"found closed_drawer_prior\.npy, drawer_task\.npy, pickplace_task\.npy"
    ):
        READER.plan(source(folder, tmp_path), {})
    chosen = {"prior": "closed_drawer_prior.npy", "task": "drawer_task.npy"}
    assert_same(read(READER, folder, tmp_path, **chosen), loaded(prior, zero=True), loaded(task))
    assert_same(read(READER, folder, tmp_path, task="drawer_task.npy"), loaded(task))
    assert_same(read(READER, folder / "drawer_task.npy", tmp_path), loaded(task))
    rows = read(READER, folder / "drawer_task.npy", tmp_path, env="Widow250PickTray-v0")
    assert rows.spec.env_id == "cog/Widow250PickTray-v0"
    with pytest.raises(
        DatasetError, match=r"option prior: .* holds no x\.npy\. Its npy files are closed_drawer_prior"
    ):
        READER.plan(source(folder, tmp_path), {"prior": "x.npy"})


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_of_other_numpy_versions(tmp_path, protocol):
    data = trajectories()
    path = tmp_path / "task.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": (len(data),)}
        )
        array = np.array(data, object)
        content = pickle.dumps(array, protocol)
        if protocol == 2:
            content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        file.write(content)
    assert_same(read(READER, path, tmp_path), loaded(data))


def test_a_trajectory_whose_steps_do_not_join_is_cut(tmp_path):
    data = trajectories(joined=False)
    rows = read(READER, write(tmp_path / "task.npy", data), tmp_path)
    assert_same(rows, loaded(data))
    assert rows.lengths == [1] * 11
    assert [block.complete for block in rows.blocks] == [False] * 4 + [True] + [False] * 6


def test_states_in_place_of_pictures(tmp_path):
    data = trajectories()
    rows = read(READER, write(tmp_path / "task.npy", data), tmp_path, observation="state")
    np.testing.assert_array_equal(rows.s[:4], np.array([one["state"] for one in data[0]["observations"]]))
    assert (rows.spec.observation_shape, rows.spec.observation_dtype) == ((10,), "float32")
    assert rows.spec.extras == {}


def test_an_import_is_whole(tmp_path):
    folder, _, _ = both(tmp_path)
    dataset = import_dataset("cog", str(folder), tmp_path / "datasets" / "x")
    assert (len(dataset), dataset.manifest.episodes) == (19, 5)
    assert dataset.manifest.mean_return == pytest.approx(2 / 5)
    assert dataset.arrays["frames"].shape == (19 + 5, 3, 48, 48)
    assert dataset.arrays["extra_state"].shape == (24, 10)
    dataset.verify()


class Runs:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_a_malicious_file_is_refused_and_nothing_ran(tmp_path):
    trace, data = tmp_path / "trace", trajectories()
    data[1]["env_infos"][0]["extra"] = Runs(trace)
    path = write(tmp_path / "task.npy", data)
    with pytest.raises(
        DatasetError, match=r"task\.npy, record 1: the pickle holds posix\.system.*nothing was run"
    ):
        import_dataset("cog", str(path), tmp_path / "datasets" / "x", skip_bad_records=100)
    assert not trace.exists()
    assert not (tmp_path / "datasets" / "x").exists()
    np.load(path, allow_pickle=True)  # the danger is real
    assert trace.exists()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_named_and_nothing_appears(tmp_path, share):
    path = write(tmp_path / "task.npy", trajectories())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        DatasetError, match=r"task\.npy, record \d: the pickle holds damage.*cut short, fetch it again"
    ):
        import_dataset("cog", str(path), tmp_path / "datasets" / "x")
    assert not (tmp_path / "datasets" / "x").exists()


def remove(key):
    return lambda traj: traj.pop(key)


def shorten(key):
    return lambda traj: traj.update({key: traj[key][:-1]})


def put(key, place, value):
    return lambda traj: traj[key].__setitem__(place, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("terminals"), "key 'terminals': is missing; there are actions"),
        (shorten("rewards"), "key 'rewards': has 5 entries beside 6 actions"),
        (put("rewards", 2, float("nan")), "key 'rewards': nan is not a finite number"),
        (put("rewards", 2, "much"), "key 'rewards': holds <U"),
        (put("rewards", 2, None), "key 'rewards': holds object, not numbers"),
        (put("actions", 2, np.full(7, 1.5)), r"key 'actions': component 1\.5 is outside \[-1\.0, 1\.0\]"),
        (put("actions", 2, np.zeros(6)), "key 'actions': holds no numbers of one shape"),
        (
            put("observations", 2, {"state": np.zeros(10)}),
            "key 'observations': entry 2 has no key 'image', only state",
        ),
        (
            put("next_observations", 2, {"image": np.zeros((64, 64, 3), np.uint8), "state": np.zeros(10)}),
            "key 'next_observations': holds no numbers of one shape",
        ),
        (
            lambda traj: [one.update(image=one["image"] / 255) for one in traj["observations"]],
            "'image' is float64",
        ),
    ],
)
def test_a_bad_trajectory_is_named_and_can_be_skipped(tmp_path, change, message):
    data = trajectories()
    change(data[2])
    path = write(tmp_path / "task.npy", data)
    with pytest.raises(DatasetError, match=rf"task\.npy, record 2, .*{message}"):
        import_dataset("cog", str(path), tmp_path / "datasets" / "x")
    assert len(import_dataset("cog", str(path), tmp_path / "datasets" / "x", skip_bad_records=1)) == 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros(5), r"task\.npy holds float64 of shape \(5,\); a list of trajectories"),
        ([{"other": 1}], r"task\.npy holds 0 trajectories .* 1 are promised"),
        (
            [{"observations": [{"picture": np.zeros(3)}], "actions": [np.zeros(7)]}],
            "no key 'image', only picture",
        ),
        ([{"observations": [], "actions": []}], "record 0, key 'observations': is empty"),
        (
            [{"observations": [{"image": np.zeros((4, 4, 3))}], "actions": [np.zeros(7)]}],
            "images are float64",
        ),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, data, message):
    with pytest.raises(DatasetError, match=message):
        READER.plan(source(write(tmp_path / "task.npy", data), tmp_path), {})


def test_other_files_and_options_are_refused(tmp_path):
    (tmp_path / "task.npy").write_bytes(b"no npy")
    with pytest.raises(DatasetError, match=r"task\.npy is no npy file"):
        READER.plan(source(tmp_path / "task.npy", tmp_path), {})
    with pytest.raises(DatasetError, match="prior_rewards is 'one'; it must be one of zero, logged"):
        READER.plan(source(tmp_path / "task.npy", tmp_path), {"prior_rewards": "one"})


def test_parts_of_different_shape_are_not_mixed(tmp_path):
    folder, _, _ = both(tmp_path)
    small = trajectories(3)
    for traj in small:
        traj["actions"] = [action[:6] for action in traj["actions"]]
    write(folder / "closed_drawer_prior.npy", small)
    with pytest.raises(DatasetError, match=r"actions of shape \(6,\).*Import them apart"):
        READER.plan(source(folder, tmp_path), {})
