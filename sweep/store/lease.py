"""Owning a sweep on an object store, which has no locks: a lease that its owner renews and that ends with it.

`lease/<epoch>.json` is taken by a write that needs the name to be new, so one process has an epoch. Its owner
writes it again with the next number of beats, several times in a `TTL_SECONDS`. Who comes second watches that
number: if it changes, the owner lives; if it does not for `TTL_SECONDS` of the watcher's own monotonic clock, the
next epoch may be taken. The highest epoch counts, whatever older owners still write. No two clocks are compared.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.errors import CorruptSegmentError, LockedError, StoreError, StoreUnavailableError
from sweep.store import files
from sweep.store.owners import about_me, is_certainly_dead, refusal

__all__ = ["TTL_SECONDS", "Lease", "leased", "owner"]

TTL_SECONDS = 60.0
"""How long an owner may say nothing before the lease can be taken from it."""

logger = logging.getLogger(__name__)
_EPOCH = re.compile(r"(\d{6,})\.json")
_BEATS_A_TTL = 6
_LOOKS_A_BEAT = 5


class Lease:
    """A lease that is held. `lost` is set once another process has taken it; `check` before what only its owner may."""

    def __init__(self, folder: Path, what: str, epoch: int, about: dict[str, Any], ttl: float) -> None:
        self.lost = threading.Event()
        self._folder, self._what, self._epoch, self._about, self._ttl = folder, what, epoch, about, ttl
        self._beats, self._renewed = 0, _awake_or_not()
        self._renewing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease of {what}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LockedError where another process has the lease, StoreUnavailableError where that cannot be known."""
        if not self.lost.is_set() and _awake_or_not() - self._renewed > self._ttl:
            self._renew()
        if self.lost.is_set():
            raise LockedError(
                f"{self._what} has been taken over by another process, because this one could not renew its lease "
                f"for {self._ttl:.0f} s or more (a machine asleep, or cut off from the store). This process must "
                "stop; nothing that it committed is lost."
            )

    def end(self) -> None:
        """Give the lease back."""
        self._ended.set()
        with self._renewing, contextlib.suppress(StoreError):
            if not self.lost.is_set() and _newest(self._folder) == self._epoch:
                files.replace_json(_path(self._folder, self._epoch), {**self._about, "released": True})

    def _beat(self) -> None:
        while not self._ended.wait(self._ttl / _BEATS_A_TTL) and not self.lost.is_set():
            # A store that is away can be taken over by nobody; that is seen when it is back.
            with contextlib.suppress(StoreError), files.patience(0.0):
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if self._ended.is_set() or self.lost.is_set():
                return
            began = _awake_or_not()
            path = _path(self._folder, self._epoch)
            mine = _read(path)
            # Where a store has no conditional writes, two can have written one epoch: the last one has it.
            if _newest(self._folder) != self._epoch or (mine or {}).get("nonce") != self._about["nonce"]:
                self.lost.set()
                logger.warning("%s: another process has taken it over.", self._what)
                return
            self._beats += 1
            files.replace_json(path, {**self._about, "beats": self._beats})
            self._renewed = began


@contextlib.contextmanager
def leased(folder: Path, what: str, ttl: float | None = None) -> Iterator[Lease]:
    """Hold the lease while the block runs. Raises LockedError with the owner's host and process.

    Waits for up to `ttl` seconds where the last owner has not given it back and ran on another machine.
    """
    ttl = TTL_SECONDS if ttl is None else ttl
    about = {**about_me(), "nonce": secrets.token_hex(16), "ttl": ttl, "beats": 0}
    while True:
        last = _newest(folder)
        holder = _read(_path(folder, last)) if last else None
        if holder is not None and not _is_free(holder) and _still_beats(folder, last, holder, what, ttl):
            raise refusal(what, holder)
        epoch = last + 1
        if files.put_json_if_absent(_path(folder, epoch), about):
            break
    lease = Lease(folder, what, epoch, about, ttl)
    try:
        _remove_older(folder, epoch)
        yield lease
    finally:
        lease.end()


def owner(folder: Path) -> dict[str, Any] | None:
    """Host, pid, since and command of the process that has the lease; None where nobody does.

    An owner that died on another machine is seen to be dead by the time that the store itself gives for its last
    beat, and where the store gives none, only by who wants the lease.
    """
    last = _newest(folder)
    if not last:
        return None
    holder = _read(_path(folder, last))
    if holder is None or _is_free(holder):
        return None
    with contextlib.suppress(FileNotFoundError):
        from sweep.store import objects

        silent = objects.age(_path(folder, last))
        if silent is not None and silent > 2 * float(holder.get("ttl", TTL_SECONDS)):
            return None
    return holder


def _is_free(holder: dict[str, Any]) -> bool:
    return bool(holder.get("released")) or is_certainly_dead(holder)


def _still_beats(folder: Path, epoch: int, holder: dict[str, Any], what: str, ttl: float) -> bool:
    """Whether the owner of an epoch gives a sign of life, or a next epoch has been taken, within its own TTL."""
    ttl = max(ttl, float(holder.get("ttl", ttl)))
    logger.warning(
        "%s was last owned by process %s on host %s: looking for up to %.0f s whether that still lives.",
        what,
        holder.get("pid"),
        holder.get("host"),
        ttl,
    )
    began = time.monotonic()
    while time.monotonic() - began < ttl:
        time.sleep(ttl / _BEATS_A_TTL / _LOOKS_A_BEAT)
        try:
            now = _read(_path(folder, epoch))
            if _newest(folder) != epoch:
                return False  # looked at again by the caller, who finds the next owner
        except StoreUnavailableError:
            began = time.monotonic()  # what cannot be seen is not silence
            continue
        if now is None or _is_free(now):
            return False
        if (now.get("nonce"), now.get("beats")) != (holder.get("nonce"), holder.get("beats")):
            return True
    return False


def _newest(folder: Path) -> int:
    return max(
        (int(match[1]) for name in files.list_names(folder) if (match := _EPOCH.fullmatch(name))), default=0
    )


def _remove_older(folder: Path, epoch: int) -> None:
    with contextlib.suppress(StoreError):
        for name in files.list_names(folder):
            # The one before stays: its owner looks there whether it has been taken over.
            if (match := _EPOCH.fullmatch(name)) and int(match[1]) < epoch - 1:
                files.remove(folder / name)


def _awake_or_not() -> float:
    """Seconds of a clock that also runs while the machine sleeps, which the monotonic clock of Linux does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = files.read_json(path)
    except (FileNotFoundError, CorruptSegmentError):
        return None
    return found


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch:06}.json"
