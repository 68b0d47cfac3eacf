"""TFRecord files without TensorFlow: length-prefixed records with masked CRC-32C, plain or gzip'd.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c

from agents.data.importers.blocks import BadRecord
from agents.errors import DatasetError

__all__ = ["Record", "masked_crc32c", "read_records"]

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER = 2**20
_LONGEST = 2**31 - 1  # what protobuf can hold
_AGAIN = "Nothing behind it can be read, and skipping does not help: get the file again."


@dataclass(frozen=True)
class Record:
    """The bytes of record ``number``, counted from 0."""

    number: int
    data: bytes


def read_records(stream: BinaryIO, shard: str) -> Iterator[Record | BadRecord]:
    """The records of ``stream``, which is read to its end; gzip'd or plain is told by the first bytes.

    A record whose data are not those of its CRC is a BadRecord, because the next one's place is known all
    the same. Raises DatasetError, naming shard, record and byte, where the length is not that of its CRC,
    where the file ends within a record, and where gzip's own checks fail. Bytes are counted after gunzipping.
    """
    plain = _plain(stream)
    number = at = 0
    while True:
        where = f"{shard}, record {number:,} at byte {at:,}"
        header = _read(plain, _HEADER.size, where, may_end=True)
        if not header:
            return
        length, crc = _HEADER.unpack(header)
        found = masked_crc32c(header[:8])
        if found != crc or length > _LONGEST:
            wrong = (
                f"its length {length:,} has CRC-32C {found:#010x}, {crc:#010x} is stored"
                if found != crc
                else f"its length is {length:,} bytes, more than {_LONGEST:,}"
            )
            raise DatasetError(f"{where}: {wrong}; the file is damaged or no TFRecord file. {_AGAIN}")
        data = _read(plain, length, where)
        crc = _FOOTER.unpack(_read(plain, _FOOTER.size, where))[0]
        found = masked_crc32c(data)
        if found == crc:
            yield Record(number, data)
        else:
            why = f"{length:,} bytes at byte {at:,} have CRC-32C {found:#010x}, {crc:#010x} is stored"
            yield BadRecord(shard, number, "(all)", why)
        number += 1
        at += _HEADER.size + length + _FOOTER.size


def masked_crc32c(data: bytes) -> int:
    """CRC-32C, turned and moved as TFRecord stores it, so that sums of sums differ from sums."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _plain(stream: BinaryIO) -> BinaryIO:
    buffered = io.BufferedReader(stream, _BUFFER)  # type: ignore[type-var]
    if buffered.peek(2)[:2] != _GZIP_MAGIC:
        return buffered
    return io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BUFFER)


def _read(plain: BinaryIO, count: int, where: str, *, may_end: bool = False) -> bytes:
    try:
        data = plain.read(count)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{where}: the gzip stream is cut short or damaged ({error}). {_AGAIN}") from error
    if len(data) < count and not (may_end and not data):
        raise DatasetError(
            f"{where}: the file ends after {len(data):,} of {count:,} bytes; it is cut short. {_AGAIN}"
        )
    return data
