"""Reading files as streams: a remote one ahead of its reader, and any one checked where it ends."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from agents.data.file_checks import Check
from agents.data.remote_files import RemoteFile, RemoteFiles
from agents.errors import DatasetError

__all__ = ["Checked", "RemoteStream", "open_remote"]

BLOCK = 4 * 2**20
_AHEAD = 3


def open_remote(files: RemoteFiles, file: RemoteFile, start: int = 0) -> tuple[io.RawIOBase, int]:
    """The bytes of a remote file from ``start``, or from 0 where its server gives whole files only; and which.

    A connection that drops is resumed at the byte where it broke.
    """
    if file.size is not None and files.gives_ranges(file.name):
        return RemoteStream(files, file.name, file.size, start), start
    return _WholeStream(files, file.name), 0


class RemoteStream(io.RawIOBase):
    """A file in blocks of 4 MiB, up to three asked for before they are needed; 16 MiB at the most in memory."""

    def __init__(self, files: RemoteFiles, name: str, size: int, start: int = 0) -> None:
        self._files, self._name, self._size = files, name, size
        self._asked = start
        self._coming: deque[Future[bytes]] = deque()
        self._block = memoryview(b"")
        self._threads = ThreadPoolExecutor(_AHEAD, thread_name_prefix="read-ahead")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what comes next; 0 at the end."""
        if not self._block:
            while self._asked < self._size and len(self._coming) < _AHEAD:
                end = min(self._asked + BLOCK, self._size)
                self._coming.append(self._threads.submit(self._files.read, self._name, self._asked, end))
                self._asked = end
            if not self._coming:
                return 0
            self._block = memoryview(self._coming.popleft().result())
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        """Give back what it holds."""
        if not self.closed:
            self._threads.shutdown(wait=False, cancel_futures=True)
        super().close()


class _WholeStream(io.RawIOBase):
    """A file of a server that knows no ranges: after a break it is asked for again and skipped to where it was."""

    def __init__(self, files: RemoteFiles, name: str) -> None:
        self._files, self._name = files, name
        self._stream: Any = None
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what comes next; 0 at the end."""
        piece = self._files.retry(
            lambda: self._next(len(buffer)), self._name, lambda: f" at byte {self._at:,}"
        )
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        """Give back what it holds."""
        self._drop()
        super().close()

    def _next(self, count: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._files.stream(self._name)
                skipped = 0
                while skipped < self._at:
                    piece = self._stream.read(min(BLOCK, self._at - skipped))
                    if not piece:
                        raise EOFError(f"the server ended at byte {skipped:,}, which it had passed before")
                    skipped += len(piece)
            return bytes(self._stream.read(count))
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class Checked(io.RawIOBase):
    """A stream whose length and checksum are compared with those that are known, at its end.

    The last read raises DatasetError where the stream was short or its bytes are others; it never just ends.
    ``when_whole`` is called once the end was reached and nothing was wrong.
    """

    def __init__(
        self,
        raw: Any,
        where: str,
        size: int | None,
        check: Check | None,
        remedy: str,
        when_whole: Callable[[], None],
    ) -> None:
        self._raw, self._where, self._size, self._check, self._remedy = raw, where, size, check, remedy
        self._when_whole = when_whole
        self._digest = check.digest() if check else None
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what comes next; 0 at the end."""
        count = int(self._raw.readinto(buffer) or 0)
        if not len(buffer):
            return 0
        if count:
            self._at += count
            if self._digest:
                self._digest.update(memoryview(buffer)[:count])
            return count
        if self._size is not None and self._size != self._at:
            raise DatasetError(
                f"{self._where} ended after {self._at:,} bytes, it should have {self._size:,}. {self._remedy}"
            )
        if self._check and self._digest:
            self._check.compare(self._digest.hexdigest(), self._where, self._remedy)
        self._when_whole()
        return 0

    def close(self) -> None:
        """Give back what it holds."""
        if not self.closed:
            self._raw.close()
        super().close()
