"""Live progress on a terminal, and plain lines where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.data.manifest import dataset_exists
from sweep.datasets import progress_file
from sweep.errors import StoreUnavailableError
from sweep.pack_progress import read_json
from sweep.status import PackStatus, eager_because, read_packs, totals_of
from sweep.store import SweepStore
from sweep.store.places import is_local

__all__ = ["TerminalDisplay", "duration"]

_REFRESH_SECONDS = 1.0
_PLAIN_SECONDS = 15.0
_BUCKET_SECONDS = 15.0
"""In a bucket each look is some requests a pack, which cost money."""
_MOST_ROWS = 12


class TerminalDisplay:
    """Shows a run on `console`: a live table on a terminal, a line every quarter of a minute elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._warned: set[str] = set()
        self._halved: set[tuple[str, int | None]] = set()

    def say(self, text: str) -> None:
        """See `Display.say`."""
        # What is said has paths, addresses and others' words in it, whose brackets are no markup.
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def collecting(self, root: Path, names: Sequence[str]) -> Iterator[None]:
        """See `Display.collecting`."""
        with self._shown(root, lambda: _collection(root, names), lambda: _collection_line(root, names)):
            yield

    @contextmanager
    def following(self, store: SweepStore) -> Iterator[None]:
        """See `Display.following`."""

        pace = _AveragePace()

        def packs() -> tuple[list[PackStatus], float | None]:
            found = read_packs(store)
            self._warn(found)
            return found, pace.seconds_left(totals_of(found)["share_done"])

        root = store.layout.root
        with self._shown(root, lambda: _packs_table(*packs()), lambda: _packs_line(*packs())):
            yield
        with suppress(StoreUnavailableError):
            self._warn_eager(eager_because(store))

    def _say_in_colour(self, marked: str) -> None:
        self.console.print(marked, highlight=False)

    def _warn(self, packs: Sequence[PackStatus]) -> None:
        for pack in packs:
            self._warn_eager(pack.eager_because)
            if pack.halved_because and (pack.pack_id, pack.members_at_once) not in self._halved:
                self._halved.add((pack.pack_id, pack.members_at_once))
                self._say_in_colour(
                    f"[yellow]pack {pack.pack_id} goes on with {pack.members_at_once} members at once: "
                    f"{escape(pack.halved_because)}[/yellow]"
                )
            if pack.error and pack.pack_id not in self._warned:
                self._warned.add(pack.pack_id)
                self._say_in_colour(f"[red]pack {pack.pack_id} failed: {escape(pack.error)}[/red]")

    def _warn_eager(self, reason: str | None) -> None:
        if reason and reason not in self._warned:
            self._warned.add(reason)
            self._say_in_colour(
                f"[yellow]training runs eagerly, about 4 times slower than compiled: {escape(reason)}. "
                "`sweep doctor` says how to mend it.[/yellow]"
            )

    @contextmanager
    def _shown(
        self, root: Path, table: Callable[[], RenderableType], line: Callable[[], str]
    ) -> Iterator[None]:
        least = 0.0 if is_local(root) else _BUCKET_SECONDS
        if self.console.is_terminal:
            with Live(table(), console=self.console, auto_refresh=False, transient=False) as live:
                with _repeated(lambda: live.update(table(), refresh=True), max(_REFRESH_SECONDS, least)):
                    yield
                with suppress(StoreUnavailableError):  # what was trained is not to be lost over a picture
                    live.update(table(), refresh=True)
        else:
            with _repeated(lambda: self.say(line()), max(_PLAIN_SECONDS, least)):
                yield
            with suppress(StoreUnavailableError):
                self.say(line())


def duration(seconds: float | None) -> str:
    """`1:02:03`, or `?` where it is not known."""
    return "?" if seconds is None else str(timedelta(seconds=round(seconds)))


@contextmanager
def _repeated(action: Callable[[], Any], seconds: float) -> Iterator[None]:
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            try:
                action()
            except Exception as error:
                if not isinstance(error, (OSError, ValueError, KeyError, RuntimeError)):
                    raise

    thread = threading.Thread(target=loop, name="sweep-display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _AveragePace:
    """Time left by the average since the run began, compilation and all.

    What packs do at one moment says little: while some compile, it would jump between minutes and nothing.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._share_then: float | None = None

    def seconds_left(self, share_done: float) -> float | None:
        """Seconds left, None before anything was done in this run."""
        if self._share_then is None:
            self._share_then = share_done
        done = share_done - self._share_then
        return (time.monotonic() - self._began) / done * (1 - share_done) if done > 0 else None


def _packs_table(packs: Sequence[PackStatus], left: float | None) -> RenderableType:
    totals = totals_of(list(packs))
    running = [pack for pack in packs if pack.state in ("running", "silent")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("pack", "trials", "step", "", "steps/s"):
        table.add_column(header, justify="right" if header in ("trials", "step", "steps/s") else "left")
    for pack in running[:_MOST_ROWS]:
        bar = ProgressBar(total=max(pack.train_steps, 1), completed=pack.step, width=24)
        pace = f"{pack.steps_per_second:,.0f}" if pack.steps_per_second else "starting"
        table.add_row(pack.pack_id, str(pack.trials), f"{pack.step:,}/{pack.train_steps:,}", bar, pace)
    head = Table.grid(padding=(0, 2))
    head.add_row(
        ProgressBar(total=1.0, completed=totals["share_done"], width=40),
        Text(_packs_line(packs, left), style="bold"),
    )
    return Group(head, table) if running else head


def _packs_line(packs: Sequence[PackStatus], left: float | None) -> str:
    totals = totals_of(list(packs))
    done = sum(pack.trials for pack in packs if pack.state == "done")
    failed = sum(pack.state == "failed" for pack in packs)
    return (
        f"{totals['share_done']:.0%} · packs {totals['packs_done']:.0f}/{totals['packs']:.0f}"
        f"{f' ({failed} failed)' if failed else ''} · trials {done}/{sum(pack.trials for pack in packs)} · "
        f"{totals['steps_per_second']:,.0f} steps/s · left {duration(left)}"
    )


def _collection(root: Path, names: Sequence[str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name in names:
        said = read_json(progress_file(root, name)) or {}
        ended = _is_made(root, name)
        total = said.get("total") or 1
        done = total if ended else said.get("done", 0)
        table.add_row(name, ProgressBar(total=total, completed=done, width=40), _made(said, ended))
    return table


def _collection_line(root: Path, names: Sequence[str]) -> str:
    parts = []
    for name in names:
        said = read_json(progress_file(root, name)) or {}
        parts.append(f"{name}: {_made(said, _is_made(root, name))}")
    return " · ".join(parts)


def _is_made(root: Path, name: str) -> bool:
    return dataset_exists(root / "datasets" / name)


def _made(said: dict[str, Any], ended: bool) -> str:
    return "made" if ended else str(said.get("text", "waiting"))
