"""A whole sweep whose root is a bucket: killed, gone on with, looked at, and equal to one in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from drills import Drill, assert_mlflow_complete, assert_same_store, gone
from object_store import SECRET, ObjectStore

from agents.data import read_manifest
from sweep.node_folder import node_folder
from sweep.store import Store, files
from sweep.store.places import root_place


@pytest.fixture
def objects(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStore:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "node"))
    return object_store


@pytest.mark.slow
def test_a_sweep_in_a_bucket_that_was_killed_ends_as_one_in_a_folder_that_was_not(
    objects: ObjectStore, environment: dict[str, str], undisturbed: Drill, tmp_path: Path
) -> None:
    root = root_place(objects.fresh_root())
    variables = {**environment, **objects.env, "SWEEP_CACHE": str(tmp_path / "node")}
    drill = Drill(root, variables, study_file=tmp_path / "tiny.yaml")

    command = drill.start_run(mlflow=True)
    command.until(lambda: drill.checkpointed(200), "a checkpoint was in the bucket")
    command.kill()
    assert "MLflow: nothing is copied while training, for the root is a bucket" in command.output
    assert drill.store.packs_done() == set(), "the study is too short to be killed in the middle"
    assert not gone(variables), "processes of the killed command are still there"

    drill.run().ok()
    assert max(drill.attempts().values()) == 2
    assert_same_store(root, undisturbed.root)
    here, there = (read_manifest(one / "datasets" / "catch-tiny") for one in (root, undisturbed.root))
    assert here.fingerprint == there.fingerprint
    assert not (node_folder(root) / "datasets" / "catch-tiny").exists(), "it was made, put up, and moved away"

    _is_looked_at(drill, undisturbed, tmp_path)
    _is_read_without_our_code(str(root), undisturbed.root)
    assert not [one for one in drill.commands if SECRET in one.output]


def _is_looked_at(drill: Drill, undisturbed: Drill, tmp_path: Path) -> None:
    (status,) = json.loads(drill.sweep("status", "--json").ok().output)
    assert status["trials"] == {"finished": 6}
    assert status["corrupt"] == []

    drill.sweep("export", "tiny", "final", "--out", str(tmp_path / "bucket.csv")).ok()
    undisturbed.sweep("export", "tiny", "final", "--out", str(tmp_path / "folder.csv")).ok()
    # A killed run takes longer, and has an attempt more.
    differ = ["attempts", "wall_seconds"]
    tables = [pd.read_csv(tmp_path / f"{one}.csv").drop(columns=differ) for one in ("bucket", "folder")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    drill.sweep("export", "tiny", "final", "--out", f"{drill.root}/tables/").ok()
    assert files.read_bytes(drill.root / "tables" / "final.csv") == (tmp_path / "bucket.csv").read_bytes()

    said = drill.sweep("report", "tiny").ok().output
    assert f"wrote {drill.root}/reports/tiny.html" in said
    assert b"<html" in files.read_bytes(drill.root / "reports" / "tiny.html")

    drill.sweep("sync", "tiny").ok()
    assert_mlflow_complete(node_folder(drill.root) / "mlflow.db", undisturbed.root / "mlflow.db")
    drill.sweep("data", "verify", "catch-tiny").ok()
    assert "catch-tiny" in drill.sweep("data", "ls").ok().output


def _is_read_without_our_code(root: str, folder: Path) -> None:
    import duckdb
    import fsspec

    wanted = Store(folder).metrics("tiny", columns=["trial_id", "step", "srank"])
    read = pd.read_parquet(f"{root}/store/tiny/metrics/", columns=["trial_id", "step", "srank"])
    pd.testing.assert_frame_equal(_ordered(read), _ordered(wanted))
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("s3"))
        found = connection.sql(
            f"SELECT trial_id, step, srank FROM '{root}/store/tiny/metrics/*.parquet'"
        ).df()
    pd.testing.assert_frame_equal(_ordered(found), _ordered(wanted), check_dtype=False)


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.astype({"trial_id": "object"})
    return rows.sort_values(["trial_id", "step"]).reset_index(drop=True)
