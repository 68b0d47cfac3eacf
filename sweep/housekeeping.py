"""What the driver tidies up while a large sweep trains, so that the end of it and those who look have little to do.

Left to the end, the segments of thousands of packs wait to be compacted all at once, and on an object store each is
a request; and until the table of trials knows what became of them, every status opens the results of all packs that
are done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sweep.errors import SweepError
from sweep.store import SweepStore

__all__ = ["keeping_house"]

_SECONDS = 120.0
_PACKS = 64
"""Fewer that have come to their end are left to the end of the run."""


@contextmanager
def keeping_house(
    store: SweepStore,
    seconds: float = _SECONDS,
    packs: int = _PACKS,
    hurry: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """While the block runs, look every so often whether so many packs are done since the last time, and tidy up.

    Only for the sweep's owner, who writes nothing of this meanwhile. What goes wrong is left to the run's end,
    where it is said. At the end of the block what is under way is waited for, unless `hurry` says otherwise.
    """
    ended = threading.Event()
    known = len(store.packs_done())

    def loop() -> None:
        nonlocal known
        while not ended.wait(seconds):
            try:
                done = len(store.packs_done())
                if done - known >= packs:
                    store.compact()
                    store.write_trials(store.trials())
                    store.gather_seconds()
                    known = done
            except (SweepError, OSError):
                continue

    thread = threading.Thread(target=loop, name="sweep-housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        while thread.is_alive() and not hurry():
            thread.join(1.0)
