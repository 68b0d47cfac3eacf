"""Datasets on disk: content, damage, and makers that die."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from agents.data import Dataset, DatasetWriter, list_datasets, read_manifest, verify
from agents.environments import describe
from agents.errors import AgentError, DatasetError

CATCH = describe("bsuite/catch/0")
PONG = describe("atari/Pong")


def write(path, transitions=30, scale=1.0, environment=CATCH, provenance=None):
    """A dataset of short episodes with recognisable values: frame i is full of i, rewards count up."""
    with DatasetWriter(path, environment, transitions) as writer:
        stack = environment.frame_stack
        values = np.arange(transitions + 1)
        frames = np.ones((transitions + 1, *environment.frame_shape)) * values.reshape(
            -1, *[1] * len(environment.frame_shape)
        )
        numbers = writer.add_frames((frames * scale).astype(environment.observation_dtype))
        index = np.stack(
            [numbers[np.maximum(np.arange(transitions) - stack + k + 1, 0)] for k in range(stack + 1)]
        )
        writer.add_transitions(
            index.T.astype(np.int32),
            (np.arange(transitions) % 3).astype(np.int32),
            np.arange(transitions, dtype=np.float32),
            (np.arange(transitions) % 9 != 8).astype(np.float32),
            (np.arange(transitions) // 9).astype(np.int32),
        )
        return writer.finish(transitions // 9, 1.5, provenance or {"made by": "a test"})


def test_what_was_written_is_read_back(tmp_path):
    written = write(tmp_path / "datasets" / "catch")
    dataset = Dataset.open(tmp_path / "datasets" / "catch", verify=True)
    assert (len(dataset), dataset.name, dataset.spec) == (30, "catch", CATCH)
    assert dataset.fingerprint == written.fingerprint
    data = dataset.transitions
    assert len(data) == 30
    assert data.frames.dtype == torch.float32
    assert data.frames.shape == (31, 50)
    assert data.frame_index.dtype == data.action.dtype == data.subset_order.dtype == torch.int32
    np.testing.assert_array_equal(data.reward, np.arange(30))
    np.testing.assert_array_equal(data.discount[:10], [1, 1, 1, 1, 1, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(dataset.observations(np.array([4]))[0], np.full(50, 4))
    np.testing.assert_array_equal(dataset.observations(np.array([4]), following=True)[0], np.full(50, 5))
    assert dataset.manifest.provenance == {"made by": "a test"}
    assert (dataset.manifest.episodes, dataset.manifest.mean_return) == (3, 1.5)
    assert dataset.manifest.size_bytes == 31 * 50 * 4 + 30 * (2 + 5) * 4


def test_files_are_plain_npy_of_exactly_the_size_of_their_rows(tmp_path):
    write(tmp_path / "catch")
    for name, shape in {"frames": (31, 50), "frame_index": (30, 2), "reward": (30,)}.items():
        array = np.load(tmp_path / "catch" / f"{name}.npy")
        assert array.shape == shape
        assert (tmp_path / "catch" / f"{name}.npy").stat().st_size == 128 + array.nbytes


def test_images_keep_a_black_frame_for_padding_and_stack_oldest_first(tmp_path):
    dataset = write(tmp_path / "pong", environment=PONG)
    assert not dataset.arrays["frames"][0].any()
    stack = dataset.observations(np.array([10]), following=True)
    assert stack.shape == (1, 4, 84, 84)
    np.testing.assert_array_equal(stack[0, :, 0, 0], [8, 9, 10, 11])


def test_the_manifest_says_the_hash_of_each_arrays_values(tmp_path):
    dataset = write(tmp_path / "catch")
    info = json.loads((tmp_path / "catch" / "dataset.json").read_text())["arrays"]["reward"]
    assert info["dtype"] == "<f4"
    assert info["sha256"] == hashlib.sha256(np.arange(30, dtype="<f4").tobytes()).hexdigest()
    assert dataset.manifest.arrays["reward"].sha256 == info["sha256"]


def test_the_fingerprint_stands_for_content_and_environment_and_for_nothing_else(tmp_path):
    one = write(tmp_path / "one").fingerprint
    assert write(tmp_path / "two", provenance={"machine": "another"}).fingerprint == one
    assert write(tmp_path / "three", scale=1.5).fingerprint != one
    elsewhere = CATCH.model_copy(update={"env_id": "bsuite/catch/1"})
    assert write(tmp_path / "four", environment=elsewhere).fingerprint != one
    # Pinned: a change of it would make every trial ever run look new.
    assert one == GOLDEN_FINGERPRINT


GOLDEN_FINGERPRINT = "16b5a1b9d20bbcdf512133ad38feb4ef979073d8e7e486975f27787a0826a076"


def test_the_subset_order_is_a_fixed_permutation(tmp_path):
    order = write(tmp_path / "one", 100).arrays["subset_order"]
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    np.testing.assert_array_equal(order, write(tmp_path / "two", 100, scale=2).arrays["subset_order"])
    assert (order != np.arange(100)).sum() > 80


def test_probe_transitions_are_fixed_by_the_content(tmp_path):
    dataset = write(tmp_path / "one", 2000)
    probe = dataset.probe_indices()
    assert probe.dtype == np.int64
    assert len(np.unique(probe)) == len(probe) == 512
    assert (np.diff(probe) > 0).all()
    assert probe.min() >= 0
    assert probe.max() < 2000
    np.testing.assert_array_equal(probe, write(tmp_path / "two", 2000).probe_indices())
    assert (probe != write(tmp_path / "three", 2000, scale=2).probe_indices()).any()
    np.testing.assert_array_equal(write(tmp_path / "small", 20).probe_indices(), np.arange(20))


def test_writing_through_a_tensor_does_not_reach_the_file(tmp_path):
    dataset = write(tmp_path / "catch")
    dataset.transitions.reward[3] = -99
    assert Dataset.open(tmp_path / "catch", verify=True).transitions.reward[3] == 3


def test_live_tensors_show_what_is_written_after_they_were_taken(tmp_path):
    with DatasetWriter(tmp_path / "catch", CATCH, 10) as writer:
        live = writer.transitions
        numbers = writer.add_frames(np.full((2, 50), 7, np.float32))
        writer.add_transitions(
            numbers[None], np.array([2], np.int32), np.array([0.5], np.float32),
            np.array([1], np.float32), np.array([0], np.int32),
        )  # fmt: skip
        assert writer.filled == 1
        assert live.action[0] == 2
        assert (live.frames[live.frame_index[0].long()] == 7).all()


@pytest.mark.parametrize(
    "name", ["frames", "frame_index", "action", "reward", "discount", "episode", "subset_order"]
)
def test_a_flipped_bit_is_found_by_verify_and_the_array_named(tmp_path, name):
    write(tmp_path / "catch")
    verify(tmp_path / "catch")
    file = tmp_path / "catch" / f"{name}.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    Dataset.open(tmp_path / "catch")
    with pytest.raises(
        DatasetError, match=rf"{name}\.npy is damaged: .* delete .* collect the dataset again"
    ):
        verify(tmp_path / "catch")


@pytest.mark.parametrize("harm", ["truncated", "not an array", "a pickle", "missing", "another shape"])
def test_a_harmed_array_is_named_when_the_dataset_is_opened(tmp_path, harm):
    write(tmp_path / "catch")
    file = tmp_path / "catch" / "reward.npy"
    if harm == "truncated":
        os.truncate(file, file.stat().st_size - 40)
    elif harm == "not an array":
        file.write_bytes(b"reward")
    elif harm == "a pickle":
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    elif harm == "missing":
        file.unlink()
    else:
        np.save(file, np.zeros(31, np.float32))
    with pytest.raises(DatasetError, match=r"reward\.npy (is|holds) .*(missing|damaged|recorded)"):
        Dataset.open(tmp_path / "catch")


def edit_manifest(path, edit):
    content = json.loads((path / "dataset.json").read_text())
    edit(content)
    (path / "dataset.json").write_text(json.dumps(content))


def test_an_array_whose_shape_does_not_fit_the_environment_is_named(tmp_path):
    write(tmp_path / "catch")
    edit_manifest(tmp_path / "catch", lambda content: content["environment"].update(observation_shape=[6]))
    with pytest.raises(
        DatasetError, match=r"array 'frames' is <f4 of shape \(31, 50\).* need <f4 of shape \(31, 6\)"
    ):
        Dataset.open(tmp_path / "catch")


def test_a_missing_array_in_the_manifest_is_named(tmp_path):
    write(tmp_path / "catch")
    edit_manifest(tmp_path / "catch", lambda content: content["arrays"].pop("discount"))
    with pytest.raises(DatasetError, match="no array 'discount'"):
        Dataset.open(tmp_path / "catch")


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    write(tmp_path / "catch")
    edit_manifest(tmp_path / "catch", lambda content: content.update(format_version=99, novelty=1))
    with pytest.raises(DatasetError, match=r"format_version 99 is newer than 2.*Upgrade rankscope"):
        read_manifest(tmp_path / "catch")


def test_a_damaged_manifest_names_its_field_and_is_listed_with_its_problem(tmp_path):
    write(tmp_path / "datasets" / "good")
    write(tmp_path / "datasets" / "bad")
    (tmp_path / "datasets" / "empty").mkdir()
    (tmp_path / "datasets" / ".making-x").mkdir()
    edit_manifest(tmp_path / "datasets" / "bad", lambda content: content.update(transitions="many"))
    with pytest.raises(DatasetError, match=r"dataset\.json is damaged: transitions: "):
        read_manifest(tmp_path / "datasets" / "bad")
    bad, empty, good = list_datasets(tmp_path)
    assert (bad.name, empty.name, good.name) == ("bad", "empty", "good")
    assert bad.manifest is None
    assert "is damaged" in bad.problem
    assert "is not a dataset" in empty.problem
    assert good.problem is None
    assert good.manifest.transitions == 30
    assert list_datasets(tmp_path / "nowhere") == []


def test_a_missing_dataset_is_refused_with_those_that_are_there(tmp_path):
    write(tmp_path / "catch-dqn")
    with pytest.raises(
        DatasetError, match=r"no dataset 'catch-dnq'.*Did you mean 'catch-dqn'.*sweep data collect"
    ):
        Dataset.open(tmp_path / "catch-dnq")
    with pytest.raises(AgentError, match="Datasets there: none"):
        Dataset.open(tmp_path / "nowhere" / "catch")


@pytest.mark.parametrize("name", ["..", "Catch", "a/../b c", "", ".hidden", "x" * 65])
def test_names_that_could_leave_the_root_are_refused(tmp_path, name):
    with pytest.raises(DatasetError, match="is not allowed: use 1 to 64"):
        DatasetWriter(f"{tmp_path}/datasets/{name}" if name else "/", CATCH, 5)


def test_an_existing_dataset_is_not_replaced(tmp_path):
    before = write(tmp_path / "catch").fingerprint
    with pytest.raises(DatasetError, match=r"'catch' exists already.*Choose another name, or delete"):
        write(tmp_path / "catch", scale=3)
    assert Dataset.open(tmp_path / "catch", verify=True).fingerprint == before


def test_an_empty_dataset_is_refused_and_leaves_nothing(tmp_path):
    with (
        DatasetWriter(tmp_path / "catch", CATCH, 5) as writer,
        pytest.raises(DatasetError, match="no transition"),
    ):
        writer.finish(0, None, {})
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_making_leaves_nothing(tmp_path):
    def fail():
        with DatasetWriter(tmp_path / "catch", CATCH, 5) as writer:
            writer.add_frames(np.zeros((1, 50), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    pwrite = os.pwrite

    def no_room(descriptor, data, offset):
        # The owner's name in the lock file is short; rows are not.
        if len(data) > 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", no_room)
    with pytest.raises(DatasetError, match=r"no room for frames\.npy .*No space left.*free some space"):
        write(tmp_path / "catch")
    assert list(tmp_path.iterdir()) == []


MAKER = """
    import sys, time, numpy as np
    from agents.data import DatasetWriter
    from agents.environments import describe
    with DatasetWriter(sys.argv[1], describe("bsuite/catch/0"), 1000) as writer:
        writer.add_frames(np.ones((500, 50), np.float32))
        print("half", flush=True)
        time.sleep(60)
"""


def test_kill_9_while_making_leaves_nothing_visible_and_the_next_make_succeeds(tmp_path):
    path = tmp_path / "datasets" / "catch"
    maker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(MAKER), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout.readline() == "half\n"
    with pytest.raises(DatasetError, match=rf"'catch' is being made by process {maker.pid} on .*Wait until"):
        write(path)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    maker.stdout.close()
    assert list_datasets(tmp_path) == []
    assert not path.exists()
    assert any((tmp_path / "datasets").iterdir()), "the killed maker should have left something to clean up"
    write(path)
    assert [child.name for child in (tmp_path / "datasets").iterdir()] == ["catch"]
    verify(path)


def test_manifests_are_read_without_torch(tmp_path):
    write(tmp_path / "datasets" / "catch")
    code = (
        "import sys; from agents.data import Manifest, list_datasets, read_manifest;"
        f"print(list_datasets({str(tmp_path)!r})[0].manifest.transitions, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["30", "False"]
