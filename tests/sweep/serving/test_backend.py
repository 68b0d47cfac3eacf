"""Where MLflow's database may be, and where its password may not."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import pytest

from sweep.errors import SweepError, UsageError
from sweep.ports import free_port
from sweep.serving import Backend, artifact_place

SECRET = "s3cr%t/with@signs"
QUOTED = "s3cr%25t%2Fwith%40signs"


@pytest.mark.parametrize(
    "url",
    [f"postgresql://mlflow:{QUOTED}@db.lab/mlflow", f"postgresql://mlflow@db.lab/mlflow?password={QUOTED}"],
)
def test_a_password_on_the_command_line_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(
        UsageError, match=r"--backend: it holds a password.*PGPASSWORD.*pgpass.*env:"
    ) as error:
        Backend.of(url)
    assert SECRET not in str(error.value)
    assert QUOTED not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [f"postgresql://mlflow:{QUOTED}@db.lab/mlflow", f"postgresql://mlflow@db.lab/mlflow?password={QUOTED}"],
)
def test_a_password_in_the_environment_goes_to_mlflow_as_libpqs_variable_alone(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_DB", url)
    backend = Backend.of("env:TEAM_DB")
    assert backend.url == "postgresql+psycopg2://mlflow@db.lab/mlflow"
    assert backend.environment == {"MLFLOW_BACKEND_STORE_URI": backend.url, "PGPASSWORD": SECRET}
    assert SECRET not in repr(backend)


def test_an_address_without_a_password_leaves_it_to_libpq() -> None:
    backend = Backend.of("postgresql://mlflow@db.lab:5433/mlflow?sslmode=require")
    assert backend.environment == {
        "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg2://mlflow@db.lab:5433/mlflow?sslmode=require"
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env:NOT_SET_ANYWHERE", r"--backend env:NOT_SET_ANYWHERE: no variable 'NOT_SET_ANYWHERE'"),
        ("postgres://mlflow@db/mlflow", r"begins with postgresql://, not postgres://"),
        ("mysql://mlflow@db/mlflow", r"mysql:// is not supported; give postgresql://USER@HOST"),
        ("postgresql://mlflow@db", r"names no database"),
        ("the database", r"not the address of a database; give postgresql://"),
    ],
)
def test_what_is_no_backend_is_refused_with_what_is(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Backend.of(text)


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sweep.serving.backend.find_spec", lambda name: None if name == "psycopg2" else util.find_spec(name)
    )
    with pytest.raises(UsageError, match=r"psycopg2: pip install 'rankscope\[server\]'"):
        Backend.of("postgresql://mlflow@db/mlflow")


@pytest.mark.skipif(util.find_spec("psycopg2") is None, reason="psycopg2 is not installed")
def test_a_database_that_is_not_there_is_named_before_mlflow_starts() -> None:
    port = free_port()
    with pytest.raises(
        SweepError, match=rf"postgresql://mlflow@127\.0\.0\.1:{port}/mlflow: .*Connection refused.*createdb"
    ):
        Backend.of(f"postgresql://mlflow@127.0.0.1:{port}/mlflow").check()


def test_artifacts_lie_in_a_folder_or_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert artifact_place("here") == str(tmp_path / "here")
    assert artifact_place("s3://lab/mlflow") == "s3://lab/mlflow"
    with pytest.raises(UsageError, match=r"hdfs:// is not supported; give a folder, s3://BUCKET"):
        artifact_place("hdfs://lab/mlflow")
    with pytest.raises(UsageError, match=r"it holds a key.*AWS_SECRET_ACCESS_KEY") as error:
        artifact_place("s3://key:secret@lab/mlflow")
    assert "secret@" not in str(error.value)
    monkeypatch.setattr("sweep.serving.artifacts.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"boto3: pip install 'rankscope\[server\]'"):
        artifact_place("s3://lab/mlflow")
