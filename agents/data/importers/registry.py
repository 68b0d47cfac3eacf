"""The readers by their format's name."""

from __future__ import annotations

import difflib

from agents.data.importers import (
    cog,
    d4rl,
    dqn_replay,
    minari,
    own,
    rlu_atari,
    rlu_atari_ordered,
    rlu_bsuite,
    rlu_dmlab,
)
from agents.data.importers.blocks import Reader
from agents.errors import DatasetError

__all__ = ["READERS", "find_reader"]

READERS: dict[str, Reader] = {
    reader.format: reader
    for reader in (
        rlu_atari.READER,
        rlu_atari_ordered.READER,
        rlu_bsuite.READER,
        rlu_dmlab.READER,
        d4rl.READER,
        dqn_replay.READER,
        minari.READER,
        cog.READER,
        own.READER,
    )
}  # fmt: skip
"""Every reader, in the order that listings show them."""


def find_reader(format_name: str) -> Reader:
    """The reader of a format. Raises DatasetError for an unknown one, with the nearest."""
    if format_name not in READERS:
        near = difflib.get_close_matches(format_name, READERS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DatasetError(f"unknown format {format_name!r}.{hint} Formats: {', '.join(READERS)}.")
    return READERS[format_name]
