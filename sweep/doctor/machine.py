"""The machine: disk, shared memory, open files."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from sweep.doctor.finding import Finding

__all__ = ["free_disk", "open_files", "shared_memory"]

_GB = 1e9
_FILES_WANTED = 4096


def free_disk(folder: Path) -> Finding:
    """Room for datasets, rows and checkpoints."""
    free = shutil.disk_usage(folder).free
    found = f"{free / _GB:,.1f} GB free at {folder}"
    mend = "free some space, or give a --root on another disk"
    if free < 1 * _GB:
        return Finding("disk", found, "bad", mend)
    return Finding("disk", found, "warning", mend) if free < 10 * _GB else Finding("disk", found)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Room for Ray's object store, of which a sweep needs 128 MiB."""
    if not folder.is_dir():
        mend = "mount it (tmpfs); Ray uses the slower /tmp until then"
        return Finding("shared memory", f"{folder} does not exist", "warning", mend)
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**20:,.0f} MiB free at {folder}"
    if free < 256 * 2**20:
        mend = "give it 256 MiB or more (docker: --shm-size=1g); Ray uses the slower /tmp until then"
        return Finding("shared memory", found, "warning", mend)
    return Finding("shared memory", found)


def open_files(limits: tuple[int, int] | None = None) -> Finding:
    """The limit on open files: Ray holds many connections. `limits`: soft and hard, this process's if None."""
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", "no limit")
    if soft < _FILES_WANTED:
        enough = hard == resource.RLIM_INFINITY or hard >= _FILES_WANTED
        mend = (
            f"before the sweep: ulimit -n {65536 if hard == resource.RLIM_INFINITY else min(65536, hard)}"
            if enough
            else f"the hard limit is {hard}: raise nofile in /etc/security/limits.conf, or docker --ulimit nofile=65536"
        )
        return Finding("open files", f"at most {soft:,}; Ray on many cores needs more", "warning", mend)
    return Finding("open files", f"at most {soft:,}")
