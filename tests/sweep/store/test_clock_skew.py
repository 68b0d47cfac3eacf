"""Clocks that are days apart: what counts is decided by the numbers of attempts, segments and generations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from places_of_tests import anywhere

from sweep.store import Store, SweepStore, files

DAYS = 2 * 86400.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clock of this process so many seconds off."""
    real = time.time

    def off_by(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return off_by


def attempt_at(sweep: SweepStore, resume_step: int, steps: list[int], value: float) -> int:
    attempt = sweep.start_attempt("p0", {"resume_step": resume_step})
    writer = sweep.segment_writer("p0", attempt, resume_step)
    for step in steps:
        writer.append({"trial_id": ["a"], "step": [step], "loss": [value + step]})
        writer.flush()
    return attempt


@anywhere
@pytest.mark.parametrize("ahead", [1, -1])
def test_the_later_attempt_counts_whatever_its_clock_says(
    store: Store, sweep: SweepStore, clock: Callable[[float], None], ahead: int, finish_pack: Any
) -> None:
    clock(ahead * DAYS)
    attempt_at(sweep, -1, [0, 1, 2, 3], 0.0)
    clock(-ahead * DAYS)
    attempt_at(sweep, 1, [2, 3, 4], 100.0)
    clock(ahead * DAYS / 2)
    last = attempt_at(sweep, 3, [4, 5], 200.0)
    expected = [0.0, 1.0, 102.0, 103.0, 204.0, 205.0]
    assert store.metrics("demo")["loss"].tolist() == expected
    sweep.fail_pack("p0", 1, {"reason": "an old failure, written late by a clock in the future"})
    clock(-ahead * DAYS)
    finish_pack(sweep, "p0", last, ["a"])
    assert sweep.compact().rows == 6
    assert store.metrics("demo")["loss"].tolist() == expected


@anywhere
@pytest.mark.parametrize("ahead", [1, -1])
def test_segments_go_after_a_compaction_by_a_machine_of_another_clock(
    store: Store, sweep: SweepStore, clock: Callable[[float], None], ahead: int, finish_pack: Any
) -> None:
    finish_pack(sweep, "p0", attempt_at(sweep, -1, [0, 1], 0.0), ["a"])
    clock(ahead * DAYS)
    sweep.compact(grace_seconds=60)
    assert files.list_tree(sweep.layout.hot_root("metrics")), "within its grace"
    clock(0.0)
    sweep.compact(grace_seconds=60)
    assert files.list_tree(sweep.layout.hot_root("metrics")) == []
    assert store.metrics("demo")["loss"].tolist() == [0.0, 1.0]
