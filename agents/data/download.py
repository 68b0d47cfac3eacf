"""Bringing a remote file to this machine once: resumed after a kill, checked, one downloader at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.data.arrays import full_disk_named
from agents.data.file_checks import Check
from agents.data.remote_files import RemoteFile, RemoteFiles
from agents.data.remote_stream import open_remote
from agents.errors import DatasetError

__all__ = ["Bytes", "download", "exclusively"]

_PIECE = 4 * 2**20
Bytes = Callable[[int, int | None], None]
"""Told how many bytes of how many (None: not known) a file has arrived with."""


def download(
    files: RemoteFiles,
    file: RemoteFile,
    target: Path,
    check: Check | None = None,
    progress: Bytes | None = None,
) -> Path:
    """The content of ``file`` at ``target``, fetched unless it is there already.

    A copy is there already if it was fetched from the same address, size and tag. What arrives goes into
    ``<target>.part`` and is renamed when it is whole and, with ``check``, has the recorded checksum. A
    downloader that was killed leaves the part, and the next goes on from its end; of several at one time the
    others wait. Raises DatasetError for what does not arrive, naming the address and the byte, for a checksum
    that differs (the part is deleted), and for a full disk.
    """
    about: dict[str, Any] = {"url": files.address(file.name), "size": file.size, "tag": file.tag}
    if check is not None:
        about["check"] = [check.algorithm, check.expected]
    note, part = target.with_name(f"{target.name}.json"), target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(target.with_name(f"{target.name}.lock")):
        noted = _read(note)
        if target.is_file() and noted == about and file.size in (None, target.stat().st_size):
            return target
        if noted != about or (file.tag is None and file.size is None):
            # Another content, or nothing to tell whether it is the same: its beginning is of no use.
            part.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            _write(note, about)
        with full_disk_named(target):
            _fetch(files, file, part, progress)
        remedy = "What was fetched is deleted: give the same command again, or correct the checksum."
        try:
            size = part.stat().st_size
            if file.size is not None and size != file.size:
                raise DatasetError(f"{about['url']} came with {size:,} bytes, not {file.size:,}. {remedy}")
            if check is not None:
                check.compare(check.of_file(part), str(about["url"]), remedy)
        except DatasetError:
            part.unlink(missing_ok=True)
            raise
        os.replace(part, target)
    return target


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Wait until no other process of this machine holds ``lock``, and hold it; it falls with its process."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(files: RemoteFiles, file: RemoteFile, part: Path, progress: Bytes | None) -> None:
    with part.open("ab") as out:
        stream, at = open_remote(files, file, out.tell())
        out.truncate(at)
        with stream:
            while piece := stream.read(_PIECE):
                out.write(piece)
                at += len(piece)
                if progress is not None:
                    progress(at, file.size)
        out.flush()
        os.fsync(out.fileno())


def _read(note: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def _write(note: Path, content: dict[str, Any]) -> None:
    fresh = note.with_name(f"{note.name}.new")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    os.replace(fresh, note)
