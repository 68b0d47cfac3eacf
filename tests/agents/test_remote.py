"""Datasets that lie elsewhere: linked, fetched once a node, checked."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.data import Dataset, read_manifest, remote_files
from agents.data.remote import fetch_dataset, link_dataset, linked_url, local_dataset
from agents.data.writer import DatasetWriter
from agents.environments import describe
from agents.errors import DatasetError

sys.path.insert(0, str(Path(__file__).parent / "importers"))
from file_servers import Mishaps, served

ROWS = 3000


def make(path: Path, seed: int = 0) -> Dataset:
    """A dataset of Catch's shape with drawn values."""
    draw, spec = np.random.default_rng(seed), describe("bsuite/catch/0")
    with DatasetWriter(path, spec, ROWS) as writer:
        first = writer.add_frames(draw.random((ROWS + 1, *spec.frame_shape), np.float32))
        writer.add_transitions(
            np.stack([first[:-1], first[1:]], axis=1),
            draw.integers(0, 3, ROWS).astype(np.int32),
            draw.random(ROWS).astype(np.float32),
            np.ones(ROWS, np.float32),
            np.zeros(ROWS, np.int32),
        )
        return writer.finish(0, None, {"made": "drawn"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "FIRST_PAUSE", 0.01)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[str, Mishaps, Dataset]]:
    dataset = make(tmp_path / "far" / "drawn")
    with served(tmp_path / "far") as (url, mishaps):
        yield f"{url}/drawn", mishaps, dataset


def refused(call: object, *arguments: object) -> str:
    with pytest.raises(DatasetError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def bodies(mishaps: Mishaps) -> dict[str, int]:
    """How often each byte range of each array was sent."""
    found: dict[str, int] = {}
    for method, path, part in mishaps.asked:
        if method == "GET" and path.endswith(".npy") and part != "bytes=1-1":
            found[f"{path} {part}"] = found.get(f"{path} {part}", 0) + 1
    return found


def test_a_dataset_is_fetched_whole_and_only_once(far: tuple[str, Mishaps, Dataset], tmp_path: Path) -> None:
    url, mishaps, original = far
    told: list[tuple[int, int]] = []
    path = fetch_dataset(url, tmp_path / "cache", progress=lambda *said: told.append(said))
    assert path == tmp_path / "cache" / "datasets" / original.fingerprint
    copy = Dataset.open(path, verify=True)
    assert copy.fingerprint == original.fingerprint
    for name, values in original.arrays.items():
        np.testing.assert_array_equal(copy.arrays[name], values)
    assert told[-1][0] == told[-1][1] == original.manifest.size_bytes
    assert sorted(one.name for one in path.iterdir()) == sorted(one.name for one in original.path.iterdir())
    mishaps.asked.clear()
    assert fetch_dataset(url, tmp_path / "cache", original.fingerprint) == path
    assert mishaps.asked == [], "a fingerprint that is there needs no network"
    fetch_dataset(url, tmp_path / "cache")
    assert bodies(mishaps) == {}


def test_a_link_holds_the_manifest_alone_and_opens_as_the_copy(
    far: tuple[str, Mishaps, Dataset], tmp_path: Path
) -> None:
    url, mishaps, original = far
    link = tmp_path / "root" / "datasets" / "mine"
    assert link_dataset(url, link).fingerprint == original.fingerprint
    assert bodies(mishaps) == {}
    assert linked_url(link) == url
    assert read_manifest(link) == original.manifest
    assert link_dataset(url, link) == original.manifest, "a second time changes nothing"
    opened = local_dataset(link, tmp_path / "cache")
    assert Dataset.open(opened).fingerprint == original.fingerprint
    assert local_dataset(original.path, tmp_path / "cache") == original.path
    assert linked_url(original.path) is None
    (link / "remote.json").write_text("{")
    assert "remote.json is damaged" in refused(linked_url, link)


FETCH = """
import sys
from pathlib import Path
from agents.data.remote import fetch_dataset
print(fetch_dataset(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
"""


def fetching(url: str, cache: Path, fingerprint: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", FETCH, url, str(cache), fingerprint]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_fetch_it_once(
    far: tuple[str, Mishaps, Dataset], tmp_path: Path
) -> None:
    url, mishaps, original = far
    mishaps.pace = lambda: time.sleep(0.1)
    started = [fetching(url, tmp_path / "cache", original.fingerprint) for _ in range(4)]
    paths = {process.communicate(timeout=60)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0] * 4
    assert paths == {str(tmp_path / "cache" / "datasets" / original.fingerprint)}
    assert set(bodies(mishaps).values()) == {1}
    assert len({one.split()[0] for one in bodies(mishaps)}) == len(original.arrays)
    manifests = mishaps.count("/drawn/dataset.json")
    assert manifests > 1, "more than one of them began while there was nothing"


def test_a_downloader_that_is_killed_is_taken_over(far: tuple[str, Mishaps, Dataset], tmp_path: Path) -> None:
    url, mishaps, original = far
    mishaps.pace = lambda: time.sleep(0.3)
    first = fetching(url, tmp_path / "cache", original.fingerprint)
    making = tmp_path / "cache" / "datasets" / f".making-{original.fingerprint}"
    deadline = time.monotonic() + 60
    while not list(making.glob("*.npy")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    there = {one.name for one in making.glob("*.npy")}
    assert not (tmp_path / "cache" / "datasets" / original.fingerprint).exists(), (
        "nothing half-fetched is seen"
    )
    mishaps.pace = lambda: None
    time.sleep(0.4)
    mishaps.asked.clear()
    Dataset.open(fetch_dataset(url, tmp_path / "cache", original.fingerprint), verify=True)
    again = {one.split()[0].rsplit("/", 1)[-1] for one in bodies(mishaps)}
    assert not there & again, "what was whole is not fetched again"


def test_a_dataset_that_was_replaced_or_damaged_is_refused(
    far: tuple[str, Mishaps, Dataset], tmp_path: Path
) -> None:
    url, _, original = far
    reward = original.path / "reward.npy"
    content = reward.read_bytes()
    reward.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    said = refused(fetch_dataset, url, tmp_path / "cache")
    assert "reward.npy is damaged" in said
    assert not (tmp_path / "cache" / "datasets" / original.fingerprint).exists()
    reward.write_bytes(content)
    Dataset.open(fetch_dataset(url, tmp_path / "cache"), verify=True)
    link = tmp_path / "datasets" / "linked"
    link_dataset(url, link)
    shutil.rmtree(original.path)
    make(original.path, seed=1)
    shutil.rmtree(tmp_path / "cache")
    said = refused(local_dataset, link, tmp_path / "cache")
    assert original.fingerprint[:12] in said
    assert "replaced" in said
    assert "exists already" in refused(link_dataset, url, link)


def test_what_is_no_dataset_is_told(far: tuple[str, Mishaps, Dataset], tmp_path: Path) -> None:
    url, _, original = far
    assert "there is no dataset at" in refused(link_dataset, f"{url}x", tmp_path / "a")
    assert "is not an address" in refused(link_dataset, "/local/folder", tmp_path / "a")
    manifest = original.path / "dataset.json"
    content = json.loads(manifest.read_text())
    manifest.write_text("{}")
    assert "is not a dataset of this version" in refused(link_dataset, url, tmp_path / "a")
    manifest.write_text(json.dumps({**content, "fingerprint": "0" * 64}))
    assert "contradicts itself" in refused(link_dataset, url, tmp_path / "a")
    arrays = {"../../up": content["arrays"]["reward"]}
    manifest.write_text(json.dumps({**content, "arrays": arrays}))
    assert "'../../up'" in refused(link_dataset, url, tmp_path / "a")
