"""What every maker of a dataset needs: a lock on its name, files that are on the disk before they are visible."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path

from agents.data.arrays import full_disk_named
from agents.data.manifest import check_name
from agents.errors import DatasetError

__all__ = ["check_free", "link_or_copy", "sync_folder", "take_lock", "write_synced"]


def check_free(path: Path) -> None:
    """Raises DatasetError where there is a dataset ``path`` already, or where its name is not allowed."""
    check_name(path.name)
    if path.exists():
        raise DatasetError(
            f"dataset {path.name!r} exists already in {path.parent}. Choose another name, or delete that "
            "folder first."
        )


def take_lock(lock_path: Path, dataset: Path) -> int:
    """Hold ``lock_path`` until the descriptor is closed. Raises DatasetError naming another process that does."""
    while True:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise DatasetError(
                f"dataset {dataset.name!r} is being made by {owner}. Wait until it is done, or end that "
                "process; then give the same command again."
            ) from error
        try:
            if os.stat(lock_path).st_ino == os.fstat(descriptor).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(descriptor)
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return descriptor


def link_or_copy(source: Path, target: Path) -> None:
    """``target`` as another name of ``source``, or as a copy where it cannot be one."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        with full_disk_named(target):
            shutil.copyfile(source, target)


def write_synced(path: Path, text: str) -> None:
    """Write a file that is on the disk when this returns."""
    with full_disk_named(path), path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
