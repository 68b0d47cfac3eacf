"""Files of folders and mounts: committed whole, durable, or not at all.

A commit is: temporary file in the same folder, fsync, rename (or link, where the name must be new), fsync of
the folder. So a reader never sees half a file whatever is killed, and a commit that returned survives a power
cut. Temporary names start with a dot and do not end in `.parquet`: no reader's glob matches them.

What each function promises is said in `sweep.store.files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sweep.errors import StoreError

__all__ = [
    "arrow_filesystem",
    "exists",
    "is_folder",
    "list_names",
    "list_tree",
    "make_folder",
    "open_file",
    "put_if_absent",
    "read_bytes",
    "read_end",
    "remove",
    "remove_files",
    "remove_temporaries",
    "replace",
    "size",
    "writing",
]

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with _explained("make the folder", folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _sync_folder(folder.parent)


def replace(path: Path, data: bytes) -> None:
    with writing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def put_if_absent(path: Path, data: bytes, *, contested: bool = True) -> bool:
    with _explained("write", path):
        temporary = _temporary(path)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            committed = _link_or_rename(temporary, path)
        except Exception:
            _discard(temporary)
            raise
        _discard(temporary)
        _sync_folder(path.parent)
        return committed


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    with _explained("write", path):
        temporary = _temporary(path)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except Exception:
            # Not BaseException: a killed process leaves its temporary file too, and nobody reads those.
            _discard(temporary)
            raise
        _sync_folder(path.parent)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}.") from error


def read_end(path: Path, most: int) -> tuple[bytes, int]:
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        return file.read(), size


def open_file(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}.") from error


def arrow_filesystem(path: Path) -> Any:
    from pyarrow import fs

    return fs.LocalFileSystem()


def size(path: Path) -> int:
    return path.stat().st_size


def exists(path: Path) -> bool:
    return path.exists()


def is_folder(path: Path) -> bool:
    return path.is_dir()


def list_names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_tree(folder: Path) -> list[str]:
    found: list[str] = []
    for where, _, names in os.walk(folder):
        below = Path(where).relative_to(folder)
        found += [(below / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def remove(path: Path) -> None:
    _discard(path)
    _sync_folder(path.parent)


def remove_files(folder: Path) -> None:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        _discard(folder / name)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def remove_temporaries(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(".") and ".tmp-" in name:
                _discard(folder / name)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp-{secrets.token_hex(6)}")


def _link_or_rename(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system that lost the reply to our own link reports this: it is ours all the same.
        return os.path.samefile(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if path.exists():
            return False
        os.replace(temporary, path)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some mounts cannot sync folders and say so; there is nothing more to be done about it there.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says into an error that names the file and the remedy."""
    try:
        yield
    except (StoreError, FileNotFoundError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"{path}: cannot {action}: {os.strerror(error.errno or 0)} ({_free_bytes(path)} bytes free). "
                "What was committed before is whole and readable. Free some space and give the same command "
                "again."
            ) from error
        raise StoreError(
            f"{path}: cannot {action}: {error.strerror or error}. Check the folder's owner and permissions."
        ) from error


def _free_bytes(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free:,}"
    except OSError:
        return "unknown"
