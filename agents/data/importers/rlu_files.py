"""What the RL Unplugged formats have in common: the names of their files and folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agents.data.importers.blocks import BadRecord
from agents.data.importers.example import BadValue, Example
from agents.data.importers.source import Shard, Source
from agents.data.importers.tfrecord import read_records
from agents.environments import describe
from agents.environments.protocol import EnvironmentSpec
from agents.errors import DatasetError, EnvironmentUnavailable

__all__ = ["described", "examples", "files_of_run", "folder_names"]

_SHARD = re.compile(r"(?P<prefix>[^/]*)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})")


def files_of_run(source: Source, run: str | None) -> tuple[tuple[Shard, ...], dict[str, Any]]:
    """The files ``<run>-00000-of-00100`` and their kin, in order, and what to note of them.

    ``run`` picks those whose name begins with it. Without it files of several runs follow one another.
    """
    chosen, runs = [], dict[str, dict[str, Any]]()
    for shard in source.list("*-of-*"):
        match = _SHARD.fullmatch(shard.name.rsplit("/", 1)[-1])
        if match is None or run not in (None, match["prefix"]):
            continue
        chosen.append(shard)
        here = runs.setdefault(match["prefix"], {"files": 0, "of": int(match["total"])})
        here["files"] += 1
    return tuple(chosen), {"runs": runs}


def folder_names(source: Source, shard: Shard) -> list[str]:
    """The folders above a file, the nearest first."""
    return source.where(shard).rstrip("/").split("/")[-2::-1]


def described(env_id: str, found_in: str, source: Source) -> EnvironmentSpec:
    """The environment's description. Raises DatasetError where it is unknown, saying where the name is from."""
    try:
        return describe(env_id)
    except EnvironmentUnavailable as error:
        raise DatasetError(
            f"{source.url}: {env_id!r}, from {found_in}, is no environment: {error} Name it with --env."
        ) from error


def examples(source: Source, shard: Shard) -> Iterator[tuple[int, Example] | BadRecord]:
    """The records of a file with their numbers, those that cannot be parsed as BadRecords."""
    with source.open(shard) as stream:
        for record in read_records(stream, shard.name):
            if isinstance(record, BadRecord):
                yield record
                continue
            try:
                yield record.number, Example(record.data)
            except BadValue as error:
                yield BadRecord(shard.name, record.number, error.key, error.why)
