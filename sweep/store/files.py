"""Every touch of the disk that changes the store: committed whole, durable, or not at all.

A commit is: temporary file in the same folder, fsync, rename (or link, where the name must be new), fsync of
the folder. So a reader never sees half a file whatever is killed, and a commit that returned survives a power
cut. Temporary names start with a dot and do not end in `.parquet`: no reader's glob matches them. Local
folders and mounts only, so far; an object store would replace this module and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.errors import CorruptSegmentError, StoreError, UsageError

__all__ = [
    "list_names",
    "local_root",
    "make_folder",
    "put_if_absent",
    "put_json_if_absent",
    "read_bytes",
    "read_json",
    "remove",
    "remove_files",
    "remove_temporaries",
    "replace",
    "replace_json",
    "writing",
]

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def local_root(root: str | os.PathLike[str]) -> Path:
    """The root as a path; a URL of an object store is refused until it can be written safely."""
    text = os.fspath(root)
    scheme, separator, _ = text.partition("://")
    if separator:
        raise UsageError(
            f"root {text!r}: {scheme}:// is not supported yet; a root is a local folder or a mounted one. "
            "Mount the bucket, or give --root a folder."
        )
    if not text:
        raise UsageError("root '': it must be a folder; give --root a path.")
    return Path(text).expanduser()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably; one that exists is left alone."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with _explained("make the folder", folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _sync_folder(folder.parent)


def replace(path: Path, data: bytes) -> None:
    """Write a file atomically in place of whatever has its name."""
    with writing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def put_if_absent(path: Path, data: bytes) -> bool:
    """Write a file atomically unless the name is taken; False where it was, and then nothing has changed."""
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
    """A temporary path to fill, committed over `path` when the block ends well and removed when it fails."""
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


def replace_json(path: Path, value: Any) -> None:
    """Write JSON atomically in place of whatever has its name."""
    replace(path, _json_bytes(value))


def put_json_if_absent(path: Path, value: Any) -> bool:
    """Write JSON atomically unless the name is taken; False where it was."""
    return put_if_absent(path, _json_bytes(value))


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises FileNotFoundError, which callers take as "moved on", or StoreError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}.") from error


def read_json(path: Path) -> Any:
    """A JSON file's value. Raises FileNotFoundError, or CorruptSegmentError where it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        message = f"{path}: damaged, not valid JSON ({error}); bring it back from a backup, or remove it."
        raise CorruptSegmentError(message, path) from error


def list_names(folder: Path) -> list[str]:
    """The visible names in a folder, sorted; none where the folder does not exist."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(path: Path) -> None:
    """Remove a file, durably; one that is not there is fine."""
    _discard(path)
    _sync_folder(path.parent)


def remove_files(folder: Path) -> None:
    """Remove a flat folder and all in it; one that is not there, or half removed by another, is fine."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        _discard(folder / name)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in a folder. Only for who owns it: live writers use such names."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(".") and ".tmp-" in name:
                _discard(folder / name)


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    """NumPy scalars and paths, which results and environments are full of, as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON")


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
