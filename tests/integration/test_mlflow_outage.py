"""An MLflow server that goes away while a sweep runs costs the sweep nothing and MLflow nothing for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drills import Drill, assert_mlflow_complete, assert_same_store, mlflow_points, mlflow_runs
from services import MISSING, postgres, postgres_programs

from sweep.ports import free_port
from sweep.serving import Backend
from sweep.ui import MlflowServer

MakeDrill = Callable[..., Drill]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    (tmp_path / "server").mkdir()
    with MlflowServer(
        f"sqlite:///{tmp_path / 'server' / 'mlflow.db'}",
        artifacts=tmp_path / "server" / "artifacts",
        log=tmp_path / "server" / "log",
        port=free_port(),
    ) as running:
        yield running


@pytest.mark.slow
def test_an_mlflow_server_that_stops_and_comes_back(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, tmp_path: Path, server: MlflowServer
) -> None:
    drill, database = new_drill(address=cluster), tmp_path / "server" / "mlflow.db"
    command = drill.start_run("--mlflow-uri", server.url, mlflow=True)
    command.until(lambda: _runs(database) > 0, "runs were made")
    server.stop()
    command.until(lambda: len(drill.store.packs_done()) == 2, "packs were trained to their end")
    assert len(mlflow_points(database)) < len(mlflow_points(undisturbed.root / "mlflow.db"))
    server.start()
    command.wait().ok()
    assert set(drill.attempts().values()) == {1}, "training was disturbed"
    assert_same_store(drill.root, undisturbed.root)
    drill.sweep("sync", "tiny", "--mlflow-uri", server.url).ok()
    assert_mlflow_complete(database, undisturbed.root / "mlflow.db")


@pytest.mark.slow
def test_an_mlflow_server_that_stays_away_until_after_the_sweep(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, tmp_path: Path, server: MlflowServer
) -> None:
    drill, database = new_drill(address=cluster), tmp_path / "server" / "mlflow.db"
    command = drill.start_run("--mlflow-uri", server.url, mlflow=True)
    command.until(lambda: drill.checkpointed(0), "training began")
    server.stop()
    ended = command.wait().ok()
    assert "sweep sync tiny" in ended.output
    assert_same_store(drill.root, undisturbed.root)
    server.start()
    drill.sweep("sync", "tiny", "--mlflow-uri", server.url).ok()
    assert_mlflow_complete(database, undisturbed.root / "mlflow.db")


@pytest.mark.slow
@pytest.mark.skipif(postgres_programs() is None, reason=MISSING)
def test_a_database_that_stops_under_a_living_server_and_comes_back(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, tmp_path: Path
) -> None:
    drill = new_drill(address=cluster)
    with postgres() as database:
        server = MlflowServer(
            Backend.of_url(database.url_with_password),
            artifacts=tmp_path / "artifacts",
            log=tmp_path / "log",
            port=free_port(),
        )
        with server:
            command = drill.start_run("--mlflow-uri", server.url, mlflow=True)
            command.until(lambda: database.sql("select count(*) from runs")[0][0] > 0, "runs were made")
            database.stop()
            command.until(lambda: len(drill.store.packs_done()) == 2, "packs were trained to their end")
            server.check()
            time.sleep(2.0)
            database.start()
            command.wait().ok()
            assert set(drill.attempts().values()) == {1}, "training was disturbed"
            assert_same_store(drill.root, undisturbed.root)
            drill.sweep("sync", "tiny", "--mlflow-uri", server.url).ok()
        # As the undisturbed sweep's embedded MLflow has it, by SQL: one run a trial, each point once.
        expected = undisturbed.root / "mlflow.db"
        trial = " join tags t on t.run_uuid = r.run_uuid and t.key = 'rankscope.trial_id'"
        runs = database.sql(f"select t.value, r.status, r.lifecycle_stage from runs r{trial} order by 1")
        assert runs == [(one, "FINISHED", "active") for one in sorted(mlflow_runs(expected)["trial_id"])]
        points = database.sql(
            "select t.value, m.key, m.step, m.value, m.is_nan from metrics m join runs r on r.run_uuid = m.run_uuid"
            + trial
        )
        wanted = mlflow_points(expected).itertuples(index=False)
        assert sorted(points) == sorted((*point[:4], bool(point[4])) for point in wanted)


def _runs(database: Path) -> int:
    try:
        return len(mlflow_runs(database))
    except Exception:  # the tables are being made
        return 0
