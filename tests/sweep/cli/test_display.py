"""What a run says, and what must not end it: pictures and words."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tiny_sweeps import begin, study

from sweep.cli.display import TerminalDisplay
from sweep.errors import StoreUnavailableError
from sweep.store import SweepStore


def test_brackets_in_what_is_said_are_no_markup() -> None:
    out = io.StringIO()
    display = TerminalDisplay(Console(file=out, width=200))
    display.say("not measured (CUDA error at [/usr/lib/libcuda.so] [1]): pip install 'rankscope[notify]'")
    assert out.getvalue() == (
        "not measured (CUDA error at [/usr/lib/libcuda.so] [1]): pip install 'rankscope[notify]'\n"
    )


def test_a_store_that_is_away_when_a_run_ends_does_not_end_it_by_its_last_picture(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = begin(tiny_root, study())
    display = TerminalDisplay(Console(file=io.StringIO()))

    def away(_: SweepStore) -> None:
        raise StoreUnavailableError("the object store cannot be reached")

    with display.following(store):
        monkeypatch.setattr(SweepStore, "standings", away)
