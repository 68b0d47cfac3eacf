"""Thinning: what is kept, whatever the pieces in which the rows arrive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.mirror.series import Column, Point, TrialSeries
from sweep.mirror.thinning import INTERVALS, interval_width


def pieces(steps: np.ndarray, train_steps: int, cuts: list[int]) -> list[Point]:
    series = TrialSeries(train_steps)
    for part in np.split(steps, cuts):
        values = part.astype(float)
        series.add(part, part * 1000 + 7, {"loss": Column(values, np.ones(len(part), bool))})
    series.close()
    return list(series.queue)


@pytest.mark.parametrize(
    ("train_steps", "width"),
    [
        (1, 1),
        (1000, 1),
        (1001, 2),
        (2001, 5),
        (10_000, 10),
        (100_000, 100),
        (100_001, 200),
        (12_500_000, 20_000),
    ],
)
def test_the_interval_is_the_least_round_width_that_gives_at_most_1000(train_steps: int, width: int) -> None:
    assert interval_width(train_steps) == width


@settings(max_examples=60, deadline=None)
@given(
    train_steps=st.integers(1, 300_000),
    every=st.integers(1, 50),
    stop=st.floats(0.01, 1.0),
    cuts=st.lists(st.integers(0, 5000), max_size=6),
)
def test_pieces_give_what_the_whole_gives(train_steps: int, every: int, stop: float, cuts: list[int]) -> None:
    steps = np.arange(0, int(train_steps * stop) + 1, every, dtype=np.int64)
    whole = pieces(steps, train_steps, [])
    assert pieces(steps, train_steps, sorted(cuts)) == whole
    kept = [point.step for point in whole]
    assert kept[0] == 0
    assert kept[-1] == steps[-1]
    assert len(kept) <= INTERVALS + 2
    assert kept == sorted(set(kept))
    assert all(point.value == point.step and point.timestamp == point.step * 1000 + 7 for point in whole)
    gaps = np.diff(kept)
    # No hole: from the first point of one interval to the first of the next that has any.
    assert not len(gaps) or gaps.max() < 2 * interval_width(train_steps) + every


def test_a_short_series_is_kept_whole() -> None:
    steps = np.arange(0, 100_001, 100, dtype=np.int64)
    assert [point.step for point in pieces(steps, 100_000, [500])] == steps.tolist()


def test_rows_up_to_what_mlflow_has_are_not_queued_again() -> None:
    series = TrialSeries(1000, newest={"loss": 400})
    steps = np.arange(0, 1001, 100, dtype=np.int64)
    measured = np.ones(len(steps), bool)
    measures = {key: Column(steps * 2.0, measured) for key in ("loss", "srank")}
    series.add(steps, steps, measures)
    assert [point.step for point in series.queue if point.key == "loss"] == [500, 600, 700, 800, 900, 1000]
    assert [point.step for point in series.queue if point.key == "srank"] == steps.tolist()
    assert [point.step for point in series.queue] == sorted(point.step for point in series.queue)
    series.add(steps, steps, measures)
    assert len(series.queue) == 17


def test_a_measure_not_taken_is_no_point() -> None:
    series = TrialSeries(1000)
    values = np.array([np.nan, np.nan, 3.0])
    series.add(
        np.array([0, 100, 200]), np.array([5, 6, 7]), {"srank": Column(values, np.array([False, True, True]))}
    )
    assert [(point.step, point.timestamp) for point in series.queue] == [(100, 6), (200, 7)]
    assert np.isnan(series.queue[0].value)
