"""Datasets of a root in a bucket: put up whole, found, fetched once a node, and never two of one name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from object_store import ObjectStore
from tiny_sweeps import DATASET, RECIPE

from agents.data import Dataset, DatasetWriter, list_datasets, read_manifest
from agents.data.manifest import dataset_exists
from agents.data.remote import verify_remote
from agents.environments import describe
from agents.errors import DatasetError
from search_spaces import DatasetRecipe
from sweep import dataset_upload
from sweep.dataset_making import being_made, make_dataset, open_dataset
from sweep.dataset_upload import made_in_place
from sweep.datasets import progress_file
from sweep.errors import StoreError
from sweep.node_folder import node_folder
from sweep.pack_progress import read_json
from sweep.store import files
from sweep.store.places import root_place

ROWS = 500


@pytest.fixture
def objects(object_store: ObjectStore) -> ObjectStore:
    return object_store


@pytest.fixture
def root(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "node"))
    return root_place(objects.fresh_root())


def another_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "other-node"))
    return tmp_path / "other-node"


def draw(path: Path, seed: int = 0) -> None:
    """A dataset of Catch's shape with drawn values."""
    numbers, spec = np.random.default_rng(seed), describe("bsuite/catch/0")
    with DatasetWriter(path, spec, ROWS) as writer:
        first = writer.add_frames(numbers.random((ROWS + 1, *spec.frame_shape), np.float32))
        writer.add_transitions(
            np.stack([first[:-1], first[1:]], axis=1),
            numbers.integers(0, 3, ROWS).astype(np.int32),
            numbers.random(ROWS).astype(np.float32),
            np.ones(ROWS, np.float32),
            np.zeros(ROWS, np.int32),
        )
        writer.finish(0, None, {"made": "drawn"})


def put(root: Path, name: str = "drawn", seed: int = 0) -> Path:
    with made_in_place(root, name, f"seed {seed}") as path:
        draw(path, seed)
    return root / "datasets" / name


def test_what_is_made_for_a_bucket_is_the_same_as_in_a_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = DatasetRecipe.model_validate({"name": DATASET, **RECIPE})
    made = make_dataset(root, DATASET, recipe)
    assert made == make_dataset(tmp_path / "folder", DATASET, recipe)
    assert make_dataset(root, DATASET, recipe) == made  # found there
    (listed,) = list_datasets(root)
    assert (listed.name, listed.manifest and listed.manifest.fingerprint) == (DATASET, made)
    another_node(monkeypatch, tmp_path)
    fetched, local = open_dataset(root, DATASET), Dataset.open(tmp_path / "folder" / "datasets" / DATASET)
    for name, values in local.arrays.items():
        np.testing.assert_array_equal(fetched.arrays[name], values)
    assert isinstance(fetched.arrays["frames"], np.memmap)
    assert being_made(root) == {}


def test_a_node_fetches_a_dataset_once_and_the_one_that_made_it_never(
    root: Path, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root)
    whole = read_manifest(root / "datasets" / "drawn").size_bytes
    open_dataset(root, "drawn")
    here = tmp_path / "node"
    assert not list((here / "roots").rglob("*.npy")), "what was made is moved to the cache, not kept twice"
    cache = another_node(monkeypatch, tmp_path)
    open_dataset(root, "drawn")
    before = objects.requests()
    open_dataset(root, "drawn")
    assert objects.requests() - before <= 6, "only whether it is a link, and its manifest, are asked for"
    assert sum(file.stat().st_size for file in cache.rglob("*.npy")) >= whole


def test_an_upload_that_was_cut_short_goes_on_and_until_then_there_is_no_dataset(
    root: Path, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put_one = dataset_upload._put

    def counted(local: Path, place: Path) -> None:
        if len(sent) == 3:
            raise KeyboardInterrupt
        put_one(local, place)
        sent.append(local.name)

    monkeypatch.setattr(dataset_upload, "_put", counted)
    with pytest.raises(KeyboardInterrupt):
        put(root)
    assert len(sent) == 3
    assert not dataset_exists(root / "datasets" / "drawn")
    assert list_datasets(root) == []
    with pytest.raises(DatasetError, match=r"has no dataset.json, which is put up last.*goes on from there"):
        read_manifest(root / "datasets" / "drawn")
    monkeypatch.setattr(dataset_upload, "_put", lambda *given: (sent.append(given[0].name), put_one(*given)))
    with made_in_place(root, "drawn", "seed 0") as path:
        assert path.exists(), "made already: only what is missing is put up"
    assert len(sent) == len(set(sent)) == 7
    verify_remote(str(root / "datasets" / "drawn"))


def test_what_was_left_by_another_recipe_is_made_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(dataset_upload, "_put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            put(root, seed=1)
    with made_in_place(root, "drawn", "seed 2") as path:
        assert not path.exists()
        draw(path, seed=2)
    verify_remote(str(root / "datasets" / "drawn"))


def test_of_two_makers_with_different_data_one_wins_and_its_data_are_whole(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made_in_place(root, "drawn", "seed 1") as path:
        draw(path, seed=1)
        with monkeypatch.context() as context:
            another_node(context, tmp_path)
            put(root, seed=2)
    won = read_manifest(root / "datasets" / "drawn").fingerprint
    draw(tmp_path / "second", seed=2)
    assert won == read_manifest(tmp_path / "second").fingerprint
    verify_remote(str(root / "datasets" / "drawn"))
    folders = files.list_names(root / "datasets" / "drawn")
    assert folders == sorted(["dataset.json", won[:16]]), "the loser takes its arrays away"
    another_node(monkeypatch, tmp_path / "third")
    assert open_dataset(root, "drawn").fingerprint == won


def test_a_name_that_is_taken_is_refused_before_anything_is_made(root: Path) -> None:
    put(root)
    with (
        pytest.raises(DatasetError, match="exists already in s3://"),
        made_in_place(root, "drawn", "seed 0"),
    ):
        pytest.fail("nothing is to be made")


def test_a_damaged_array_is_named_when_verified_and_when_fetched(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(root)
    below = read_manifest(folder).fingerprint[:16]
    reward = folder / below / "reward.npy"
    content = bytearray(reward.read_bytes())
    content[-1] ^= 1
    files.replace(reward, bytes(content))
    with pytest.raises(DatasetError, match=r"reward.npy is damaged: its values have SHA-256"):
        verify_remote(str(folder))
    another_node(monkeypatch, tmp_path)
    with pytest.raises(DatasetError, match=r"reward.npy is damaged"):
        open_dataset(root, "drawn")


def test_a_folder_that_was_copied_into_the_bucket_by_hand_is_a_dataset(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "drawn")
    for file in (tmp_path / "drawn").iterdir():
        files.replace(root / "datasets" / "drawn" / file.name, file.read_bytes())
    assert open_dataset(root, "drawn").fingerprint == read_manifest(tmp_path / "drawn").fingerprint


def test_a_bucket_that_is_away_for_seconds_is_waited_for(
    root: Path, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root)
    another_node(monkeypatch, tmp_path)
    objects.away(6.0)
    assert len(open_dataset(root, "drawn")) == ROWS


def test_a_bucket_that_refuses_says_so_and_the_dataset_is_kept_for_the_next_try(
    root: Path, objects: ObjectStore
) -> None:
    def refused() -> None:
        with made_in_place(root, "drawn", "a") as path:
            draw(path)
            objects.fail(403, 60.0, "AccessDenied")

    with pytest.raises(StoreError, match="permission denied"):
        refused()
    objects.calm()
    assert (node_folder(root) / "datasets" / "drawn" / "dataset.json").is_file()
    with made_in_place(root, "drawn", "a") as path:
        assert path.exists()
    assert dataset_exists(root / "datasets" / "drawn")


def test_progress_is_told_and_taken_away(root: Path) -> None:
    recipe = DatasetRecipe.model_validate({"name": DATASET, **RECIPE})
    make_dataset(root, DATASET, recipe)
    assert read_json(progress_file(root, DATASET)) is None


def test_two_buckets_never_share_a_node_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    one, two = (node_folder(root_place(f"s3://bucket/{name}")) for name in ("a-b", "a/b"))
    assert one != two
    assert one.parent == two.parent == tmp_path / "roots"
    assert node_folder(tmp_path / "root") == tmp_path / "root"
    shutil.rmtree(tmp_path, ignore_errors=True)
