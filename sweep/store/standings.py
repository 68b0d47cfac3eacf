"""How every pack stands, from one listing of what is known of them; files are opened only for what it cannot tell.

A sweep of a hundred thousand trials has thousands of packs with a few small files each. On an object store a
listing answers for a thousand files at once, and a file is a request of some 30 ms: so names are listed together,
and files that must be opened are opened side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.store import files
from sweep.store.layout import Layout

__all__ = ["ATTEMPT", "FAILURE", "Standing", "read_side_by_side", "standings"]

ATTEMPT = re.compile(r"attempt-(\d{3,5})\.json")
FAILURE = re.compile(r"failure-(\d{3,5})\.json")


@dataclass(frozen=True)
class Standing:
    """What the names of a pack's files say. `attempts` and `failures` map numbers to names."""

    attempts: Mapping[int, str]
    failures: Mapping[int, str]
    done: bool

    @property
    def newest(self) -> int:
        """The number of the newest attempt, -1 before the first."""
        return max(self.attempts, default=-1)

    @property
    def failed(self) -> bool:
        """Whether the newest attempt, or one that could not begin, has failed."""
        return not self.done and max(self.failures, default=-2) >= self.newest


def standings(layout: Layout) -> dict[str, Standing]:
    """Every pack that somebody has started, in order of id."""
    names: dict[str, list[str]] = {}
    for path in files.list_tree(layout.packs):
        pack_id, _, name = path.partition("/")
        if name:
            names.setdefault(pack_id, []).append(name)
    return {pack_id: _standing(names[pack_id]) for pack_id in sorted(names)}


def read_side_by_side(paths: Sequence[Path], read: Callable[[Path], Any] = files.read_json) -> list[Any]:
    """What `read` makes of each file, None for one that is not there."""

    def one(path: Path) -> Any:
        try:
            return read(path)
        except FileNotFoundError:
            return None

    return files.side_by_side(paths[0], one, paths) if paths else []


def _standing(names: Sequence[str]) -> Standing:
    def numbered(pattern: re.Pattern[str]) -> dict[int, str]:
        found = {int(match[1]): name for name in names if (match := pattern.fullmatch(name))}
        return dict(sorted(found.items()))

    return Standing(numbered(ATTEMPT), numbered(FAILURE), "result.json" in names)
