"""Records that are left out: counted, the first ones kept, and never more than the user allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agents.data.importers.blocks import BadRecord
from agents.errors import DatasetError

__all__ = ["BadRecords"]

_SHOWN = 20


class BadRecords:
    """Counts bad records against ``allowed``; ``before`` is the ``record`` of an earlier process."""

    def __init__(self, allowed: int, before: Mapping[str, Any] | None = None) -> None:
        self.allowed = allowed
        self.count: int = before["count"] if before else 0
        self._first: list[dict[str, Any]] = list(before["first"]) if before else []

    def add(self, bad: BadRecord) -> None:
        """Note a record. Raises DatasetError naming it where it is one too many."""
        self.count += 1
        if self.count > self.allowed:
            before = f" after {self.allowed:,} others" if self.allowed else ""
            raise DatasetError(
                f"{bad.shard}, record {bad.record:,}, key {bad.key!r}: {bad.why}. That is a bad record{before}, "
                f"and at most {self.allowed:,} may be skipped. Nothing was made visible. Get the file again, or "
                "skip more with --skip-bad-records N; the same command then goes on from the last finished file."
            )
        if len(self._first) < _SHOWN:
            self._first.append(asdict(bad))

    def record(self) -> dict[str, Any]:
        """For provenance: how many, how many were allowed, and the first ones."""
        return {"count": self.count, "allowed": self.allowed, "first": list(self._first)}

    def summary(self) -> str:
        """A clause for messages; empty where there is none."""
        return f" ({self.count:,} bad records were skipped)" if self.count else ""
