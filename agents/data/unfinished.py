"""Datasets whose maker ended early and can go on: what it noted, without opening an array."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["JOURNAL_NAME", "Unfinished", "list_unfinished", "making_folder", "read_journal"]

JOURNAL_NAME = "journal.json"
"""In the folder of a dataset being made: how far its maker got, where it can go on from there."""
_PREFIX = ".making-"


@dataclass(frozen=True)
class Unfinished:
    """A dataset that is being made or was left: ``asked`` for what, and the ``state`` of its last mark."""

    name: str
    path: Path
    transitions: int
    asked: dict[str, Any]
    state: dict[str, Any]
    running: bool


def making_folder(path: Path) -> Path:
    """Where the dataset ``path`` grows before it is whole."""
    return path.parent / f"{_PREFIX}{path.name}"


def read_journal(path: Path) -> dict[str, Any] | None:
    """What the unfinished maker of dataset ``path`` noted last: ``resume_key``, ``filled``, ``state``.

    None where there is none that could be gone on with.
    """
    try:
        journal = json.loads((making_folder(path) / JOURNAL_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return journal if isinstance(journal, dict) else None


def list_unfinished(root: Path) -> list[Unfinished]:
    """Every unfinished dataset under ``root/datasets`` that can be gone on with, by name."""
    found = []
    for making in sorted((Path(root) / "datasets").glob(f"{_PREFIX}*/{JOURNAL_NAME}")):
        path = making.parent.parent / making.parent.name.removeprefix(_PREFIX)
        journal = read_journal(path)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if journal is not None:
                found.append(
                    Unfinished(
                        name=path.name,
                        path=making.parent,
                        transitions=int(journal["filled"]["action"]),
                        asked=dict(json.loads(journal["resume_key"])),
                        state=dict(journal["state"]),
                        running=_held(making.parent.with_name(f"{making.parent.name}.lock")),
                    )
                )
    return found


def _held(lock: Path) -> bool:
    """Whether a living process holds the maker's lock."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
