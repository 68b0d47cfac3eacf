"""What a pack does while its object store is away: trains on from memory up to a bound, then waits, then gives up."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from sweep.errors import StoreUnavailableError
from sweep.store import files

__all__ = ["MEMORY_BYTES", "MEMORY_SECONDS", "WAIT_SECONDS", "Outage"]

MEMORY_BYTES = 256 * 2**20
"""Rows that a pack keeps in memory while the store is away, before it waits."""
MEMORY_SECONDS = 15 * 60.0
"""How long a pack trains on without a checkpoint: what its death would then cost."""
WAIT_SECONDS = 30 * 60.0
"""How long a pack then stands still and tries again, before its attempt fails."""

logger = logging.getLogger(__name__)
_PATIENCE_SECONDS = 2.0
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 5.0, 60.0
_SHARE_OF_TRIES = 0.2


class Outage:
    """Commits of one pack's process, and since when they have failed. Folders are never away: StoreError is raised.

    `what` names the pack in messages.
    """

    def __init__(
        self,
        what: str,
        *,
        memory_bytes: float = MEMORY_BYTES,
        memory_seconds: float = MEMORY_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._what = what
        self._memory_bytes, self._memory_seconds, self._wait_seconds = (
            memory_bytes,
            memory_seconds,
            wait_seconds,
        )
        self._since: float | None = None
        self._next_try = 0.0

    def commits(self, commit: Callable[[], object], pending_bytes: int) -> bool:
        """Run `commit`; False where the store is away and there is memory to train on: call again soon.

        Where there is not, waits as `insist` does.
        """
        if self._since is None or time.monotonic() >= self._next_try or self._is_spent(pending_bytes):
            try:
                self._try(commit, 0.0 if self._since is not None else _PATIENCE_SECONDS)
            except StoreUnavailableError:
                if self._is_spent(pending_bytes):
                    self.insist(commit)
                    return True
                return False
            return True
        return False

    def insist(self, commit: Callable[[], object]) -> None:
        """Run `commit`, again and again while the store is away. Raises StoreUnavailableError after `wait_seconds`."""
        began = time.monotonic()
        while True:
            try:
                return self._try(commit, _PATIENCE_SECONDS)
            except StoreUnavailableError as error:
                waited = time.monotonic() - began
                if waited >= self._wait_seconds:
                    away = time.monotonic() - (began if self._since is None else self._since)
                    raise StoreUnavailableError(
                        f"{self._what}: the object store has been away for {away:.0f} s, and training has stood still "
                        f"for {waited:.0f} of them, the most that it does. It goes on from its last checkpoint when "
                        f"the same command is given again. Last: {error}"
                    ) from error
            time.sleep(min(_LEAST_PAUSE_SECONDS, self._wait_seconds / 10) * random.uniform(0.5, 1.0))

    def _try(self, commit: Callable[[], object], patience: float) -> None:
        began = time.monotonic()
        try:
            with files.patience(patience):
                commit()
        except StoreUnavailableError as error:
            now = time.monotonic()
            if self._since is None:
                self._since = began
                logger.warning(
                    "%s: training goes on from memory, for the store is away: %s", self._what, error
                )
            # A store that takes its time to say nothing must not take training's.
            pause = min(max((now - began) / _SHARE_OF_TRIES, _LEAST_PAUSE_SECONDS), _MOST_PAUSE_SECONDS)
            self._next_try = now + pause * random.uniform(0.75, 1.0)
            raise
        if self._since is not None:
            logger.warning(
                "%s: the store is back after %.0f s; everything is committed.",
                self._what,
                time.monotonic() - self._since,
            )
            self._since = None

    def _is_spent(self, pending_bytes: int) -> bool:
        """Whether there is no more memory, or no more time without a checkpoint, to train on."""
        away = 0.0 if self._since is None else time.monotonic() - self._since
        return pending_bytes >= self._memory_bytes or away >= self._memory_seconds
