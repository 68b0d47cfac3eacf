"""An MLflow server that goes away while a sweep runs costs the sweep nothing and MLflow nothing for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drills import Drill, assert_mlflow_complete, assert_same_store, free_port, mlflow_points, mlflow_runs

from sweep.ui import MlflowServer

MakeDrill = Callable[..., Drill]


def test_an_mlflow_server_that_stops_and_comes_back(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, tmp_path: Path
) -> None:
    database = tmp_path / "server" / "mlflow.db"
    database.parent.mkdir()
    server = MlflowServer(
        f"sqlite:///{database}",
        artifacts=tmp_path / "server" / "artifacts",
        log=tmp_path / "server" / "log",
        port=free_port(),
    )
    drill = new_drill(address=cluster)
    with server:
        command = drill.start_run("--mlflow-uri", server.url, mlflow=True)
        command.until(lambda: database.exists() and drill.checkpointed(0), "training began")
        command.until(lambda: _runs(database) > 0, "runs were made")
        server.stop()
        ended = command.wait().ok()
        assert "sweep sync tiny" in ended.output
        assert set(drill.attempts().values()) == {1}, "training was disturbed"
        assert_same_store(drill.root, undisturbed.root)
        assert len(mlflow_points(database)) < len(mlflow_points(undisturbed.root / "mlflow.db"))

        server.start()
        drill.sweep("sync", "tiny", "--mlflow-uri", server.url).ok()
    assert_mlflow_complete(database, undisturbed.root / "mlflow.db")


def _runs(database: Path) -> int:
    try:
        return len(mlflow_runs(database))
    except Exception:  # the tables are being made
        return 0
