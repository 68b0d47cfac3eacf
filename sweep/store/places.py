"""Where a root can be: a local folder, a mounted one, or a bucket of an object store."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweep.errors import UsageError

__all__ = ["SCHEMES", "is_local", "root_place", "told_elsewhere"]

SCHEMES = ("s3", "gs")
"""The object stores that a root can be on."""

_CLIENTS = {"s3": "s3fs", "gs": "gcsfs"}
_CONNECT_SECONDS, _SILENT_SECONDS = 5, 30


def root_place(root: str | os.PathLike[str], what: str = "root") -> Path:
    """The root as a path: a `pathlib.Path`, or for a URL a `upath.UPath`, which has what the store uses of one.

    `what` is how errors call it: an output may lie in a bucket too.

    Raises UsageError for an empty root, for schemes that cannot be written safely, for an address with a key in it,
    and where a store's client is not installed.
    """
    if not isinstance(root, str) and not isinstance(root, Path):
        return root  # type: ignore[return-value]  # a place already
    text = os.fspath(root)
    scheme, separator, rest = text.partition("://")
    if separator:
        if "@" in rest.partition("/")[0]:
            # Without the value, which would end up in a terminal or a log.
            raise UsageError(
                f"{what}: the address holds a user or a key, which `ps`, the store and logs would keep. Leave it out, "
                "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS, in the "
                "environment."
            )
        if scheme not in SCHEMES or not rest.strip("/"):
            allowed = ", ".join(f"{scheme}://bucket/folder" for scheme in SCHEMES)
            raise UsageError(f"{what} {text!r}: it must be a folder, a mounted one, or one of {allowed}.")
        client = _CLIENTS[scheme]
        if find_spec(client) is None:
            raise UsageError(
                f"{what} {text!r}: {scheme}:// needs {client}, which is not installed: pip install {client}, or "
                "install rankscope again with its dependencies."
            )
        from upath import UPath

        # Other processes write there: what was listed a moment ago is no longer true.
        place: Path = UPath(text.rstrip("/"), use_listings_cache=False, **_timeouts(scheme))
        return place
    if not text:
        raise UsageError(
            f"{what} '': it must be a folder; give {'--root' if what == 'root' else what} a path."
        )
    return Path(text).expanduser()


def told_elsewhere(place: Path) -> str:
    """A place in words that mean the same to a process of another machine, which works in another folder."""
    return str(place.absolute() if is_local(place) else place)


def _timeouts(scheme: str) -> dict[str, Any]:
    """Options of a client: how long a store may say nothing. Trying again is the business of `faults`, alone."""
    if scheme == "s3":
        times = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _SILENT_SECONDS}
        return {"config_kwargs": {**times, "retries": {"total_max_attempts": 1}, "max_pool_connections": 32}}
    from aiohttp import ClientTimeout

    # No total: it would cut off large files on slow lines.
    return {"requests_timeout": ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)}


def is_local(place: Path) -> bool:
    """Whether a place is a folder or file that the operating system sees, mounts included."""
    return isinstance(place, Path)
