"""Where data come from: a local folder or file, gs://, s3:// or https://, read through one interface."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, cast

from agents.data.download import Bytes, download
from agents.data.file_checks import Check
from agents.data.importers.checksums import CHECKSUM_FILES, parse_checksums, read_checksums
from agents.data.remote_files import RemoteFile, RemoteFiles, is_remote, name_of, safe_name
from agents.data.remote_stream import Checked, open_remote
from agents.errors import DatasetError

__all__ = ["Shard", "Source"]

_BUFFER = 2**20
_LONGEST_CHECKSUMS = 64 * 2**20
_AGAIN = "Get the file again, or correct the checksum."


@dataclass(frozen=True)
class Shard:
    """One file of a source: its name relative to the source, and its size and SHA-256 where they are known."""

    name: str
    size: int | None = None
    sha256: str | None = None


class Source:
    """A folder or a single file, local or remote.

    ``checksums`` are SHA-256 sums by name, relative to the source; without them those of a file ``SHA256SUMS``
    beside the data are used. Of files without one, what a remote server recorded (Cloud Storage: CRC-32C; S3:
    MD5 of what was put up in one part) is compared. ``cache`` holds what must lie on a local disk. Raises
    DatasetError with the address and the remedy for whatever cannot be reached or read.
    """

    def __init__(self, url: str, *, cache: Path, checksums: Mapping[str, str] | None = None) -> None:
        self.url, self.cache, self.checksums = url, cache, dict(checksums or {})
        self.verified: dict[str, str] = {}
        """What was compared for each file read to its end or brought here: such as ``SHA-256 from SHA256SUMS``."""
        self._checked_by = "the checksums given"
        self._files: _Local | _Remote = _Remote(self) if is_remote(url) else _Local(self)
        if not self.checksums:
            self.checksums = self._files.checksums()
            self._checked_by = "SHA256SUMS"

    def list(self, pattern: str) -> list[Shard]:
        """The files whose name matches the glob ``pattern``, by name; numbers in names count as numbers.

        A pattern with a slash is compared with the whole name below the source, another with its last part.
        What a web server lists is unknown where it has no index page; then the checksums name the files.
        """
        sizes = self._files.sizes()
        names = sorted((name for name in sizes if _matches(name, pattern)), key=_natural)
        return [Shard(name, sizes[name], self.checksums.get(name)) for name in names]

    def open(self, shard: Shard) -> BinaryIO:
        """The bytes of a shard from its beginning, as a stream.

        Remote ones are read ahead, and a dropped connection is resumed at its byte. The end of the stream raises
        DatasetError where bytes are missing or the checksum is another: a short stream never just ends.
        """
        raw, size, check = self._files.open(shard)

        def note() -> None:
            self._note(shard.name, check, size)

        checked = Checked(raw, self.where(shard), size, check, _AGAIN, note)
        return cast(BinaryIO, io.BufferedReader(checked, _BUFFER))

    def localise(self, shard: Shard, progress: Bytes | None = None) -> Path:
        """A local file with the shard's content: itself, or a copy in the cache, fetched once and checked."""
        return self._files.localise(shard, progress)

    def where(self, shard: Shard) -> str:
        """The shard's full address, for messages."""
        return self._files.where(shard.name)

    def _note(self, name: str, check: Check | None, size: int | None) -> None:
        self.verified[name] = str(check) if check else "nothing" if size is None else "its size only"

    def _check(self, shard: Shard) -> Check | None:
        return Check("sha256", shard.sha256, self._checked_by) if shard.sha256 else None


class _Local:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._path = Path(source.url.removeprefix("file://")).expanduser()
        if not self._path.exists():
            raise DatasetError(
                f"source {source.url} does not exist. Give a folder or file that is there, or an address that "
                "begins with gs://, s3:// or https://."
            )
        self._folder = self._path if self._path.is_dir() else self._path.parent

    def checksums(self) -> dict[str, str]:
        beside = next(
            (self._folder / name for name in CHECKSUM_FILES if (self._folder / name).is_file()), None
        )
        return read_checksums(beside) if beside else {}

    def sizes(self) -> dict[str, int | None]:
        if not self._path.is_dir():
            return {self._path.name: self._path.stat().st_size}
        files = (path for path in self._path.rglob("*") if path.is_file())
        return {path.relative_to(self._path).as_posix(): path.stat().st_size for path in files}

    def open(self, shard: Shard) -> tuple[io.RawIOBase, int | None, Check | None]:
        try:
            raw = (self._folder / shard.name).open("rb", buffering=0)
        except OSError as error:
            raise DatasetError(f"{self.where(shard.name)} cannot be read: {error.strerror}.") from error
        return raw, shard.size, self._source._check(shard)

    def localise(self, shard: Shard, progress: Bytes | None) -> Path:
        path, check = self._folder / shard.name, self._source._check(shard)
        if check and shard.name not in self._source.verified:
            check.compare(check.of_file(path), str(path), _AGAIN)
        self._source._note(shard.name, check, shard.size)
        return path

    def where(self, name: str) -> str:
        return str(self._folder / name)


class _Remote:
    def __init__(self, source: Source) -> None:
        self._source = source
        url = source.url
        last = name_of(url)
        self._single = False
        # Checksums that name other files than the address's own say that it is a folder.
        if not url.endswith("/") and (not source.checksums or last in source.checksums):
            self._single = not RemoteFiles(url).is_folder()
        self._files = RemoteFiles(url)
        self._last = last
        self._known: dict[str, RemoteFile] = {}

    def checksums(self) -> dict[str, str]:
        folder = self._source.url.partition("?")[0].rsplit("/", 1)[0] if self._single else self._source.url
        beside = RemoteFiles(folder)
        for name in CHECKSUM_FILES:
            text = beside.small_text(name, _LONGEST_CHECKSUMS)
            # Some web servers answer with a page of their own where there is no such file.
            if text is not None and not text.lstrip().startswith("<"):
                return parse_checksums(text, beside.address(name))
        return {}

    def sizes(self) -> dict[str, int | None]:
        if not self._known:
            self._known = {one.name: one for one in self._list()}
        return {name: file.size for name, file in self._known.items()}

    def _list(self) -> list[RemoteFile]:
        source = self._source
        if self._single:
            return [RemoteFile(self._last)]
        if source.checksums:
            return [RemoteFile(safe_name(name, "the list of checksums")) for name in source.checksums]
        found = self._files.find()
        if not found:
            hint = (
                "A web server without an index page lists nothing: give one file's address, or --checksums with a "
                "file that names the files (as sha256sum writes it)."
                if source.url.startswith("http")
                else "Correct the address."
            )
            raise DatasetError(f"{source.url} holds no file. {hint}")
        return found

    def open(self, shard: Shard) -> tuple[io.RawIOBase, int | None, Check | None]:
        file = self._info(shard)
        return open_remote(self._files, file)[0], file.size, self._source._check(shard) or file.check

    def localise(self, shard: Shard, progress: Bytes | None) -> Path:
        source, file = self._source, self._info(shard)
        check = source._check(shard) or file.check
        folder = hashlib.sha256(source.url.encode()).hexdigest()[:16]
        target = source.cache / "downloads" / folder / safe_name(shard.name, source.url)
        path = download(self._files, file, target, check, progress)
        source._note(shard.name, check, file.size)
        return path

    def where(self, name: str) -> str:
        return self._files.address("" if self._single else name)

    def _info(self, shard: Shard) -> RemoteFile:
        return self._files.info("" if self._single else shard.name)


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name if "/" in pattern else name.rsplit("/", 1)[-1], pattern)
