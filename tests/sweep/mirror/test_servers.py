"""Which addresses of MLflow are taken, and what is said of servers that refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweep.cli import main
from sweep.errors import UsageError
from sweep.mirror.servers import checked_tracking_uri, given_tracking_uri, remedy


@pytest.mark.parametrize("uri", ["http://mlflow.lab:5000", "https://mlflow.lab", "sqlite:////root/mlflow.db"])
def test_servers_and_a_roots_own_file_are_taken(uri: str) -> None:
    assert given_tracking_uri(uri) == uri


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "mysql+pymysql"])
def test_a_servers_database_is_refused_with_the_command_that_starts_the_server(scheme: str) -> None:
    with pytest.raises(
        UsageError, match=r"never to its database\. Start the server with `sweep ui --backend"
    ) as error:
        checked_tracking_uri(f"{scheme}://mlflow:s3cret@db.lab/mlflow")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("user", ["s3cret", "me:s3cret", ":s3cret"])
def test_an_address_holds_no_account_password_or_token(user: str) -> None:
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_TOKEN, in the environment") as error:
        given_tracking_uri(f"https://{user}@mlflow.lab")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("command", ["run", "sync"])
def test_the_command_line_refuses_a_password_before_anything_starts(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://me:s3cret@mlflow.lab:5000"
    monkeypatch.setattr(sys, "argv", ["sweep", command, "demo", "--root", str(tmp_path), "--mlflow-uri", uri])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    assert "s3cret" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("Invalid Host header - possible DNS rebinding attack detected", "--allowed-hosts NAME"),
        ("failed with error code 401 != 200. Response body: 'You are not authenticated.'", "MLFLOW_TRACKING"),
        ("PERMISSION_DENIED: Permission denied", "MANAGE"),
    ],
)
def test_a_refusal_comes_with_its_remedy(reason: str, word: str) -> None:
    assert word in remedy(reason)
    assert remedy("some other reason") == ""
