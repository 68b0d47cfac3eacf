"""A root in a bucket: whether it answers, what it lets us do, and the disk of this node that its data pass through."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast

from sweep.doctor.finding import Finding
from sweep.errors import SweepError
from sweep.settings import cache_folder
from sweep.store import files

__all__ = ["bucket", "node_disk"]

_GB = 1e9
_SKEW_SECONDS = 60.0


def bucket(root: Path) -> Iterator[Finding]:
    """Whether objects can be written, read, listed and deleted below the root, once only where that matters."""
    probe = root / f".sweep-doctor-{secrets.token_hex(8)}"
    mend = "see the reason; docs/how-to/root-in-a-bucket.md says what has to be set"
    began = time.monotonic()
    try:
        with files.patience(5.0):
            files.replace(probe, b"sweep doctor")
            try:
                if files.read_bytes(probe) != b"sweep doctor":
                    yield Finding("root", f"{root} gives other bytes than it was given", "bad", mend)
                    return
                took = time.monotonic() - began
                skew = _clock_ahead(probe)
            finally:
                with contextlib.suppress(SweepError):
                    files.remove(probe)
            yield Finding("root", f"{root} can be written, {took * 500:,.0f} ms a request")
            yield _conditions(root)
            if skew is not None:
                yield _clock(skew)
    except SweepError as error:
        yield Finding("root", str(error), "bad", mend)


def node_disk() -> Finding:
    """Room on this node for datasets, which are copied here from the bucket and mapped into memory."""
    folder = cache_folder()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / _GB:,.1f} GB free at {folder}, for this node's copies of datasets"
    mend = "free some space, or set SWEEP_CACHE to a folder on another disk"
    if free < 1 * _GB:
        return Finding("disk", found, "bad", mend)
    return Finding("disk", found, "warning", mend) if free < 10 * _GB else Finding("disk", found)


def _conditions(root: Path) -> Finding:
    said = files.check_conditional_writes(root)
    if said is None:
        return Finding("root writes once", "conditional writes work")
    return Finding("root writes once", said, "warning", "use a store with conditional writes (If-None-Match)")


def _clock_ahead(path: Path) -> float | None:
    """Seconds that this machine's clock is ahead of the store's; None where it does not say when a file was written.

    It says so in whole seconds.
    """
    place = cast(Any, path)
    now = time.time()
    try:
        about = place.fs.info(place.path)
    except OSError:
        return None
    written = about.get("LastModified") or about.get("updated") or about.get("mtime")
    if isinstance(written, str):
        with contextlib.suppress(ValueError):
            written = parsedate_to_datetime(written)
    return now - written.timestamp() if hasattr(written, "timestamp") else None


def _clock(ahead: float) -> Finding:
    if abs(ahead) < _SKEW_SECONDS:
        return Finding("clock", "agrees with the bucket's")
    found = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the bucket's"
    mend = (
        "set the clock (NTP): requests are refused from 15 min on; a sweep's order does not depend on clocks"
    )
    return Finding("clock", found, "warning", mend)
