"""Questions that another process answers: a broken library can crash or hang, and must not take us along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from sweep.settings import process_environment

__all__ = ["ask"]


def ask(code: str, seconds: float = 60.0) -> dict[str, Any] | str:
    """Run `code` in a Python of its own; the JSON object that it prints last, or why there is none, one line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=process_environment(),
        # A group of its own, so that whatever it started ends with it.
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"no answer within {seconds:.0f} s"
    if process.returncode < 0:
        return f"the process died of {signal.Signals(-process.returncode).name}"
    if process.returncode > 0:
        lines = [line for line in err.strip().splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"the process ended with exit status {process.returncode}"
    try:
        answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return "the process gave no answer"
    return answer
