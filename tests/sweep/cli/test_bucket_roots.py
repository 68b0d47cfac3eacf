"""Commands whose root is a bucket; whole sweeps there are in tests/integration/test_object_root.py."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from commands import Sweep
from object_store import ObjectStore

from sweep.doctor import examine
from sweep.mirror import embedded_tracking_uri, why_no_mirror
from sweep.mirror.watermark import MirrorPaths
from sweep.node_folder import node_folder
from sweep.reports_page import ReportsServer
from sweep.store import Store, files, places
from sweep.store.places import root_place

COLLECT = ("data", "collect", "bsuite/catch/0", "--agent", "random", "--steps", "400", "--name", "drawn")


@pytest.fixture
def objects(object_store: ObjectStore) -> ObjectStore:
    return object_store


@pytest.fixture
def root(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "node"))
    monkeypatch.chdir(tmp_path)
    place = root_place(objects.fresh_root())
    monkeypatch.setenv("SWEEP_ROOT", str(place))
    return place


def test_datasets_of_a_bucket_are_collected_cut_listed_shown_and_verified(sweep: Sweep, root: Path) -> None:
    assert "no datasets under s3://" in sweep("data", "ls").out
    said = sweep(*COLLECT)
    assert said.code == 0, said.err
    assert f"made {root}/datasets/drawn" in said.out
    said = sweep("data", "subset", "drawn", "--name", "half", "--fraction", "0.5")
    assert said.code == 0, said.err
    whole, half = json.loads(sweep("data", "ls", "--json").out)
    assert (whole["name"], whole["transitions"]) == ("drawn", 400)
    assert (half["name"], half["transitions"], half["source"]) == ("half", 200, "part of drawn: fraction")
    assert json.loads(sweep("data", "show", "half", "--json").out)["fingerprint"] == half["fingerprint"]
    assert "every array is as recorded" in sweep("data", "verify", "half").out
    said = sweep(*COLLECT)
    assert said.code == 1
    assert f"'drawn' exists already in {root}/datasets" in said.err


def test_a_dataset_is_imported_from_one_bucket_root_into_another(
    sweep: Sweep, root: Path, objects: ObjectStore
) -> None:
    sweep(*COLLECT)
    other = objects.fresh_root()
    said = sweep("data", "import", "rankscope", f"{root}/datasets/drawn", "--name", "copy", "--root", other)
    assert said.code == 0, said.err
    (copy,) = json.loads(sweep("data", "ls", "--json", "--root", other).out)
    (drawn,) = json.loads(sweep("data", "ls", "--json").out)
    assert copy["fingerprint"] == drawn["fingerprint"]
    said = sweep("data", "import", "rankscope", f"{root}/datasets/drawn", "--name", "copy", "--root", other)
    assert said.code == 2
    assert "exists already" in said.err


def test_a_dataset_that_is_not_there_is_named_with_its_neighbours(sweep: Sweep, root: Path) -> None:
    sweep(*COLLECT)
    said = sweep("data", "show", "drwan")
    assert said.code == 2
    assert f"there is no dataset 'drwan' in {root}/datasets. Did you mean 'drawn'?" in said.err


def test_doctor_says_what_a_bucket_lets_us_do(root: Path, objects: ObjectStore) -> None:
    found = {one.what: one for one in examine(str(root), software_too=False)}
    assert {one.state for one in found.values()} <= {"good", "warning"}
    assert f"{root} can be written" in found["root"].found
    assert found["root writes once"].found == "conditional writes work"
    assert found["clock"].found == "agrees with the bucket's"
    assert "this node's copies of datasets" in found["disk"].found
    assert not list(root.parent.fs.find(root.path)), "nothing is left behind"


def test_doctor_names_a_bucket_that_cannot_be_used(root: Path, objects: ObjectStore) -> None:
    objects.fail(403, 60.0, "AccessDenied")
    found = {one.what: one for one in examine(str(root), software_too=False)}
    assert found["root"].state == "bad"
    assert "permission denied" in found["root"].found
    objects.calm()
    missing = {one.what: one for one in examine("s3://no-such-bucket/sweeps", software_too=False)}
    assert "the bucket 'no-such-bucket' does not exist" in missing["root"].found


def test_doctor_says_when_a_bucket_cannot_write_once(root: Path, objects: ObjectStore) -> None:
    objects.ignore_conditions()
    found = {one.what: one for one in examine(str(root), software_too=False)}
    assert found["root writes once"].state == "warning"


def test_a_store_whose_client_is_missing_is_refused_with_the_remedy(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    said = sweep("status", "--root", "s3://bucket/sweeps")
    assert said.code == 2
    assert "root 's3://bucket/sweeps': s3:// needs s3fs, which is not installed: pip install s3fs" in said.err


def test_without_a_server_a_run_in_a_bucket_says_that_nothing_goes_to_mlflow(
    root: Path, tmp_path: Path
) -> None:
    said = why_no_mirror(root, None, "demo")
    assert said is not None
    assert "Give --mlflow-uri of a server" in said
    assert f"`sweep sync demo --root {root}`" in said
    assert why_no_mirror(root, "http://127.0.0.1:5000", "demo") is None
    assert why_no_mirror(tmp_path, None, "demo") is None


def test_a_mirror_into_a_server_keeps_its_place_in_the_bucket_and_one_into_a_file_beside_the_file(
    root: Path,
) -> None:
    folder = Store(root).create("demo").layout.folder
    server = MirrorPaths.of(folder, "http://127.0.0.1:5000")
    own = MirrorPaths.of(folder, embedded_tracking_uri(root))
    here = node_folder(root)
    assert (server.folder, server.identity) == (folder / "mirror", folder / "mirror" / "store-id.json")
    assert own.watermark.parent == here / "store" / "demo" / "mirror" == own.log.parent == server.log.parent
    assert own.identity == server.identity
    assert embedded_tracking_uri(root) == f"sqlite:///{here / 'mlflow.db'}"


def test_reports_are_served_from_the_bucket_and_nothing_else_of_it(root: Path) -> None:
    files.replace(root / "reports" / "a b.html", b"first")
    files.replace(root / "reports" / "sub" / "two.html", b"second")
    files.replace(root / "reports" / ".hidden" / "three.html", b"third")
    files.replace(root / "store" / "demo" / "sweep.json", b"{}")

    def got(path: str) -> bytes | int:
        try:
            with urllib.request.urlopen(f"{server.url}/{path}", timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.code

    with ReportsServer(root, "127.0.0.1", 0, "http://127.0.0.1:5000") as server:
        page = got("")
        assert isinstance(page, bytes)
        assert b'href="a%20b.html"' in page
        assert b"three" not in page
        assert b"sweep sync demo" in page
        assert (got("a%20b.html"), got("sub/two.html")) == (b"first", b"second")
        refused = [
            ".hidden/three.html",
            "%2e%2e/store/demo/sweep.json",
            "../store/demo/sweep.json",
            "no.html",
        ]
        assert [got(path) for path in refused] == [404] * 4


def test_an_empty_bucket_has_no_sweeps_and_a_sweep_that_is_not_there_is_named(
    sweep: Sweep, root: Path
) -> None:
    assert f"no sweeps under {root} yet" in sweep("status").out.replace("\n", "")
    said = sweep("report", "demo")
    assert said.code == 2
    assert f"no sweep 'demo' under {root}" in said.err
    assert not files.exists(root / "reports" / "demo.html")
