"""How far an import is, and how fast."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from agents.data.importers.source import Shard, Source

__all__ = ["ImportProgress", "Meter", "MeteredSource", "OnProgress"]

_REPORT_SECONDS = 0.5
_BUFFER = 2**18


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is. Bytes are those of the source's files, compressed as they are.

    ``bytes_total`` and ``seconds_left`` are None where the source does not say how large its files are.
    Rates are those of this process; the other numbers include what earlier ones of the same import read.
    """

    shard: str
    shards_done: int
    shards: int
    transitions: int
    frames: int
    episodes: int
    bad_records: int
    bytes_read: int
    bytes_total: int | None
    seconds: float
    transitions_per_second: float
    bytes_per_second: float
    seconds_left: float | None


OnProgress = Callable[[ImportProgress], None]


class Meter:
    """Counts the bytes that come from a source; the clock begins when it is made."""

    def __init__(self, shards: tuple[Shard, ...], bytes_before: int, seconds_before: float) -> None:
        self._sizes = [shard.size for shard in shards]
        self._began = time.monotonic()
        self._before, self._seconds_before = bytes_before, seconds_before
        self._finished = self._shard = 0
        self._said = 0.0

    @property
    def bytes_read(self) -> int:
        """By all processes of this import."""
        return self._before + self._finished + self._shard

    @property
    def seconds(self) -> float:
        """Spent by all processes of this import."""
        return self._seconds_before + self.spent

    @property
    def spent(self) -> float:
        """Seconds since the meter was made."""
        return max(time.monotonic() - self._began, 1e-9)

    def count(self, count: int) -> None:
        """So many bytes of the shard were read."""
        self._shard += count

    def end_shard(self, shard: Shard) -> None:
        """A shard whose file was opened by its path counts when it is done."""
        self._finished += max(self._shard, shard.size or 0)
        self._shard = 0

    def due(self) -> bool:
        """Whether it is time to say something."""
        if self.spent - self._said < _REPORT_SECONDS:
            return False
        self._said = self.spent
        return True

    def rates(self, transitions: int) -> dict[str, Any]:
        """The fields of ImportProgress that are bytes and rates; ``transitions`` of this process."""
        known = all(size is not None for size in self._sizes)
        total = sum(size or 0 for size in self._sizes) if known else None
        here = self._finished + self._shard
        left = None
        if total is not None and here:
            left = max(total - self.bytes_read, 0) * self.spent / here
        return {
            "bytes_read": self.bytes_read,
            "bytes_total": total,
            "seconds": self.seconds,
            "transitions_per_second": transitions / self.spent,
            "bytes_per_second": here / self.spent,
            "seconds_left": left,
        }


class MeteredSource(Source):
    """The source with a meter at its streams."""

    def __init__(self, source: Source, meter: Meter) -> None:
        self.__dict__.update(vars(source))
        self._meter = meter

    def open(self, shard: Shard) -> BinaryIO:
        """See ``Source.open``."""
        stream = _Metered(super().open(shard), self._meter)
        return cast(BinaryIO, io.BufferedReader(stream, _BUFFER))


class _Metered(io.RawIOBase):
    def __init__(self, stream: BinaryIO, meter: Meter) -> None:
        self._stream, self._meter = stream, meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer) or 0)  # type: ignore[attr-defined]
        self._meter.count(count)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
