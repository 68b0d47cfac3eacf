"""The command that is kept in records and locks holds no secret."""

from __future__ import annotations

import sys

import pytest

from sweep.command_line import command_without_secrets
from sweep.store.owners import about_me


def test_addresses_of_messages_and_passwords_in_urls_are_left_out() -> None:
    arguments = [
        "sweep",
        "run",
        "demo",
        "--notify",
        "slack://s3cret/a",
        "--notify=json://s3cret",
        "--max-hours",
        "3",
    ]
    assert command_without_secrets(arguments) == [
        *("sweep", "run", "demo", "--notify", "…", "--notify=…", "--max-hours", "3")
    ]
    assert command_without_secrets(["--notify", "env:TEAM_CHAT"]) == ["--notify", "env:TEAM_CHAT"]
    assert command_without_secrets(["--mlflow-uri=https://me:s3cret@host:5000/x"]) == [
        "--mlflow-uri=https://…@host:5000/x"
    ]
    assert command_without_secrets(["http://me:s3@cr@t@host"]) == ["http://…@host"]
    assert command_without_secrets(["s3://bucket/a@b"]) == ["s3://bucket/a@b"]


def test_the_owner_of_a_sweep_does_not_tell_them_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/sweep", "--notify=json://s3cret", "run"])
    assert about_me()["command"] == "sweep --notify=… run"
