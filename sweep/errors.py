"""Errors that a user of sweeps can meet: each says what, which value, what is allowed and what to do."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CorruptSegmentError",
    "LockedError",
    "StoppedError",
    "StoreError",
    "StoreUnavailableError",
    "SupersededError",
    "SweepError",
    "UsageError",
]


class SweepError(RuntimeError):
    """Base of every error the sweep package raises on purpose; the command line exits with `exit_code`."""

    exit_code = 1


class UsageError(SweepError):
    """What was asked cannot be: a wrong name, column or option. Nothing has been started or changed."""

    exit_code = 2


class StoreError(SweepError):
    """The store could not be read or written: a full disk, a missing or damaged file."""


class StoreUnavailableError(StoreError):
    """The object store does not answer, or asks to be left alone for a while: the same call may succeed later."""


class CorruptSegmentError(StoreError):
    """A file of the store is truncated or its bits have changed; `path` says which one."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[CorruptSegmentError], tuple[str, Path]]:
        # Ray sends exceptions between processes by pickle, which would call __init__ with the message alone.
        return type(self), (str(self), self.path)


class SupersededError(SweepError):
    """A newer attempt has taken this pack over: whoever holds the older one must stop and write no more."""


class StoppedError(SweepError):
    """The sweep was asked to stop; its message is the reason. What was trained is kept, the rest stays planned."""


class LockedError(SweepError):
    """Another process owns the sweep."""
