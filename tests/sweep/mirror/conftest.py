"""Real MLflow databases and servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror_studies import Mlflow

from sweep.mirror import embedded_tracking_uri
from sweep.mirror.tracking import client_settings, connect
from sweep.ports import free_port
from sweep.ui import MlflowServer


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes a second or two."""
    root = tmp_path_factory.mktemp("mlflow-template")
    with client_settings():
        connect(embedded_tracking_uri(root))
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_database: Path) -> Path:
    """A root with an embedded MLflow."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def mlflow_db(root: Path) -> Mlflow:
    return Mlflow(root / "mlflow.db")


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    folder = tmp_path_factory.mktemp("mlflow-server")
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[MlflowServer]:
    """A real MLflow server; a test that stops it starts it again."""
    with MlflowServer(
        embedded_tracking_uri(server_folder),
        artifacts=server_folder / "artifacts",
        log=server_folder / "server.log",
        port=free_port(),
    ) as running:
        yield running


@pytest.fixture
def server_db(server_folder: Path) -> Mlflow:
    return Mlflow(server_folder / "mlflow.db")
