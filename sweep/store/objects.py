"""Files of object stores: each a PUT, which is whole or not there; folders need not exist.

A name is taken by a conditional PUT. A lost reply makes the client try again and find the name taken by its own
bytes, so what is there is compared with what was to be written. Stores that ignore conditions are found by
trying; there, a contested name is written, left alone for `SETTLE_SECONDS`, and belongs to whose bytes it then has.

What each function promises is said in `sweep.store.files`.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from sweep.errors import SweepError
from sweep.store.faults import condition_refused, condition_unknown, persistently

__all__ = [
    "SETTLE_SECONDS",
    "age",
    "arrow_filesystem",
    "check_conditional_writes",
    "exists",
    "forget",
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

SETTLE_SECONDS = 2.0
"""How long a name that was written without a condition is left alone before it is looked at."""

_PIECE = 16 * 2**20
"""Bytes of one request of a large upload: small enough for a slow line to send before it is given up."""

_conditional: dict[tuple[str, str], bool] = {}
"""By endpoint and bucket, whether conditional writes are kept to."""


def make_folder(folder: Path) -> None:
    pass


def replace(path: Path, data: bytes) -> None:
    persistently("write", path, lambda: _put(path, data))


def put_if_absent(path: Path, data: bytes, *, contested: bool = True) -> bool:
    if not _conditions_hold(path):
        return _put_and_look(path, data, contested)
    try:
        persistently("write", path, lambda: _put(path, data, mode="create"))
    except FileExistsError:
        return _is(path, data)
    return True


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rankscope-") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        persistently("write", path, lambda: _upload(temporary, path))


def read_bytes(path: Path) -> bytes:
    return persistently("be read", path, lambda: _whole(path))


def read_end(path: Path, most: int) -> tuple[bytes, int]:
    whole = size(path)
    return _read(path, max(0, whole - most), whole), whole


def open_file(path: Path) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Reader(path, size(path)), 1 << 16))


def arrow_filesystem(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import fs

    class Handler(fs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
        """Reads through `open_file`, which tries again and tells damage from an outage."""

        def open_input_file(self, name: str) -> Any:
            place = _named(path, name)
            return pa.PythonFile(_Reader(place, size(place)), mode="r")

        open_input_stream = open_input_file

    return fs.PyFileSystem(Handler(_client(path)))


def size(path: Path) -> int:
    return int(persistently("be read", path, lambda: _client(path).info(_key(path)))["size"])


def exists(path: Path) -> bool:
    # Reading is one request where looking for it is two: a missing object could be a folder.
    try:
        _read(path, 0, 1)
    except FileNotFoundError:
        return False
    return True


def is_folder(path: Path) -> bool:
    return bool(_list(path, "/", most=1))


def list_names(folder: Path) -> list[str]:
    return sorted({name for name in _list(folder, "/") if not name.startswith(".")})


def list_tree(folder: Path) -> list[str]:
    return sorted(name for name in _list(folder, "") if not name.rpartition("/")[2].startswith("."))


def remove(path: Path) -> None:
    def call() -> None:
        with contextlib.suppress(FileNotFoundError):
            _client(path).rm_file(_key(path))

    persistently("be removed", path, call)


def remove_files(folder: Path) -> None:
    keys = [f"{_key(folder)}/{name}" for name in _list(folder, "")]

    def call() -> None:
        with contextlib.suppress(FileNotFoundError):
            _client(folder).rm(keys)

    if keys:
        persistently("be removed", folder, call)


def remove_temporaries(folder: Path) -> None:
    pass


def age(path: Path) -> float | None:
    """Seconds since an object was last written, by the store's own clock; None where the store does not tell.

    Raises FileNotFoundError.
    """
    client = _client(path)
    if not hasattr(client, "call_s3"):
        return None
    from email.utils import parsedate_to_datetime

    bucket, _, key = _key(path).partition("/")
    found = persistently("be read", path, lambda: client.call_s3("head_object", Bucket=bucket, Key=key))
    now = found["ResponseMetadata"]["HTTPHeaders"].get("date")
    return None if now is None else (parsedate_to_datetime(now) - found["LastModified"]).total_seconds()


def check_conditional_writes(root: Path) -> str | None:
    if _conditions_hold(root / "store", again=True):
        return None
    return (
        f"{root}: this object store ignores conditional writes (If-None-Match), so what only one process may "
        f"claim (a pack's attempt, the sweep itself) is written, left alone for {SETTLE_SECONDS:g} s and read back: "
        "slower, and two processes that claim within that time of each other on a stalled network can both "
        "think they won. A store that keeps to them is safer."
    )


def forget() -> None:
    """Forget what is known of the stores' conditional writes."""
    _conditional.clear()


def _conditions_hold(place: Path, *, again: bool = False) -> bool:
    """Whether a second conditional write of a name beside `place` is refused, tried once a process and bucket."""
    about = (str(getattr(_client(place), "endpoint_url", None)), _key(place).partition("/")[0])
    if again or about not in _conditional:
        _conditional[about] = _try_conditions(place.parent)
    return _conditional[about]


def _try_conditions(folder: Path) -> bool:
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        persistently("write", probe, lambda: _put(probe, b"first", mode="create"))
        persistently("write", probe, lambda: _put(probe, b"second", mode="create"))
    except FileExistsError:
        return True
    except NotImplementedError:
        return False
    finally:
        with contextlib.suppress(SweepError):
            remove(probe)
    return False


def _put_and_look(path: Path, data: bytes, contested: bool) -> bool:
    """`put_if_absent` for a store without conditions."""
    if exists(path):
        return _is(path, data)
    replace(path, data)
    if not contested:
        return True
    time.sleep(SETTLE_SECONDS)
    return _is(path, data)


def _is(path: Path, data: bytes) -> bool:
    try:
        return read_bytes(path) == data
    except FileNotFoundError:
        return False


def _put(path: Path, data: bytes, mode: str = "overwrite") -> None:
    try:
        _client(path).pipe_file(_key(path), data, mode=mode, chunksize=_PIECE)
    except Exception as error:
        if mode == "create" and condition_refused(error):
            raise FileExistsError(str(path)) from error
        if mode == "create" and condition_unknown(error):
            raise NotImplementedError(str(path)) from error
        raise


def _upload(local: Path, path: Path) -> None:
    _client(path).put_file(str(local), _key(path), chunksize=_PIECE)


def _whole(path: Path) -> bytes:
    client = _client(path)
    # Otherwise s3fs asks for the size first: two requests, most of them for a few hundred bytes.
    alone = {"max_concurrency": 1} if hasattr(client, "call_s3") else {}
    return cast(bytes, client.cat_file(_key(path), **alone))


def _read(path: Path, start: int, end: int) -> bytes:
    if start >= end:
        return b""
    return persistently(
        "be read", path, lambda: cast(bytes, _client(path).cat_file(_key(path), start=start, end=end))
    )


def _list(folder: Path, delimiter: str, most: int | None = None) -> list[str]:
    """Names below a folder: of what lies in it (`/`), or of every object."""
    client, key = _client(folder), _key(folder).rstrip("/")
    if not hasattr(client, "call_s3"):
        return persistently("be listed", folder, lambda: _list_any(client, key, delimiter))
    bucket, _, prefix = key.partition("/")
    prefix = f"{prefix}/" if prefix else ""
    # s3fs' own `ls` of a folder that is not there lists the whole folder above it.
    given = {
        "Bucket": bucket,
        "Prefix": prefix,
        "Delimiter": delimiter,
        **({"MaxKeys": most} if most else {}),
    }
    found: list[str] = []
    while True:
        page = persistently("be listed", folder, lambda: client.call_s3("list_objects_v2", **given))
        found += [one["Prefix"][len(prefix) :].rstrip("/") for one in page.get("CommonPrefixes", [])]
        found += [one["Key"][len(prefix) :] for one in page.get("Contents", []) if one["Key"] != prefix]
        if most or not page.get("IsTruncated"):
            return found
        given["ContinuationToken"] = page["NextContinuationToken"]


def _list_any(client: Any, key: str, delimiter: str) -> list[str]:
    try:
        found = client.ls(key, detail=False, refresh=True) if delimiter else client.find(key)
    except FileNotFoundError:
        return []
    return [name[len(key) + 1 :].rstrip("/") for name in found if name.rstrip("/") != key]


def _client(place: Path) -> Any:
    client = place.fs  # type: ignore[attr-defined]  # a upath.UPath
    client.retries = 1  # s3fs' own five tries would each have our tries inside
    return client


def _key(place: Path) -> str:
    return cast(str, place.path)  # type: ignore[attr-defined]


def _named(like: Path, key: str) -> Path:
    from upath import UPath

    return cast(Path, UPath(f"{like.protocol}://{key}", **like.storage_options))  # type: ignore[attr-defined]


class _Reader(io.RawIOBase):
    """An object read by ranges, each a request that is tried again."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__()
        self._path, self._size, self._at = path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = _read(self._path, self._at, min(self._at + len(buffer), self._size))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
