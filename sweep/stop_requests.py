"""Whether a sweep is asked to stop, for the processes that train: looked for beside training, which never waits."""

from __future__ import annotations

import threading
from types import TracebackType

from sweep.errors import SweepError
from sweep.store import SweepStore

__all__ = ["StopRequests", "stop_reason"]

_LOOK_SECONDS = 5.0


def stop_reason(store: SweepStore) -> str | None:
    """Why the sweep is to stop; None where it is not, or where the store cannot be asked at the moment."""
    try:
        request = store.stop_request()
    except (SweepError, OSError):
        return None
    return None if request is None else str(request.get("reason", "no reason was given"))


class StopRequests:
    """Looks for a request to stop every five seconds while the block runs; `reason` is None until there is one.

    A thread of its own looks: on an object store that is away, asking can take a minute.
    """

    def __init__(self, store: SweepStore, seconds: float | None = None) -> None:
        self.reason: str | None = None
        self._store = store
        self._seconds = _LOOK_SECONDS if seconds is None else seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="sweep-stop-requests", daemon=True)

    def __enter__(self) -> StopRequests:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not joined: the thread may hang in a store that is away, and it changes nothing.
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(self._seconds):
            self.reason = stop_reason(self._store)
            if self.reason is not None:
                return
