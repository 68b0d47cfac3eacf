"""The mirror's life: connect, copy, wait; after an outage or an error, connect again."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import LockedError, StoreUnavailableError, SweepError
from sweep.mirror.errors import MirrorError, TrackingUnavailable
from sweep.mirror.session import Progress, Report, Session
from sweep.mirror.source import Source
from sweep.mirror.tracking import client_settings, connect, shown, translated
from sweep.mirror.watermark import MirrorPaths, Watermark
from sweep.store import files
from sweep.store.lock import locked

_BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_REFUSALS = 3


@dataclass(frozen=True)
class Pace:
    """How often the mirror works; all in seconds."""

    poll: float = 2.0
    """Between two looks at the store."""
    flush: float = 10.0
    """The longest that a point waits for its request to become full."""
    patience: float = 20.0
    """How long a mirror that was told to finish goes on trying an MLflow that does not answer."""


@dataclass
class Commands:
    """How others steer a mirror that is at work."""

    finish: threading.Event
    """Bring MLflow up to the store as it is then, and end."""
    quit: threading.Event
    """End now."""

    @classmethod
    def none(cls) -> Commands:
        """Nobody has asked for anything yet."""
        return cls(threading.Event(), threading.Event())


def mirror(
    root: str | Path,
    name: str,
    tracking_uri: str,
    commands: Commands,
    pace: Pace,
    report: Report,
    *,
    rebuild: bool = False,
    skip_corrupt: bool = False,
) -> Progress:
    """Keep MLflow in step with a sweep's store until told to finish or to quit.

    Raises:
        LockedError: another mirror copies this sweep to the same MLflow.
        TrackingUnavailable: told to finish, and MLflow did not answer for `pace.patience` seconds.
        MirrorError: MLflow answers, and refuses again and again.
        StoreError: the store could not be read; a bucket that is away is waited for, as MLflow is.
    """
    source = Source(root, name, skip_corrupt=skip_corrupt)
    paths = MirrorPaths.of(source.folder, tracking_uri)
    what = f"the mirror of sweep {name!r} to {shown(tracking_uri)}"
    with locked(paths.lock, what) as held, client_settings():
        loop = _Loop(source, paths, tracking_uri, commands, pace, report, held.check)
        try:
            return loop.run(rebuild)
        except LockedError:
            raise  # another mirror is at work: what stands there is its word now
        except SweepError as error:
            away = isinstance(error, (TrackingUnavailable, StoreUnavailableError))
            loop.note("waiting" if away else "failed", str(error))
            raise


class _Loop:
    def __init__(
        self,
        source: Source,
        paths: MirrorPaths,
        tracking_uri: str,
        commands: Commands,
        pace: Pace,
        report: Report,
        check_held: Callable[[], None],
    ) -> None:
        self._source, self._paths, self._uri = source, paths, tracking_uri
        self._check_held = check_held
        self._commands, self._pace, self._report = commands, pace, report
        self._progress = Progress()
        self._failures = self._refusals = 0
        self._interrupted = False

    def run(self, rebuild: bool) -> Progress:
        asked_at: float | None = None
        while not self._commands.quit.is_set():
            try:
                with ExitStack() as settled, translated(self._uri):
                    session = self._open()
                    settled.enter_context(_collector_spared())
                    if rebuild:
                        session.registry.replace_all()
                        files.remove(self._paths.watermark)
                        rebuild, session = False, self._open()
                    if self._converse(session):
                        if not self._interrupted:
                            return self._progress
                        # A run whose making was not answered may have been made late, and again by us since:
                        # a session that begins now sees both.
                        self._interrupted = False
                        continue
            except (TrackingUnavailable, StoreUnavailableError) as error:
                problem: SweepError = error
            except MirrorError as error:
                # It may be the session's picture of MLflow that is out of date: a run deleted, a
                # database replaced. A new session looks again.
                self._refusals += 1
                problem = error
                if self._refusals >= _REFUSALS:
                    raise
            else:
                break
            self._failures += 1
            self._interrupted = True
            self.note("waiting", str(problem))
            if self._commands.finish.is_set():
                asked_at = asked_at or time.monotonic()
                if time.monotonic() - asked_at >= self._pace.patience:
                    raise problem
                self._commands.quit.wait(min(_BACKOFF_SECONDS[0], self._pace.patience))
            else:
                # Woken early by being told to finish.
                self._commands.finish.wait(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS)) - 1])
        self.note("stopped", "told to quit before everything was copied")
        return self._progress

    def note(self, state: str, message: str) -> None:
        """Tell `mirror_status` how it stands, without touching how far the mirror is."""
        try:
            mark = Watermark.load(self._paths.watermark, shown(self._uri))
            mark.state, mark.message = state, message
            mark.save(self._paths.watermark)
        except SweepError:
            # A full disk must not hide the reason that is on its way to the user.
            return

    def _open(self) -> Session:
        client = connect(self._uri)
        mark = Watermark.load(self._paths.watermark, shown(self._uri))
        self._progress.mirrored = 0
        return Session(client, self._source, self._paths, mark, self._uri, self._report, self._progress)

    def _converse(self, session: Session) -> bool:
        """Work until told to finish, and finished (True), or to quit (False)."""
        commands, flushed = self._commands, 0.0
        while not commands.quit.is_set():
            finishing, began = commands.finish.is_set(), time.monotonic()
            # Two mirrors at once could make two runs of one trial.
            self._check_held()
            flush = finishing or began - flushed >= self._pace.flush
            anything = session.work(flush=flush, stop=commands.quit.is_set)
            self._failures = self._refusals = 0
            if flush:
                flushed = began
            if finishing:
                # A compaction may have hidden some rows from a pass; one that sees nothing new is the last.
                if not anything and not commands.quit.is_set():
                    return True
            else:
                # Looking at a large sweep takes time too: never more than a fifth of it.
                commands.finish.wait(max(self._pace.poll, 4 * (time.monotonic() - began)))
        return False


@contextmanager
def _collector_spared() -> Iterator[None]:
    """Keep the garbage collector from walking all that MLflow has loaded again and again.

    Each request makes thousands of objects, which sets the collector off some ten times; with what was
    there before put aside, the same requests take 1.35 times less processor time.
    """
    if gc.get_freeze_count():
        # Somebody else's doing, and theirs to undo.
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
