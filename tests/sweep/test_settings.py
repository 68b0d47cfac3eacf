"""What the environment may say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import sweep
from sweep import settings


def test_the_root_is_the_variable_else_a_folder_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_ROOT", raising=False)
    assert settings.default_root() == "sweeps"
    monkeypatch.setenv("SWEEP_ROOT", "")
    assert settings.default_root() == "sweeps"
    monkeypatch.setenv("SWEEP_ROOT", "/mnt/sweeps")
    assert settings.default_root() == "/mnt/sweeps"


def test_the_cache_is_the_variable_else_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", "/scratch/cache")
    assert settings.cache_folder() == Path("/scratch/cache")
    monkeypatch.delenv("SWEEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/caches")
    assert settings.cache_folder() == Path("/var/tmp/caches/rankscope")
    monkeypatch.setenv("HOME", "/home/someone")
    for nothing in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", nothing)
        assert settings.cache_folder() == Path("/home/someone/.cache/rankscope")


def test_usage_statistics_are_off_unless_the_user_has_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    quiet = settings.quiet_environment()
    assert (quiet["RAY_USAGE_STATS_ENABLED"], quiet["MLFLOW_DISABLE_TELEMETRY"]) == ("0", "true")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    assert settings.quiet_environment()["RAY_USAGE_STATS_ENABLED"] == "1"
    assert settings.process_environment()["RAY_USAGE_STATS_ENABLED"] == "1"


def test_the_compiler_of_the_user_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/opt/bin/c++")
    assert settings.compiler_names() == ["/opt/bin/c++", "g++", "clang++"]
    monkeypatch.delenv("CXX")
    assert settings.compiler_names() == ["g++", "clang++"]


@pytest.mark.parametrize(("said", "columns"), [("80", 80), ("", 160), ("wide", 160), ("0", 160)])
def test_pipes_are_wide_unless_columns_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", said)
    assert settings.columns_of_pipes() == columns


# Each has a reason of its own: whole environments for child processes, and MLflow's settings around its client.
MAY_TOUCH = {"settings.py", "tracking.py", "process.py", "ui.py", "tune_session.py"}


def test_no_other_module_reads_the_environment() -> None:
    found = set()
    for path in Path(sweep.__file__).parent.rglob("*.py"):
        names = {
            node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        }
        if names & {"environ", "getenv", "putenv"}:
            found.add(path.name)
    assert found <= MAY_TOUCH, found
    for name in MAY_TOUCH - {"settings.py"}:
        for path in Path(sweep.__file__).parent.rglob(name):
            read = re.findall(r"os\.getenv|os\.environ\[\"|os\.environ\.get\(\"", path.read_text())
            assert not read, f"{path}: a variable is read by name"
