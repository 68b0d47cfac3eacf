"""Several trials at a time on their way to a server: bounded, and over when it says so."""

from __future__ import annotations

import threading
import time

import pytest

from sweep.mirror.sending import side_by_side

TRIALS = [f"t{number}" for number in range(40)]


class Calls:
    """What is at work, and how much at most was."""

    def __init__(self, fails: str | None = None) -> None:
        self.done: list[str] = []
        self.most = self._now = 0
        self._fails, self._lock = fails, threading.Lock()

    def __call__(self, trial_id: str) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.005)
        with self._lock:
            self._now -= 1
            self.done.append(trial_id)
        if trial_id == self._fails:
            raise ConnectionResetError(trial_id)


@pytest.mark.parametrize("at_once", [1, 4])
def test_each_is_called_once_and_no_more_at_a_time_than_asked_for(at_once: int) -> None:
    calls = Calls()
    assert side_by_side(calls, TRIALS, at_once, lambda: False)
    assert sorted(calls.done) == sorted(TRIALS)
    assert calls.most == at_once


@pytest.mark.parametrize("at_once", [1, 4])
def test_after_an_error_nothing_is_begun_and_nothing_is_under_way(at_once: int) -> None:
    calls = Calls(fails="t3")
    with pytest.raises(ConnectionResetError, match="t3"):
        side_by_side(calls, TRIALS, at_once, lambda: False)
    done = len(calls.done)
    assert 4 <= done < 20
    time.sleep(0.05)
    assert len(calls.done) == done


@pytest.mark.parametrize("at_once", [1, 4])
def test_told_to_stop_it_leaves_the_rest_and_says_so(at_once: int) -> None:
    calls = Calls()
    assert not side_by_side(calls, TRIALS, at_once, lambda: len(calls.done) >= 5)
    assert 5 <= len(calls.done) < 5 + at_once
