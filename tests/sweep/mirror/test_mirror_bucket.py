"""The mirror of a sweep in a bucket: from any machine, one at a time, and waiting for a bucket that is away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mirror_studies import Mlflow, Study
from object_store import ObjectStore

from sweep.errors import LockedError
from sweep.mirror import embedded_tracking_uri, mirror_status, mirror_statuses, start_mirror_process, sync
from sweep.mirror.watermark import MirrorPaths
from sweep.node_folder import node_folder
from sweep.store import files
from sweep.store.lock import locked
from sweep.store.places import root_place
from sweep.ui import MlflowServer


@pytest.fixture
def objects(object_store: ObjectStore) -> ObjectStore:
    return object_store


@pytest.fixture
def bucket(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "node"))
    return root_place(objects.fresh_root())


def test_a_mirror_on_another_machine_goes_on_where_the_first_was(
    bucket: Path, server: MlflowServer, server_db: Mlflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = Study(bucket, name="moving")
    study.commit("pack-0", 500)
    first = sync(bucket, "moving", server.url)
    assert first.metrics_sent > 0
    for pack in study.names:
        study.commit(pack, 1000)
        study.finish(pack)

    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "other-node"))
    assert mirror_status(bucket, "moving", server.url).state == "following"
    second = sync(bucket, "moving", server.url)
    server_db.assert_complete(study)
    assert second.runs_created + first.runs_created == 6
    assert sync(bucket, "moving", server.url).metrics_sent == 0

    # Without its word in the bucket it asks MLflow what is there, and sends nothing twice.
    files.remove(MirrorPaths.of(study.store.layout.folder, server.url).watermark)
    again = sync(bucket, "moving", server.url)
    assert (again.runs_created, again.metrics_sent) == (0, 0)
    server_db.assert_complete(study)


def test_an_mlflow_on_this_machine_is_filled_by_sync_and_another_machine_fills_its_own(
    bucket: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = Study(bucket).run_all()
    for machine in ("node", "other-node"):
        monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / machine))
        assert mirror_status(bucket, "demo").state == "new"
        summary = sync(bucket, "demo")
        assert summary.runs_created == 6
        Mlflow(node_folder(bucket) / "mlflow.db").assert_complete(study)
        assert summary.tracking_uri == embedded_tracking_uri(bucket)
        assert [one.state for one in mirror_statuses(bucket, "demo")] == ["complete"]


@pytest.mark.slow
def test_two_mirrors_into_one_server_are_kept_apart_whatever_their_machine(
    bucket: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = Study(bucket, name="apart").run_all()
    paths = MirrorPaths.of(study.store.layout.folder, server.url)
    with locked(paths.lock, "the mirror"):
        monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "other-node"))
        with pytest.raises(LockedError, match="the mirror of sweep 'apart'"):
            sync(bucket, "apart", server.url)


@pytest.mark.slow
def test_a_mirror_waits_for_a_bucket_that_is_away(
    bucket: Path, objects: ObjectStore, server: MlflowServer, server_db: Mlflow
) -> None:
    study = Study(bucket, name="away")
    study.commit("pack-0", 500)
    mirror = start_mirror_process(bucket, "away", server.url, poll_seconds=0.1)
    deadline = time.monotonic() + 240
    while not server_db.points("away"):
        assert mirror.poll() is None, mirror.log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert mirror.log.is_relative_to(node_folder(bucket))
    objects.fail(503, 10.0)
    time.sleep(10.5)
    for pack in study.names:
        study.commit(pack, 1000)
        study.finish(pack)
    assert mirror.stop(finish=True, timeout=240) == 0, mirror.log.read_text()
    server_db.assert_complete(study)
