"""How far each pack is, from moment to moment: a small file a pack, for whoever looks.

Losing one loses nothing: what counts is in the store. So these are not synced to disk, and a full disk is no
reason to stop. On an object store they are written by a thread of their own and seldom: a request costs time and
money, and one that hangs must not hold up training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

from sweep.errors import SweepError
from sweep.pack_report import Report
from sweep.store import SweepStore, files
from sweep.store.places import is_local

__all__ = ["progress_path", "read_json", "read_progress", "write_json", "write_progress"]

_SECONDS_BETWEEN_OBJECTS = 10.0
_sent: dict[str, tuple[float, threading.Thread]] = {}
"""By name, when this process last began to write an object, and the thread that does."""


def write_progress(store: SweepStore, report: Report) -> None:
    """Replace the pack's progress file; on an object store at most every 10 s, and without waiting for it."""
    path = progress_path(store, report.pack_id)
    about = {
        k: None if isinstance(v, float) and math.isnan(v) else v
        for k, v in dataclasses.asdict(report).items()
    }
    write_json(path, {**about, "updated": time.time()})


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file whose loss would not matter; errors are ignored, and what comes too soon is left out."""
    if not is_local(path):
        _send(path, value)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value))
        temporary.replace(path)


def read_progress(store: SweepStore, pack_id: str) -> dict[str, Any] | None:
    """What the pack's process last said, with `updated` in unix seconds; None if nothing yet."""
    return read_json(progress_path(store, pack_id))


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote, or None."""
    try:
        found: dict[str, Any] = json.loads(files.read_bytes(path))
    except (OSError, ValueError, SweepError):
        return None
    return found


def _send(path: Path, value: dict[str, Any]) -> None:
    began, thread = _sent.get(str(path), (-math.inf, None))
    if time.monotonic() - began < _SECONDS_BETWEEN_OBJECTS or (thread is not None and thread.is_alive()):
        return

    def send() -> None:
        with contextlib.suppress(SweepError), files.patience(0.0):
            files.replace_json(path, value)

    thread = threading.Thread(target=send, name=f"progress {path.name}", daemon=True)
    _sent[str(path)] = (time.monotonic(), thread)
    thread.start()


def progress_path(store: SweepStore, pack_id: str) -> Path:
    """Where the pack's process says how far it is."""
    return store.layout.folder / "progress" / f"{store.layout.pack(pack_id).name}.json"
