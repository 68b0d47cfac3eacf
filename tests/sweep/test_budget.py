"""Budgets: what they allow, and how far a schedule gets within one."""

from __future__ import annotations

import pytest

from sweep.budget import Budget, PlannedEnd, Slot, planned_end
from sweep.errors import UsageError


def test_without_limits_nothing_is_used_up_or_said() -> None:
    assert Budget().used_up(1e9, 1e9) is None
    assert Budget().said() is None


def test_a_limit_is_used_up_when_it_is_reached() -> None:
    hours = Budget(max_hours=3)
    assert hours.used_up(2.999, 1e9) is None
    assert hours.used_up(3.0, 0.0) == "--max-hours 3 is used up"
    cards = Budget(max_gpu_hours=10)
    assert cards.used_up(1e9, 9.99) is None
    assert cards.used_up(0.0, 10.02) == (
        "--max-gpu-hours 10 is used up (10.02 GPU-hours, all runs of this sweep together)"
    )


def test_limits_are_said_with_what_is_used_already() -> None:
    assert Budget(3, 10).said(4.2) == "stops after 3 h or 10 GPU-hours (4.20 of them used by earlier runs)"
    assert Budget(max_gpu_hours=0.5).said() == "stops after 0.5 GPU-hours"


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number_of_hours(hours: float) -> None:
    with pytest.raises(UsageError, match=r"--max-hours .*must be more than 0 hours; half an hour is 0.5"):
        Budget(max_hours=hours)
    with pytest.raises(UsageError, match="--max-gpu-hours"):
        Budget(max_gpu_hours=hours)


HOUR = 3600.0
FOUR = [
    Slot(0, 2 * HOUR, 0.5),
    Slot(0, 1 * HOUR, 0.5),
    Slot(1 * HOUR, 3 * HOUR, 0.5),
    Slot(2 * HOUR, 4 * HOUR, 1.0),
]


def test_a_schedule_within_its_budget_is_done() -> None:
    assert planned_end(FOUR, Budget(max_hours=4)) == PlannedEnd(4 * HOUR, done=4, begun=0)
    assert planned_end([], Budget(max_hours=4)) == PlannedEnd(0.0, done=0, begun=0)


def test_hours_cut_a_schedule_at_the_clock() -> None:
    assert planned_end(FOUR, Budget(max_hours=2.5)) == PlannedEnd(2.5 * HOUR, done=2, begun=2)


def test_hours_of_cards_cut_it_where_the_shares_add_up() -> None:
    # Held: 1 card in the first two hours, 1.5 in the third, 1 in the fourth: 4.5 in all.
    assert planned_end(FOUR, Budget(max_gpu_hours=4.5)).done == 4
    assert planned_end(FOUR, Budget(max_gpu_hours=2.75)) == PlannedEnd(2.5 * HOUR, done=2, begun=2)
    assert planned_end(FOUR, Budget(max_hours=1.0, max_gpu_hours=2.75)).seconds == HOUR
