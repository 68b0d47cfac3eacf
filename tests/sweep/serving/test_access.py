"""Who may come in, before any server is started."""

from __future__ import annotations

import socket

import pytest
from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

from sweep.errors import UsageError
from sweep.serving import Access
from sweep.serving.access import beyond_this_machine


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "twelve or more")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "0123456789abcdef")


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.3.2.1", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.7", True),
        ("no-such-host.invalid", True),
    ],
)
def test_only_loopback_is_this_machine(host: str, beyond: bool) -> None:
    assert beyond_this_machine(host) is beyond


@pytest.mark.usefixtures("secrets")
def test_accounts_are_asked_for_beyond_this_machine_unless_told_otherwise() -> None:
    assert not Access.of("127.0.0.1").auth
    assert Access.of("0.0.0.0").auth
    assert Access.of("127.0.0.1", auth=True).auth
    assert not Access.of("0.0.0.0", auth=False).auth


def test_without_secrets_nothing_is_opened_and_the_message_says_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_AUTH_ADMIN_PASSWORD", raising=False)
    monkeypatch.delenv("MLFLOW_FLASK_SERVER_SECRET_KEY", raising=False)
    with pytest.raises(
        UsageError,
        match=r"--host 0\.0\.0\.0: .*MLFLOW_AUTH_ADMIN_PASSWORD, of at least 12.*MLFLOW_FLASK_SERVER_SECRET_KEY"
        r".*secrets\.token_hex.*ssh -L",
    ):
        Access.of("0.0.0.0")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "0123456789abcdef")
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "short")
    with pytest.raises(UsageError, match=r"MLFLOW_AUTH_ADMIN_PASSWORD.*\(it is shorter\)") as error:
        Access.of("0.0.0.0")
    assert "SECRET_KEY" not in str(error.value)
    assert "'short'" not in str(error.value)


@pytest.mark.usefixtures("secrets")
def test_a_missing_package_for_accounts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.serving.access.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"flask-wtf: pip install 'rankscope\[server\]'"):
        Access.of("0.0.0.0")


@pytest.mark.usefixtures("secrets")
def test_mlflow_and_the_reports_answer_to_the_same_names() -> None:
    access = Access.of("0.0.0.0", ["sweeps.example.org,mlflow.lab:8443", "*.lab"])
    let_in = (
        *("sweeps.example.org", "sweeps.example.org:5000", "mlflow.lab:8443", "a.lab", "a.lab:80"),
        *("localhost", "localhost:8888", "127.0.0.1:5000", "[::1]", "[::1]:5000"),
        *(socket.gethostname(), f"{socket.gethostname()}:5000"),
    )
    turned_away = ("", "evil.org", "10.evil.org", "sweeps.example.org.evil.org", "192.168.evil.org", "x::1]")
    for host in (*let_in, *turned_away):
        # MLflow's own check is the reference for ours.
        assert is_allowed_host_header(access.hosts(), host) == (host in let_in), host
        assert access.lets_in(host) == (host in let_in), host


@pytest.mark.usefixtures("secrets")
def test_mlflows_own_page_may_change_things_under_each_name_and_no_other_page() -> None:
    origins = Access.of("0.0.0.0", ["sweeps.example.org"]).origins()
    for origin in ("http://sweeps.example.org:5000", "https://sweeps.example.org"):
        assert not should_block_cors_request(origin, "POST", origins)
    for origin in ("http://evil.org", "https://sweeps.example.org.evil.org"):
        assert should_block_cors_request(origin, "POST", origins)
    assert Access.of("127.0.0.1").origins() == []
