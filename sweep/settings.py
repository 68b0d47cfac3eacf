"""The one place that reads or writes environment variables."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = [
    "cache_folder",
    "columns_of_pipes",
    "compiler_names",
    "default_root",
    "notify_addresses",
    "process_environment",
    "quiet_environment",
    "ray_token",
    "value_of",
]


def default_root() -> str:
    """Where sweeps live unless `--root` says otherwise: `$SWEEP_ROOT`, else `./sweeps`; not checked yet."""
    return os.environ.get("SWEEP_ROOT") or "sweeps"


def cache_folder() -> Path:
    """This node's folder for what is fetched: `$SWEEP_CACHE`, else `rankscope` in `$XDG_CACHE_HOME` or `~/.cache`."""
    chosen = os.environ.get("SWEEP_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    # The standard asks for absolute paths and wants others to be left aside.
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "rankscope"


def notify_addresses() -> list[str]:
    """Where messages about sweeps go unless `--notify` says otherwise: `$SWEEP_NOTIFY`, by white space."""
    return os.environ.get("SWEEP_NOTIFY", "").split()


def value_of(name: str) -> str | None:
    """A variable that the user has named, as in `--notify env:NAME`."""
    return os.environ.get(name)


def columns_of_pipes() -> int:
    """Characters a line where output is not a terminal: `$COLUMNS`, else 160."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) else 160


def compiler_names() -> list[str]:
    """C++ compilers in the order in which they are looked for: `$CXX`, then the usual ones."""
    return [name for name in (os.environ.get("CXX"), "g++", "clang++") if name]


def ray_token(*, make: bool = False) -> str | None:
    """The token that Ray asks for: `$RAY_AUTH_TOKEN`, or in the file `$RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token`.

    None where there is none, unless it is to be made; only this user can read it then.
    """
    said = os.environ.get("RAY_AUTH_TOKEN")
    if said:
        return said
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()
    if make and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
            handle.write(secrets.token_hex(32))
    try:
        return file.read_text().strip() or None
    except FileNotFoundError:
        return None


def process_environment() -> dict[str, str]:
    """The environment of processes that we start: this one's, with `quiet_environment`."""
    return {**os.environ, **quiet_environment()}


def quiet_environment() -> dict[str, str]:
    """Variables for processes that we start, those set already left alone.

    Ray and MLflow would send usage statistics; here they do so only for a user who has said so.
    """
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Tune's own loggers cost up to 100 ms a result and write what the store holds already.
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        # Ctrl-C comes to us, who know how to go on; Tune would point to a restore of its own.
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        # Nothing is restored from Tune's own state, so it need not be saved often.
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}
