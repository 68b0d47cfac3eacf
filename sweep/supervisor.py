"""Watches a run from beside it: whether it is to stop, what it has used of its budget, whether it stands still."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

from sweep.budget import Budget
from sweep.errors import SweepError
from sweep.pack_progress import progress_path, read_json
from sweep.plan import PackSpec
from sweep.stop_requests import stop_reason
from sweep.store import SweepStore, files
from sweep.store.standings import read_side_by_side

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_REQUEST_SECONDS = 5.0
_SAVE_SECONDS = 30.0
_GRACE_SECONDS = 600.0
"""A pack that has not ended so long after a request to stop is ended, and goes on from its last checkpoint."""


class Supervisor:
    """Looks every second while the block runs; `reason` says why the run is to stop, None while it goes on.

    Whatever the reason, it becomes a request in the store, which the packs see wherever they train. Whoever runs
    packs says which have a process (`began`, `ended`). `on_stall` is called, in this thread, with a sentence
    when for `stall_seconds` no pack has got on, and again only after one has. `lost` is set where another process
    has taken the sweep over: then this run ends at once and asks nothing of the packs, which are the other's.
    """

    def __init__(
        self,
        store: SweepStore,
        budget: Budget,
        stall_seconds: float,
        on_stall: Callable[[str], None],
        lost: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason: str | None = None
        self._store, self._budget, self._clock = store, budget, clock
        self._stall_seconds, self._on_stall = stall_seconds, on_stall
        self._began = self._ticked = self._saved = self._looked = self._moved_on = clock()
        self._lost = lost or threading.Event()
        self._asked_at: float | None = None
        self._terminated = False
        self.interrupted = False
        """Whether somebody pressed Ctrl-C, also where the exception came up in a place that swallows exceptions."""
        self._written = False
        self._training = False
        self._stalled = False
        self._stall_looked = -math.inf
        self._running: dict[str, PackSpec] = {}
        self._seen: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep-supervisor", daemon=True)
        self.gpu_hours = float((store.spent() or {}).get("gpu_hours", 0.0))

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        # A store that is away may hold the thread up; what it would still save is half a minute's worth.
        self._thread.join(10.0)

    @property
    def stopping(self) -> bool:
        """Whether the run is to stop."""
        return self.reason is not None

    def has_to_hurry(self) -> bool:
        """Whether the system has said that this process must end soon."""
        return self._terminated

    @property
    def out_of_patience(self) -> bool:
        """Whether the packs have had all the time to stop that they get."""
        return self._lost.is_set() or (
            self._asked_at is not None and self._clock() - self._asked_at > _GRACE_SECONDS
        )

    def running(self) -> set[str]:
        """The packs that have a process."""
        with self._lock:
            return set(self._running)

    def began(self, pack: PackSpec) -> None:
        """A process of `pack` has started."""
        with self._lock:
            self._running[pack.pack_id] = pack

    def ended(self, pack_id: str) -> None:
        """The process of a pack has ended, however."""
        with self._lock:
            self._running.pop(pack_id, None)

    def stop(self, reason: str) -> None:
        """Have the run stop; the first reason stands."""
        if self.reason is None:
            self.reason = reason
            self._asked_at = self._clock()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """While the block runs the first SIGTERM asks for a stop, and every later one is as Ctrl-C.

        Before and after, each is as Ctrl-C: there is nothing that would need time to end well. Raises
        KeyboardInterrupt at its end for a Ctrl-C that was swallowed on the way.
        """
        self._moved_on = self._clock()
        self._training = True
        try:
            yield
        finally:
            self._training = False
        if self.interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def minding_signals(self) -> Iterator[None]:
        """Take SIGTERM over, which comes before a spot machine, a Slurm job or a pod is taken away, and Ctrl-C.

        Python raises KeyboardInterrupt wherever it happens to be, which may be a destructor or a callback that
        lets no exception through; so that it was pressed is noted too.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGTERM: self._on_sigterm}
        # Otherwise it is ignored, as of a process in the background, or somebody else's.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            handlers[signal.SIGINT] = self._on_sigint
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None where it was not set from Python, and cannot be again.
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def tick(self) -> None:
        """One look."""
        now = self._count_cards()
        if self._lost.is_set():
            self.stop(
                "another process runs this sweep now, since this one did not reach the store for too long"
            )
            return
        if self._terminated:
            self.stop("SIGTERM: the system asked the driver to end")
        if (spent := self._budget.used_up((now - self._began) / 3600, self.gpu_hours)) is not None:
            self.stop(spent)
        if now - self._looked >= _REQUEST_SECONDS:
            self._looked = now
            if (asked := stop_reason(self._store)) is not None:
                self.stop(asked)
        if self.reason is not None and not self._written:
            with contextlib.suppress(SweepError):  # away for the moment: the next look tries again
                self._store.request_stop(self.reason)
                self._written = True
        if now - self._saved >= _SAVE_SECONDS:
            self._save()
        if self._training and self.reason is None:
            self._look_for_a_stall(now)

    def _watch(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            self._tick_on()
        # No look any more: a request to stop what has ended would stay in the store.
        self._count_cards()
        self._save()

    def _tick_on(self) -> None:
        try:
            self.tick()
        except Exception:
            # Whatever one look meets, a thread that has died would keep to no budget.
            logger.warning("a look at sweep %r went wrong", self._store.name, exc_info=True)

    def _count_cards(self) -> float:
        """Add what packs have held since the last time; returns the time."""
        with self._lock:
            now = self._clock()
            held = sum(pack.gpus for pack in self._running.values())
            self.gpu_hours += held * (now - self._ticked) / 3600
            self._ticked = now
        return now

    def _save(self) -> None:
        self._saved = self._clock()
        if self.gpu_hours > 0 and not self._lost.is_set():
            with contextlib.suppress(SweepError):
                self._store.write_spent({"gpu_hours": self.gpu_hours})

    def _look_for_a_stall(self, now: float) -> None:
        if now - self._stall_looked < min(60.0, self._stall_seconds / 4):
            return
        self._stall_looked = now
        running = sorted(self.running())
        paths = [progress_path(self._store, pack) for pack in running]
        # One try each: a store that is away for a while must not keep this thread from the budget.
        with files.patience(0.0):
            said = read_side_by_side(paths, read_json)
        # By what changes, not by the times that processes on other machines write. What cannot be read is as it was.
        seen = {
            pack: (words.get("attempt"), words.get("step")) if words else self._seen.get(pack)
            for pack, words in zip(running, said, strict=True)
        }
        if seen != self._seen:
            self._seen, self._moved_on, self._stalled = seen, now, False
        elif now - self._moved_on >= self._stall_seconds and not self._stalled:
            self._stalled = True
            self._on_stall(_stall(now - self._moved_on, running))

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        # Only a flag: the store must not be touched from within whatever was interrupted.
        if not self._training or self._terminated:
            self._on_sigint(number, frame)
        self._terminated = True

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        raise KeyboardInterrupt


def _stall(seconds: float, running: Sequence[str]) -> str:
    minutes = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    if not running:
        return (
            f"for {minutes} no pack has had a process: they wait for machines. `ray status` on the cluster says what "
            "is asked for and what is there."
        )
    names = ", ".join(running[:5]) + (", …" if len(running) > 5 else "")
    return f"for {minutes} none of {len(running)} running packs has got on: {names}."
