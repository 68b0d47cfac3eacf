"""The folder of a dataset, on this machine or in a bucket: the few questions that are asked of both.

What is in a bucket comes as a `upath.UPath`, which has what is used here of a `pathlib.Path`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from agents.data.remote_errors import explain
from agents.errors import DatasetError

__all__ = ["arrays_folder", "dataset_names", "exists", "is_local", "place_of", "read_text"]

T = TypeVar("T")


def place_of(path: Path | str) -> Path:
    """`path` as a place: text is a local path, a place stays one."""
    return Path(path) if isinstance(path, str) else path


def is_local(path: Path) -> bool:
    """Whether the operating system sees what is there."""
    return isinstance(path, Path)


def arrays_folder(fingerprint: str) -> str:
    """The folder below a dataset's own in which a bucket has its arrays.

    One a content, so that two makers of one name can never overwrite each other's.
    """
    return fingerprint[:16]


def exists(path: Path) -> bool:
    """Whether there is a file (or, locally, a folder). Raises DatasetError where a bucket does not say."""
    return path.exists() if is_local(path) else bool(_asked(path.exists, path))


def read_text(path: Path) -> str:
    """A small file's text. Raises FileNotFoundError, or DatasetError where a bucket does not give it."""
    if is_local(path):
        return path.read_text(encoding="utf-8")
    bucket = cast(Any, path)
    # `read_text` asks for the size first, and where there is none for a listing.
    return _asked(lambda: bytes(bucket.fs.cat_file(bucket.path)).decode("utf-8"), path)


def dataset_names(folder: Path) -> list[str]:
    """The visible names of folders in `folder`, sorted; none where it does not exist."""
    if is_local(folder):
        there = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    else:
        bucket = cast(Any, folder)
        try:
            found = _asked(lambda: list(bucket.fs.ls(bucket.path, detail=True)), folder)
        except FileNotFoundError:
            return []
        base = bucket.path.rstrip("/") + "/"
        # Of a folder that is not there some clients list the one above.
        paths = [one["name"].rstrip("/") for one in found if one["type"] == "directory"]
        there = [path.removeprefix(base) for path in paths if path.startswith(base)]
    return sorted(name for name in there if not name.startswith("."))


def _asked(what: Callable[[], T], path: Path) -> T:
    """The answer of a bucket, which its client has asked for several times; its errors in words."""
    try:
        return what()
    except (DatasetError, FileNotFoundError):
        raise
    except Exception as error:
        scheme = str(path).partition("://")[0]
        had_credentials = type(error).__name__ != "NoCredentialsError"
        raise explain(error, str(path), scheme, had_credentials) from error
