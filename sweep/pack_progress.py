"""How far each pack is, from moment to moment: a small file a pack, for whoever looks.

Losing one loses nothing: what counts is in the store. So these are not synced to disk, and a full disk is no
reason to stop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from sweep.pack_report import Report
from sweep.store import SweepStore

__all__ = ["read_progress", "write_progress"]


def write_progress(store: SweepStore, report: Report) -> None:
    """Replace the pack's progress file."""
    path = _path(store, report.pack_id)
    about = {
        k: None if isinstance(v, float) and math.isnan(v) else v
        for k, v in dataclasses.asdict(report).items()
    }
    write_json(path, {**about, "updated": time.time()})


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file whose loss would not matter; errors of the disk are ignored."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value))
        temporary.replace(path)


def read_progress(store: SweepStore, pack_id: str) -> dict[str, Any] | None:
    """What the pack's process last said, with `updated` in unix seconds; None if nothing yet."""
    return read_json(_path(store, pack_id))


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote, or None."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def _path(store: SweepStore, pack_id: str) -> Path:
    return store.layout.folder / "progress" / f"{store.layout.pack(pack_id).name}.json"
