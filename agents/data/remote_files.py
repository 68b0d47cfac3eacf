"""Files at gs://, s3://, https:// or http://: what there is, and any range of their bytes."""

from __future__ import annotations

import base64
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from agents.data.file_checks import Check
from agents.data.remote_errors import explain, is_refusal, is_transient, status_of
from agents.errors import DatasetError

__all__ = ["RemoteFile", "RemoteFiles", "SCHEMES", "is_remote", "safe_name"]

SCHEMES = ("gs", "s3", "https", "http")
ATTEMPTS = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_CLIENTS = {"gs": ("gcsfs", "2024.6"), "s3": ("s3fs", "2024.6"), "http": ("aiohttp", "3.9")}
_CONNECT_SECONDS, _SILENT_SECONDS = 30, 60

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteFile:
    """A file by its name below the folder; ``tag`` changes with its content, where the server has such a thing."""

    name: str
    size: int | None = None
    check: Check | None = None
    tag: str | None = None


def is_remote(url: str) -> bool:
    """Whether ``url`` is an address and not a local path."""
    return "://" in url and not url.startswith("file://")


def safe_name(name: str, where: str) -> str:
    """``name`` if it stays below its folder. Raises DatasetError for one that would not."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise DatasetError(f"{where} names a file {name!r}, which would lie outside its folder: not fetched.")
    return name


class RemoteFiles:
    """The files below a remote folder, or the one file ``""`` that an address with ``single`` stands for.

    They are read anonymously, and with the user's credentials where that is refused; with them at once where the
    place is the user's ``own``, as a root is: some stores answer anonymous requests with other errors than a refusal.

    Every request is tried up to 6 times, with growing pauses, while it may well succeed later. Raises
    DatasetError naming the address: no such file or bucket, refused, unreachable, a scheme that is not known
    or whose client is not installed.
    """

    def __init__(self, folder: str, *, own: bool = False) -> None:
        self.folder = folder.rstrip("/")
        self.scheme = folder.partition("://")[0].lower()
        if self.scheme not in SCHEMES:
            raise DatasetError(
                f"source {folder!r}: {self.scheme}:// is not known. Give a local folder or file, or an address "
                f"that begins with {', '.join(f'{one}://' for one in SCHEMES[:3])}."
            )
        self._credentials = own and not self._web and _has_credentials(self.scheme)
        self._lock = threading.Lock()
        self._fs = self._connect()

    def address(self, name: str) -> str:
        """The whole address of a file."""
        if not name:
            return self.folder
        return f"{self.folder}/{quote(name) if self._web else name}"

    def find(self) -> list[RemoteFile]:
        """All files below the folder; of https:// those that its index page links to, their sizes unknown."""
        where = self.folder + "/" if self._web else self._key("")

        def listing(fs: Any) -> Any:
            return fs.find(where, detail=True)

        found: dict[str, Any] = self._ask(listing, self.folder)
        base = where if self._web else self._key("") + "/"
        files = []
        for path, about in found.items():
            name = str(path).removeprefix(base)
            # Index pages link to their own orders (?C=N) and to what lies above.
            if name == str(path) or not name or any(mark in name for mark in "?#"):
                continue
            name = unquote(name) if self._web else name
            files.append(self._file(safe_name(name, self.folder), about))
        return files

    def info(self, name: str) -> RemoteFile:
        """Size, checksum and tag of one file, as its server tells them."""
        about: dict[str, Any] = self._ask(lambda fs: self._about(fs, name), self.address(name))
        return self._file(name, about)

    def is_folder(self) -> bool:
        """Whether the address is a folder and not a file."""
        if self._web:
            about = self._ask(lambda fs: fs.info(self.folder), self.folder)
            return str(about.get("url", self.folder)).partition("?")[0].endswith("/")
        return bool(self._ask(lambda fs: fs.info(self._key("")), self.folder).get("type") == "directory")

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``, all of them; the offset is named where they do not come."""
        parts: list[bytes] = []
        at = start

        def more(fs: Any) -> None:
            nonlocal at
            # What came before a connection broke is kept: each attempt asks for the rest only.
            while at < end:
                piece = self._range(fs, name, at, end)
                if not piece:
                    raise EOFError(f"the server sent nothing at byte {at:,}")
                parts.append(piece)
                at += len(piece)

        self._ask(more, self.address(name), lambda: f" at byte {at:,}")
        return b"".join(parts)

    def small_text(self, name: str, most: int) -> str | None:
        """A small file's text; None where there is none, or none that may be read."""
        try:
            found = self._ask(lambda fs: fs.cat_file(self._key(name), end=most), self.address(name))
        except DatasetError as error:
            if error.__cause__ is not None and status_of(error.__cause__) in (401, 403, 404):
                return None
            raise
        return bytes(found).decode("utf-8", errors="replace")

    def stream(self, name: str) -> Any:
        """One connection from the file's beginning, for a server that does not give ranges; not tried again."""
        # A size keeps fsspec from asking for it, which is all that it does with one here.
        return self._fs.open(self._key(name), "rb", block_size=0, size=1)

    def retry(self, what: Callable[[], T], name: str, place: Callable[[], str]) -> T:
        """The answer of ``what``, tried as every request is; ``place`` says where in the file it is."""
        return self._ask(lambda _: what(), self.address(name), place)

    def gives_ranges(self, name: str) -> bool:
        """Whether a part of the file can be asked for; learnt by asking for two bytes."""
        if not self._web:
            return True
        try:
            self._ask(lambda fs: self._range(fs, name, 1, 2), self.address(name))
        except _NoRangesError:
            return False
        return True

    @property
    def _web(self) -> bool:
        return self.scheme in ("https", "http")

    def _key(self, name: str) -> str:
        address = self.address(name)
        return address if self._web else address.partition("://")[2]

    def _range(self, fs: Any, name: str, start: int, end: int) -> bytes:
        if not self._web:
            return bytes(fs.cat_file(self._key(name), start=start, end=end))
        # A size of its own choosing keeps fsspec from asking for it before every piece.
        with closing(fs.open(self._key(name), block_size=end - start, size=end, cache_type="none")) as file:
            file.seek(start)
            try:
                return bytes(file.read(end - start))
            except ValueError as error:
                if "range requests" in str(error):
                    raise _NoRangesError from error
                raise

    def _about(self, fs: Any, name: str) -> dict[str, Any]:
        key = self._key(name)
        if self.scheme != "s3":
            return dict(fs.info(key))
        bucket, _, rest = key.partition("/")
        return dict(fs.call_s3("head_object", Bucket=bucket, Key=rest))

    def _file(self, name: str, about: dict[str, Any]) -> RemoteFile:
        size = about.get("size", about.get("ContentLength"))
        tag = about.get("etag") or about.get("ETag") or about.get("generation") or about.get("Last-Modified")
        return RemoteFile(name, None if size is None else int(size), self._check(about), tag and str(tag))

    def _check(self, about: dict[str, Any]) -> Check | None:
        origin = f"the server of {self.scheme}://"
        if about.get("crc32c"):
            return Check("crc32c", base64.b64decode(about["crc32c"]).hex(), origin)
        if about.get("md5Hash"):
            return Check("md5", base64.b64decode(about["md5Hash"]).hex(), origin)
        etag = str(about.get("ETag", "")).strip('"')
        # An object's ETag is its MD5 unless it was put up in parts or encrypted with a key of its own.
        keyed = "kms" in str(about.get("ServerSideEncryption", "")) or about.get("SSECustomerAlgorithm")
        if self.scheme == "s3" and len(etag) == 32 and not keyed and "ContentLength" in about:
            return Check("md5", etag.lower(), origin)
        return None

    def _ask(self, what: Callable[[Any], T], url: str, place: Callable[[], str] = lambda: "") -> T:
        failed = 0
        while True:
            try:
                return what(self._fs)
            except (DatasetError, _NoRangesError):
                raise
            except Exception as error:
                if is_refusal(error) and self._log_in():
                    continue
                failed += 1
                if failed >= ATTEMPTS or not is_transient(error):
                    raise explain(error, url + place(), self.scheme, self._credentials) from error
                if status_of(error) is None and failed >= ATTEMPTS // 2 and _never_answers(error):
                    raise explain(error, url + place(), self.scheme, self._credentials) from error
            # Not all at the same moment: many readers may have lost one server together.
            time.sleep(min(FIRST_PAUSE * 2 ** (failed - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25))

    def _log_in(self) -> bool:
        """Go on with the user's own credentials; False where there are none, or they are in use already."""
        with self._lock:
            if self._credentials or self._web:
                return False
            if not _has_credentials(self.scheme):
                return False
            self._credentials = True
            self._fs = self._connect()
            return True

    def _connect(self) -> Any:
        kind = "http" if self._web else self.scheme
        client, version = _CLIENTS[kind]
        try:
            import fsspec

            __import__(client)
            common = {"skip_instance_cache": True, "use_listings_cache": False}
            if kind == "gs":
                # It logs a traceback of every refusal, which is told in words here.
                logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
                token = "google_default" if self._credentials else "anon"
                # Its newer file system asks another server, over gRPC, what kind of bucket it is.
                from gcsfs.core import GCSFileSystem

                return GCSFileSystem(token=token, **common)
            if kind == "s3":
                limits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _SILENT_SECONDS}
                config = {**limits, "retries": {"max_attempts": 1}}
                files = fsspec.filesystem("s3", anon=not self._credentials, config_kwargs=config, **common)
                files.retries = 1  # tried again here, where the offset is known
                return files
            import aiohttp

            timeout = aiohttp.ClientTimeout(None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
            # The bytes as they are stored: a .gz file that is served as gzipped text stays a .gz file.
            settings = {"timeout": timeout, "trust_env": True, "auto_decompress": False}
            plain = {"Accept-Encoding": "identity"}
            return fsspec.filesystem("http", headers=plain, client_kwargs=settings, **common)
        except ImportError as error:
            raise DatasetError(
                f"{self.folder} needs {client}, which is not installed ({error}): "
                f"pip install '{client}>={version}' (or 'rankscope[remote]')."
            ) from error


_NEVER = {
    *("ClientConnectorDNSError", "ClientConnectorError", "EndpointConnectionError"),
    *("ClientConnectorCertificateError", "ClientConnectorSSLError"),
}


class _NoRangesError(Exception):
    """The server sends whole files only."""


def _has_credentials(scheme: str) -> bool:
    if scheme == "s3":
        from botocore.session import Session

        return Session().get_credentials() is not None
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        google.auth.default()
    except DefaultCredentialsError:
        return False
    return True


def _never_answers(error: BaseException) -> bool:
    """No such host, nobody listening, no valid certificate: a mistake more often than a hiccup."""
    return bool({type(one).__name__ for one in (error, error.__cause__)} & _NEVER)


def name_of(url: str) -> str:
    """The last part of an address, without its query."""
    return unquote(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1])
