"""Where everything of one sweep lies. No other module joins a path or takes a file name apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweep.errors import UsageError

__all__ = ["Layout", "SegmentName", "Table", "checked_name"]

Table = Literal["metrics", "spectra"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SEGMENT = re.compile(r"a(\d{3,5})-s(\d{6,10})\.parquet")


def checked_name(name: str) -> str:
    """A sweep's name, if it is one that cannot leave the root.

    Raises UsageError.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"sweep name {name!r}: it must be 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter "
            "or "
            "a digit, such as 'demo' or 'figure-3'; choose such a --name."
        )
    return name


@dataclass(frozen=True, order=True)
class SegmentName:
    """The order of segments in a pack: by attempt, then by sequence number."""

    attempt: int
    seq: int

    @classmethod
    def parse(cls, file_name: str) -> SegmentName | None:
        """The numbers in a file name; None for a file that is no segment."""
        match = _SEGMENT.fullmatch(file_name)
        return cls(int(match[1]), int(match[2])) if match else None

    def __str__(self) -> str:
        return f"a{self.attempt:03}-s{self.seq:06}.parquet"


@dataclass(frozen=True)
class Layout:
    """The paths of one sweep under a root."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """`store/<sweep>`."""
        return self.root / "store" / self.name

    @property
    def record(self) -> Path:
        """Provenance and the study's text."""
        return self.folder / "sweep.json"

    @property
    def job(self) -> Path:
        """Which job of which cluster runs the sweep."""
        return self.folder / "job.json"

    @property
    def plans(self) -> Path:
        """Plan generations, `g000.json` and on."""
        return self.folder / "plan"

    @property
    def trials(self) -> Path:
        """The table of trials as the driver last wrote it."""
        return self.folder / "trials" / "trials.parquet"

    @property
    def pack_seconds(self) -> Path:
        """What the packs that are done spent their time on, as the driver last gathered it.

        Readers of Parquet folders pass over names that begin with `_`.
        """
        return self.folder / "trials" / "_pack-seconds.json"

    @property
    def packs(self) -> Path:
        """A folder a pack: attempts, result, failures."""
        return self.folder / "packs"

    @property
    def lock(self) -> Path:
        """Locked by whoever runs the sweep."""
        return self.folder / "lock"

    @property
    def stop(self) -> Path:
        """There while the sweep is asked to stop."""
        return self.folder / "stop.json"

    @property
    def spent(self) -> Path:
        """What the sweep has used of what is paid for."""
        return self.folder / "spent.json"

    @property
    def compaction_lock(self) -> Path:
        """Locked by whoever compacts."""
        return self.folder / "compaction-lock"

    def plan(self, generation: int) -> Path:
        """One plan generation."""
        return self.plans / f"g{generation:03}.json"

    def pack(self, pack_id: str) -> Path:
        """What is known of one pack. Raises UsageError for an id that could leave the folder."""
        if not isinstance(pack_id, str) or not _PACK.fullmatch(pack_id):
            raise UsageError(
                f"pack id {pack_id!r}: it must be 1 to 128 letters, digits, '.', '_' and '-', starting with "
                "a "
                "letter or a digit; plan the pack under such an id."
            )
        return self.packs / pack_id

    def hot_root(self, table: Table) -> Path:
        """The folder of segments that are not compacted yet, a folder a pack."""
        return self.folder / ("hot" if table == "metrics" else "hot-spectra")

    def hot(self, table: Table, pack_id: str) -> Path:
        """One pack's segments."""
        return self.hot_root(table) / self.pack(pack_id).name

    def parts(self, table: Table) -> Path:
        """The compacted table."""
        return self.folder / table

    def manifest(self, generation: int) -> Path:
        """The list of valid parts, of both tables, as of one compaction.

        Readers of Parquet folders, pandas and Spark among them, pass over names that begin with `_`.
        """
        return self.parts("metrics") / f"_manifest-{generation:06}.json"
