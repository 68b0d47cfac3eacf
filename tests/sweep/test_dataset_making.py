"""Datasets made by every kind of recipe, found again, and refused where they were made otherwise."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_sweeps import DATASET, RECIPE, begin, study

from agents.data import Dataset, list_datasets
from agents.errors import DatasetError
from search_spaces import Study
from sweep.dataset_making import about_to_make, being_made, make_dataset, open_dataset, rounds
from sweep.datasets import find_datasets, fingerprints, progress_file
from sweep.errors import StoreUnavailableError, UsageError
from sweep.pack_loop import train_pack
from sweep.pack_progress import write_json
from sweep.preview import preview
from sweep.store import files

ENV = "bsuite/catch/0"
TENTH: dict[str, Any] = {"env": ENV, "subset": {"of": DATASET, "prefix": 0.5, "fraction": 0.2, "seed": 3}}


def with_data(**datasets: Any) -> Study:
    """A study with a space for each dataset."""
    spaces = [{"name": name, "base": {"dataset": name}} for name in datasets]
    return study(*spaces, datasets=datasets, base={"train_steps": 60, "hidden_sizes": [8]})


def make_all(root: Path, of: Study) -> None:
    for names in rounds({n: r for n, r in of.datasets.items() if r.kind != "existing"}):
        for name in names:
            if not (root / "datasets" / name).exists():
                make_dataset(root, name, of.datasets[name])


def refusal(root: Path, of: Study) -> str:
    with pytest.raises(UsageError) as caught:
        find_datasets(root, of)
    return str(caught.value)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def far(dataset_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The session's dataset behind a plain web server; this node's cache in the test's folder."""
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(dataset_root / "datasets")))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{DATASET}"
    server.shutdown()
    server.server_close()
    thread.join()


def hopper(path: Path) -> dict[str, Any]:
    """Fifty steps in D4RL's format, as h5py writes them, and the recipe that imports them."""
    draw = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = draw.normal(size=(50, 11)).astype(np.float32)
        file["actions"] = draw.uniform(-1, 1, size=(50, 3)).astype(np.float32)
        file["rewards"] = draw.normal(size=50).astype(np.float32)
        file["terminals"] = np.arange(50) % 10 == 9
        file["timeouts"] = np.zeros(50, np.bool_)
    how = {"format": "d4rl", "source": str(path), "options": {"env": "mujoco/Hopper"}}
    return {"env": "mujoco/Hopper", "import": how}


def test_a_subset_is_cut_after_its_parent_and_stands_by_its_parents_id_before(tmp_path: Path) -> None:
    of = with_data(**{"tenth": TENTH, DATASET: RECIPE})
    recipes = dict(of.datasets)
    assert rounds(recipes) == [[DATASET], ["tenth"]]
    before = fingerprints(of, find_datasets(tmp_path, of))
    assert before["tenth"] == recipes["tenth"].recipe_id(recipes[DATASET].recipe_id())
    make_all(tmp_path, of)
    found = find_datasets(tmp_path, of)
    tenth = Dataset.open(tmp_path / "datasets" / "tenth", verify=True)
    assert len(tenth) == 40
    assert fingerprints(of, found)["tenth"] == tenth.fingerprint
    assert [one["kind"] for one in tenth.manifest.provenance["subset"]["selections"]] == [
        "prefix",
        "fraction",
    ]
    whole = tmp_path / "datasets" / DATASET
    assert (tenth.path / "frames.npy").samefile(whole / "frames.npy")
    other = {**TENTH, "subset": {**TENTH["subset"], "seed": 4}}
    said = refusal(tmp_path, with_data(**{"tenth": other, DATASET: RECIPE}))
    assert "'seed': 3" in said
    assert "'seed': 4" in said


def test_a_subset_of_a_parent_that_was_made_anew_is_refused(tmp_path: Path) -> None:
    of = with_data(**{"tenth": TENTH, DATASET: RECIPE})
    make_all(tmp_path, of)
    shutil.rmtree(tmp_path / "datasets" / DATASET)
    seeded = {**RECIPE, "collect": {**RECIPE["collect"], "seed": 9}}  # type: ignore[dict-item]
    again = with_data(**{"tenth": TENTH, DATASET: seeded})
    make_all(tmp_path, again)
    assert "is a part of a dataset with fingerprint" in refusal(tmp_path, again)


def test_an_import_is_made_once_and_refused_from_another_source(tmp_path: Path) -> None:
    recipe = hopper(tmp_path / "hopper.hdf5")
    of = with_data(hopper=recipe)
    assert find_datasets(tmp_path, of) == {"hopper": None}
    make_all(tmp_path, of)
    made = Dataset.open(tmp_path / "datasets" / "hopper", verify=True)
    with h5py.File(tmp_path / "hopper.hdf5") as file:
        np.testing.assert_array_equal(made.arrays["action"][:5], file["actions"][:5])
    assert find_datasets(tmp_path, of)["hopper"] == made.manifest
    again = make_dataset(tmp_path, "hopper", of.datasets["hopper"])
    assert again == made.fingerprint, "a maker that was killed after the rename is not in the next one's way"
    shutil.copy(tmp_path / "hopper.hdf5", tmp_path / "other.hdf5")
    other = {**recipe, "import": {**recipe["import"], "source": str(tmp_path / "other.hdf5")}}
    said = refusal(tmp_path, with_data(hopper=other))
    assert str(tmp_path / "other.hdf5") in said
    assert "made by another recipe" in said
    collected = {"env": "mujoco/Hopper", "collect": {"agent": "random", "steps": 10}}
    assert "import there, collect in the study" in refusal(tmp_path, with_data(hopper=collected))


def test_a_format_that_is_not_known_is_refused_before_anything_starts(tmp_path: Path) -> None:
    how = {"format": "rlu-atary", "source": "gs://rl_unplugged/atari/Pong"}
    said = refusal(tmp_path, with_data(pong={"env": "atari/Pong", "import": how}))
    assert "dataset 'pong': import.format: unknown format 'rlu-atary'. Did you mean 'rlu-atari'?" in said


def test_a_local_source_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    how = {"format": "rlu-atari", "source": str(tmp_path / "Pong")}
    said = refusal(tmp_path, with_data(pong={"env": "atari/Pong", "import": how}))
    assert f"dataset 'pong': import.source: {tmp_path / 'Pong'} does not exist. Give a folder" in said


def test_an_import_of_another_environment_than_the_study_says_is_told(tmp_path: Path) -> None:
    recipe = hopper(tmp_path / "hopper.hdf5")
    of = with_data(hopper={**recipe, "env": "mujoco/Walker2d"})
    with pytest.raises(DatasetError, match="is of mujoco/Hopper, not of mujoco/Walker2d"):
        make_all(tmp_path, of)


def test_a_dataset_at_an_address_is_linked_and_trained_on_through_the_cache(
    far: str, tmp_path: Path, dataset_root: Path
) -> None:
    of = with_data(
        linked={"env": ENV, "url": far}, tenth={**TENTH, "subset": {"of": "linked", "fraction": 0.1}}
    )
    make_all(tmp_path, of)
    original = Dataset.open(dataset_root / "datasets" / DATASET)
    link = tmp_path / "datasets" / "linked"
    assert fingerprints(of, find_datasets(tmp_path, of))["linked"] == original.fingerprint
    assert sorted(path.name for path in link.iterdir()) == ["dataset.json", "remote.json"]
    assert open_dataset(tmp_path, "linked").path == tmp_path / "cache" / "datasets" / original.fingerprint
    store, packs = begin(tmp_path, with_data(linked={"env": ENV, "url": far}))
    train_pack(packs[0], store, tmp_path, "cpu")
    assert set(store.trials()["status"]) == {"finished"}
    assert "no link there" in refusal(tmp_path, with_data(tenth={"env": ENV, "url": far}))
    assert f"a link to {far} there" in refusal(tmp_path, with_data(linked={"env": ENV, "url": far + "x"}))


def test_a_linked_dataset_is_listed_and_examined_without_fetching_it(
    far: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.doctor.root import datasets

    make_all(tmp_path, with_data(linked={"env": ENV, "url": far}))
    (one,) = list_datasets(tmp_path)
    assert one.manifest is not None
    (finding,) = datasets(tmp_path, deep=True)
    assert finding.state == "good"
    assert "not fetched to this node yet" in finding.found
    assert not (tmp_path / "cache").exists()
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("sweep.dataset_making.write_json", lambda _, said: told.append(said))
    open_dataset(tmp_path, "linked")
    assert told[-1]["done"] == told[-1]["total"] == one.manifest.size_bytes
    assert "fetched to" in told[-1]["text"]
    (finding,) = datasets(tmp_path, deep=True)
    assert "this node has a copy" in finding.found


def test_a_preview_says_what_will_be_made_and_makes_nothing(tmp_path: Path) -> None:
    ways = {
        DATASET: RECIPE,
        "tenth": TENTH,
        "linked": {"env": ENV, "url": "s3://mine/catch"},
        "read": {"env": ENV, "import": {"format": "rlu-bsuite", "source": "gs://rl_unplugged/bsuite/catch"}},
    }
    told = {one["name"]: one["to_make"] for one in preview(with_data(**ways), tmp_path / "root").datasets}
    assert told[DATASET] == "to be collected, 400 agent steps"
    assert told["tenth"] == f"to be cut out of {DATASET}: prefix 0.5, fraction 0.2"
    assert told["linked"] == "to be fetched from s3://mine/catch, on each node that trains"
    assert told["read"] == "to be imported (rlu-bsuite) from gs://rl_unplugged/bsuite/catch"
    assert not (tmp_path / "root").exists()
    existing = with_data(there={"env": ENV, "existing": True}).datasets["there"]
    assert about_to_make(existing) == "there"
    with pytest.raises(DatasetError, match="has no recipe"):
        make_dataset(tmp_path, "there", existing)


def test_a_dataset_is_not_lost_over_the_file_that_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: Path) -> None:
        raise StoreUnavailableError(f"{path}: cannot be removed: the object store cannot be reached")

    monkeypatch.setattr(files, "remove", away)
    recipe = with_data(**{DATASET: RECIPE}).datasets[DATASET]
    print_of_it = make_dataset(tmp_path, DATASET, recipe)
    assert open_dataset(tmp_path, DATASET).fingerprint == print_of_it


def test_how_far_a_dataset_is_can_be_asked_while_it_is_made(tmp_path: Path) -> None:
    said: list[str] = []
    recipe = with_data(**{DATASET: {**RECIPE, "collect": {"agent": "random", "steps": 30_000}}}).datasets[
        DATASET
    ]
    making = Thread(target=make_dataset, args=(tmp_path, DATASET, recipe))
    making.start()
    while making.is_alive():
        said += [one["text"] for one in being_made(tmp_path).values()]
        time.sleep(0.01)
    making.join()
    assert "30,000 agent steps" in said[0]
    assert being_made(tmp_path) == {}
    old = {"done": 1, "total": 2, "text": "x", "updated": time.time() - 3600}
    write_json(progress_file(tmp_path, DATASET), old)
    assert being_made(tmp_path) == {}, "a process that says nothing for long is not at work"
    assert json.loads(progress_file(tmp_path, DATASET).read_text()) == old
