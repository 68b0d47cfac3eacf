"""SHA-256 sums of files, as `sha256sum` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from agents.errors import DatasetError

__all__ = ["CHECKSUM_FILES", "parse_checksums", "read_checksums"]

CHECKSUM_FILES = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt")
"""Names under which a source may hold the sums of its own files."""

_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64})\s+\*?(?P<name>\S.*)")


def parse_checksums(text: str, where: str) -> dict[str, str]:
    """File names and their SHA-256 in lower case, from lines such as ``<64 hex digits>  <name>``.

    Empty lines and lines that begin with ``#`` are skipped. Raises DatasetError naming the line of ``where``
    that is none.
    """
    sums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DatasetError(
                f"{where}, line {number}: {line[:80]!r} is not a SHA-256 and a file name. Write the file by "
                "`sha256sum FILES > SHA256SUMS`."
            )
        sums[match["name"].removeprefix("./")] = match["sum"].lower()
    return sums


def read_checksums(path: Path) -> dict[str, str]:
    """The sums in the local file ``path``. Raises DatasetError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"checksums {path} cannot be read: {error}. Give a file that sha256sum wrote."
        ) from error
    return parse_checksums(text, str(path))
