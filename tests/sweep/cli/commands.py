"""The command line as tests call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """How a command ended: exit status, standard output and error."""

    code: int
    out: str
    err: str


Sweep = Callable[..., Said]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "SWEEP_ROOT")}, **environment},
    )
