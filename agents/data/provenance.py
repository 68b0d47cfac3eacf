"""Where a dataset came from: versions, machine, commit."""

import contextlib
import datetime
import json
import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

COMMIT_FILE = "rankscope-commit.json"
"""Beside the packages where they were sent without their .git folder: what `git_state` said at home."""
_PACKAGES = ("rankscope", "numpy", "torch", "bsuite", "dm-env", "ale-py", "gymnasium")


def provenance() -> dict[str, Any]:
    """Package versions, machine, git commit and the time, as plain values for ``dataset.json``."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
        },
        "git": git_state(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout that holds this code and whether it was changed; None for an installed copy."""
    folder = Path(__file__).resolve().parent
    with contextlib.suppress(OSError, ValueError):
        sent: dict[str, Any] | None = json.loads(
            (folder.parents[1] / COMMIT_FILE).read_text(encoding="utf-8")
        )
        return sent
    try:
        run = [
            subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": run[0], "dirty": bool(run[1])}


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
