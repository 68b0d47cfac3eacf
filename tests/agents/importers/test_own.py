"""Datasets of our own: copied whole, every hash compared, nothing visible that differs."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from file_servers import served

from agents.data import Dataset, DatasetWriter, read_manifest
from agents.data.importers.engine import import_dataset
from agents.environments import describe
from agents.errors import DatasetError

PONG = describe("atari/Pong")


@pytest.fixture
def original(tmp_path):
    with DatasetWriter(tmp_path / "there" / "pong", PONG, 20) as writer:
        frames = writer.add_frames(np.random.default_rng(0).integers(0, 256, (21, 84, 84), np.uint8))
        index = np.array([[max(t - back, -1) for back in (3, 2, 1, 0, -1)] for t in range(20)])
        writer.add_transitions(
            np.where(index < 0, 0, frames[np.maximum(index, 0)]).astype(np.int32), np.arange(20) % 6,
            np.arange(20, dtype=np.float32), np.ones(20, np.float32), np.zeros(20, np.int32),
        )  # fmt: skip
        return writer.finish(1, 190.0, {"made": "for a test"})


def copy(tmp_path, original, name="copy"):
    return import_dataset("rankscope", str(original.path), tmp_path / "here" / "datasets" / name)


def test_a_copy_is_the_same_dataset_under_another_name(tmp_path, original):
    dataset = copy(tmp_path, original)
    assert dataset.fingerprint == original.fingerprint
    assert dataset.manifest.name == "copy"
    for name in original.arrays:
        np.testing.assert_array_equal(dataset.arrays[name], original.arrays[name])
        # On one file system nothing is stored twice.
        assert (dataset.path / f"{name}.npy").samefile(original.path / f"{name}.npy")
    assert dataset.manifest.provenance["made"] == "for a test"
    assert dataset.manifest.provenance["copied"]["name"] == "pong"
    dataset.verify()
    shutil.rmtree(original.path)
    Dataset.open(dataset.path, verify=True)
    assert [path.name for path in (tmp_path / "here" / "datasets").iterdir()] == ["copy"]


def test_version_1_is_read_and_becomes_version_2(tmp_path, original):
    content = json.loads((original.path / "dataset.json").read_text())
    content["format_version"] = 1
    for key in ("action_shape", "action_low", "action_high", "extras", "other_score_references"):
        del content["environment"][key]
    del content["consecutive"]
    (original.path / "dataset.json").write_text(json.dumps(content))
    dataset = copy(tmp_path, original)
    assert dataset.fingerprint == original.fingerprint
    assert dataset.manifest.format_version == 2


def rewrite(original, change):
    content = json.loads((original.path / "dataset.json").read_text())
    change(content)
    (original.path / "dataset.json").write_text(json.dumps(content))


def refuses(tmp_path, original, message):
    with pytest.raises(DatasetError, match=message):
        copy(tmp_path, original)
    assert not list((tmp_path / "here" / "datasets").glob("*"))
    assert not list((tmp_path / "here" / "datasets").glob(".*"))


def test_damage_is_named(tmp_path, original):
    path = original.path / "reward.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refuses(tmp_path, original, r"there/pong/reward\.npy is damaged: its values have SHA-256")


def test_a_truncated_array_is_named(tmp_path, original):
    path = original.path / "frames.npy"
    path.write_bytes(path.read_bytes()[:-100])
    refuses(tmp_path, original, r"frames\.npy is damaged")
    path.write_bytes(b"")
    refuses(tmp_path, original, r"frames\.npy is damaged")


def test_a_missing_array_and_a_missing_manifest_are_named(tmp_path, original):
    (original.path / "action.npy").unlink()
    refuses(tmp_path, original, r"has no action\.npy, which its dataset\.json names")
    (original.path / "dataset.json").unlink()
    refuses(tmp_path, original, r"has no dataset\.json, so it is no dataset of rankscope")


def test_a_changed_manifest_is_named(tmp_path, original):
    rewrite(original, lambda content: content["environment"].update(env_id="atari/Boxing"))
    refuses(tmp_path, original, "records the fingerprint .* it was changed")
    rewrite(original, lambda content: content.update(transitions="many"))
    refuses(tmp_path, original, r"there/pong/dataset\.json is damaged: transitions")
    rewrite(original, lambda content: content.update(format_version=3))
    refuses(tmp_path, original, "format_version 3 is newer than 2")


def test_a_manifest_cannot_reach_other_files(tmp_path, original):
    def change(content):
        content["arrays"]["../../secret"] = content["arrays"]["reward"]
        arrays = [[n, a["dtype"], a["shape"], a["sha256"]] for n, a in sorted(content["arrays"].items())]
        text = json.dumps([content["environment"]["env_id"], arrays], separators=(",", ":"))
        content["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()

    rewrite(original, change)
    refuses(tmp_path, original, r"names an array '\.\./\.\./secret', which is no array's name")


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("frame_index", 7, 22, r"frame_index\.npy holds 22 in row 7, outside 0 to 21"),
        ("frame_index", 7, -1, r"frame_index\.npy holds -1 in row 7"),
        ("action", 3, 6, r"action\.npy holds 6 in row 3, outside 0 to 5"),
        ("reward", 3, np.nan, r"reward\.npy holds nan in row 3"),
        ("subset_order", 3, 20, r"subset_order\.npy holds 20 in row 3"),
        ("discount", 3, 1.5, r"discount\.npy holds 1\.5 in row 3"),
    ],
)
def test_numbers_that_lead_outside_are_named(tmp_path, original, name, row, value, message):
    """Hashes guard against accidents; a dataset of somebody else's can be wrong under a right hash."""
    array = np.load(original.path / f"{name}.npy")
    array[row] = value
    np.save(original.path / f"{name}.npy", array)

    def change(content):
        content["arrays"][name]["sha256"] = hashlib.sha256(array.tobytes()).hexdigest()
        arrays = [[n, a["dtype"], a["shape"], a["sha256"]] for n, a in sorted(content["arrays"].items())]
        text = json.dumps([content["environment"]["env_id"], arrays], separators=(",", ":"))
        content["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()

    rewrite(original, change)
    refuses(tmp_path, original, message)


def test_a_name_that_is_taken_or_not_allowed_is_refused(tmp_path, original):
    copy(tmp_path, original)
    with pytest.raises(DatasetError, match="'copy' exists already"):
        copy(tmp_path, original)
    with pytest.raises(DatasetError, match="dataset name 'Not Allowed' is not allowed"):
        import_dataset("rankscope", str(original.path), tmp_path / "here" / "datasets" / "Not Allowed")
    assert read_manifest(tmp_path / "here" / "datasets" / "copy").transitions == 20


def test_options_and_parts_are_refused(tmp_path, original):
    with pytest.raises(DatasetError, match="rankscope has no option 'env'"):
        import_dataset("rankscope", str(original.path), tmp_path / "x" / "d", options={"env": "atari/Pong"})
    with pytest.raises(DatasetError, match="copies a dataset as it is"):
        import_dataset("rankscope", str(original.path), tmp_path / "x" / "d", max_transitions=3)


def test_a_copy_over_http(tmp_path, original):
    with served(original.path.parent) as (address, _):
        dataset = import_dataset("rankscope", f"{address}/pong", tmp_path / "here" / "datasets" / "copy")
    assert dataset.fingerprint == original.fingerprint
    dataset.verify()
