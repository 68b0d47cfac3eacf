"""Every touch of the disk or bucket that changes the store: committed whole, durable, or not at all.

A place decides how: folders and mounts by `local_files`, object stores by `objects`. Functions raise
FileNotFoundError for a file that is not there, StoreError with a remedy for what cannot be done, and
StoreUnavailableError for an object store that does not answer after some tries (`patience`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from sweep.errors import CorruptSegmentError
from sweep.store import local_files
from sweep.store.faults import patience
from sweep.store.places import is_local

__all__ = [
    "arrow_filesystem",
    "arrow_name",
    "check_conditional_writes",
    "exists",
    "is_folder",
    "list_names",
    "list_tree",
    "make_folder",
    "open_file",
    "patience",
    "put_if_absent",
    "put_json_if_absent",
    "read_bytes",
    "read_end",
    "read_json",
    "remove",
    "remove_files",
    "remove_temporaries",
    "replace",
    "replace_json",
    "side_by_side",
    "size",
    "writing",
]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AT_ONCE = 16


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably; one that exists is left alone. Object stores have none."""
    _keeper(folder).make_folder(folder)


def replace(path: Path, data: bytes) -> None:
    """Write a file atomically in place of whatever has its name."""
    _keeper(path).replace(path, data)


def put_if_absent(path: Path, data: bytes, *, contested: bool = True) -> bool:
    """Write a file atomically unless the name is taken; False where it was, and then nothing has changed.

    On an object store a name that is taken by exactly these bytes is ours: the reply to an earlier try was lost.
    So `data` holds something that no other process would write, where that matters. `contested`: whether
    several processes may want the name; where the store has no conditional writes only those names are waited for.
    """
    return _keeper(path).put_if_absent(path, data, contested=contested)


def writing(path: Path) -> AbstractContextManager[Path]:
    """A temporary path to fill, committed over `path` when the block ends well and removed when it fails."""
    return _keeper(path).writing(path)


def replace_json(path: Path, value: Any) -> None:
    """Write JSON atomically in place of whatever has its name."""
    replace(path, _json_bytes(value))


def put_json_if_absent(path: Path, value: Any) -> bool:
    """Write JSON atomically unless the name is taken; False where it was."""
    return put_if_absent(path, _json_bytes(value))


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises FileNotFoundError, which callers take as "moved on", or StoreError."""
    return _keeper(path).read_bytes(path)


def read_end(path: Path, most: int) -> tuple[bytes, int]:
    """The last bytes of a file, at most so many, and the size of all of it."""
    return _keeper(path).read_end(path, most)


def open_file(path: Path) -> BinaryIO:
    """A file to be read from here and there; close it."""
    return _keeper(path).open_file(path)


def arrow_filesystem(path: Path) -> Any:
    """The `pyarrow.fs.FileSystem` that reads a place's files under their `arrow_name`."""
    return _keeper(path).arrow_filesystem(path)


def arrow_name(path: Path) -> str:
    """What a file is called in `arrow_filesystem`."""
    return str(path) if is_local(path) else str(path.path)  # type: ignore[attr-defined]


def read_json(path: Path) -> Any:
    """A JSON file's value. Raises FileNotFoundError, or CorruptSegmentError where it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        message = f"{path}: damaged, not valid JSON ({error}); bring it back from a backup, or remove it."
        raise CorruptSegmentError(message, path) from error


def size(path: Path) -> int:
    """A file's size in bytes. Raises FileNotFoundError."""
    return _keeper(path).size(path)


def exists(path: Path) -> bool:
    """Whether there is such a file."""
    return _keeper(path).exists(path)


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; on an object store, whether anything lies below it."""
    return _keeper(path).is_folder(path)


def list_names(folder: Path) -> list[str]:
    """The visible names in a folder, sorted; none where the folder does not exist."""
    return _keeper(folder).list_names(folder)


def list_tree(folder: Path) -> list[str]:
    """The visible files below a folder, `/` between the parts of their names, sorted."""
    return _keeper(folder).list_tree(folder)


def remove(path: Path) -> None:
    """Remove a file, durably; one that is not there is fine."""
    _keeper(path).remove(path)


def remove_files(folder: Path) -> None:
    """Remove a flat folder and all in it; one that is not there, or half removed by another, is fine."""
    _keeper(folder).remove_files(folder)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in a folder. Only for who owns it: live writers use such names."""
    _keeper(folder).remove_temporaries(folder)


def side_by_side(place: Path, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`call` of each item, in order; on an object store many at once, for each waits for a reply."""
    if is_local(place):
        return [call(item) for item in items]
    # Each in a copy of this context, which holds how patient the caller is.
    tasks = [(copy_context(), item) for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda task: task[0].run(call, task[1]), tasks))


def check_conditional_writes(root: Path) -> str | None:
    """What a user of a root should know of its object store's way to write a name only once; None for nothing.

    Tries it out, and from then on this process writes accordingly.
    """
    if is_local(root):
        return None
    from sweep.store import objects

    return objects.check_conditional_writes(root)


class _Keeper(Protocol):
    """What `local_files` and `objects` both are; the functions above say what each does."""

    def make_folder(self, folder: Path, /) -> None: ...
    def replace(self, path: Path, data: bytes, /) -> None: ...
    def put_if_absent(self, path: Path, data: bytes, /, *, contested: bool = True) -> bool: ...
    def writing(self, path: Path, /) -> AbstractContextManager[Path]: ...
    def read_bytes(self, path: Path, /) -> bytes: ...
    def read_end(self, path: Path, most: int, /) -> tuple[bytes, int]: ...
    def open_file(self, path: Path, /) -> BinaryIO: ...
    def arrow_filesystem(self, path: Path, /) -> Any: ...
    def size(self, path: Path, /) -> int: ...
    def exists(self, path: Path, /) -> bool: ...
    def is_folder(self, path: Path, /) -> bool: ...
    def list_names(self, folder: Path, /) -> list[str]: ...
    def list_tree(self, folder: Path, /) -> list[str]: ...
    def remove(self, path: Path, /) -> None: ...
    def remove_files(self, folder: Path, /) -> None: ...
    def remove_temporaries(self, folder: Path, /) -> None: ...


def _keeper(place: Path) -> _Keeper:
    if is_local(place):
        return local_files
    from sweep.store import objects

    return objects


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
    if hasattr(value, "fs"):
        return str(value)  # a place on an object store
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON")
