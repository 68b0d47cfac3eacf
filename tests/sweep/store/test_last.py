"""The last values taken while reading are those that pandas takes of the full reading, whatever the store's state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from places_of_tests import anywhere, first_part

from sweep.analysis.final import final
from sweep.errors import CorruptSegmentError, UsageError
from sweep.store import METRICS, Store, SweepStore, compaction, last, manifest
from sweep.store.last import last_rows

Attempt = Callable[..., int]
PACKS = {"p0": ["b", "e"], "p1": ["a", "d"], "p2": ["c", "f"]}
MEASURES = ["loss", "srank", "return_mean", "q_mean", "value_error"]
STEPS = range(0, 100, 10)


def fill(store: Store, *, compact: bool, tail: bool) -> SweepStore:
    """Measures at cadences of their own, a null or NaN at the end of some, trials that lie in two row groups."""
    sweep = store.create("demo")
    random = np.random.default_rng(5)
    for pack, trials in PACKS.items():
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        for step in STEPS:
            rows = []
            for trial in trials:
                row: dict[str, Any] = {"trial_id": trial, "step": step, "loss": random.normal()}
                if step % 30 == 0:
                    row["srank"] = float(random.integers(9))
                if step % 40 == 0 and trial != "d":
                    row["return_mean"] = random.normal()
                row["q_mean"] = np.nan if step > 50 and trial in "be" else random.normal()
                if step == 0 and trial in "af":
                    row["value_error"] = 1.5
                rows.append(row)
            writer.append(rows)
            if step % 20 == 0:
                writer.flush()
        writer.flush()
        if pack != "p2" or not tail:
            sweep.finish_pack(pack, {"attempt": attempt, "trials": {}})
        if compact:
            sweep.compact(grace_seconds=0)
    return sweep


@pytest.fixture(params=["segments", "parts", "both"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(compaction, "ROW_GROUP", 7)
    store = Store(tmp_path)
    fill(store, compact=request.param != "segments", tail=request.param == "both")
    return store


def finals(metrics: pd.DataFrame, measures: list[str] | None = None) -> pd.DataFrame:
    trials = pd.DataFrame({"trial_id": list("abcdefg")})
    return final(trials, metrics, measures=measures, steps=True)


@pytest.mark.parametrize("measures", [["loss"], ["srank", "return_mean"], MEASURES, None])
def test_final_values_are_those_of_the_full_reading(filled: Store, measures: list[str] | None) -> None:
    columns = None if measures is None else ["trial_id", "step", *measures]
    whole, reduced = filled.metrics("demo", columns), filled.last_metrics("demo", measures)
    pd.testing.assert_frame_equal(finals(reduced, measures), finals(whole, measures))
    assert list(reduced.columns) == (list(METRICS) if measures is None else columns)


def test_rows_are_few_whole_and_in_order(filled: Store) -> None:
    whole, reduced = filled.metrics("demo"), filled.last_metrics("demo", ["srank", "value_error"])
    assert isinstance(reduced["trial_id"].dtype, pd.CategoricalDtype)
    keys = list(zip(reduced["trial_id"], reduced["step"], strict=True))
    # srank was last taken at the last step; value_error of a and f at the first alone.
    assert keys == [("a", 0), *((trial, 90) for trial in "abcde"), ("f", 0), ("f", 90)]
    expected = whole.set_index(["trial_id", "step"]).loc[keys, ["srank", "value_error"]].reset_index()
    pd.testing.assert_frame_equal(reduced.astype({"trial_id": expected["trial_id"].dtype}), expected)


def test_filters_come_before_the_reduction(filled: Store) -> None:
    filters = [("step", "<", 65), ("trial_id", "in", ["a", "b", "e"])]
    whole = filled.metrics("demo", ["trial_id", "step", *MEASURES], filters)
    reduced = filled.last_metrics("demo", MEASURES, filters)
    pd.testing.assert_frame_equal(finals(reduced), finals(whole))
    assert reduced.groupby("trial_id", observed=True)["step"].max().tolist() == [60, 60, 60]


def test_a_measure_that_does_not_exist_is_refused(filled: Store) -> None:
    with pytest.raises(UsageError, match=r"metrics: no column 'sranc'; there are: .*did you mean 'srank'"):
        filled.last_metrics("demo", ["sranc"])


@anywhere
def test_an_empty_sweep_has_typed_empty_last_values(store: Store) -> None:
    store.create("demo")
    found = store.last_metrics("demo", ["loss"])
    assert list(found.columns) == ["trial_id", "step", "loss"]
    assert finals(found)["loss"].isna().all()


@anywhere
def test_superseded_rows_hold_no_last_value(store: Store, sweep: SweepStore, write_attempt: Attempt) -> None:
    write_attempt(sweep, "p0", ["t0"], [0, 1, 2, 3, 4, 5])
    write_attempt(sweep, "p0", ["t0"], [4], resume_step=2, value=100.0)
    found = store.last_metrics("demo", ["loss"])
    assert found[["step", "loss"]].to_numpy().tolist() == [[4, 104.0]]


def test_a_reduction_across_a_compaction_starts_over(
    store: Store, monkeypatch: pytest.MonkeyPatch, sweep: SweepStore
) -> None:
    fill(store, compact=False, tail=False)
    before = store.last_metrics("demo", MEASURES)
    real, calls = manifest.latest, []

    def compacted_just_after(layout: Any) -> Any:
        found = real(layout)
        if not calls:
            calls.append(1)
            sweep.compact(grace_seconds=0)
        return found

    monkeypatch.setattr(manifest, "latest", compacted_just_after)
    pd.testing.assert_frame_equal(store.last_metrics("demo", MEASURES), before)
    assert calls


def damage_a_row_group(sweep: SweepStore) -> Path:
    import pyarrow.parquet as pq

    path = first_part(sweep)
    column = pq.read_metadata(path).row_group(1).column(4)
    assert column.path_in_schema == "loss"
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 0xFF
    path.write_bytes(data)
    return path


def test_damage_is_named_or_left_out_as_in_the_full_reading(
    store: Store, sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROW_GROUP", 7)
    fill(store, compact=True, tail=True)
    part = damage_a_row_group(sweep)
    segment = sorted(sweep.layout.hot("metrics", "p2").iterdir())[-1]
    segment.write_bytes(segment.read_bytes()[:-40])
    with pytest.raises(CorruptSegmentError, match=segment.name):
        store.last_metrics("demo", ["loss"])
    whole = store.metrics("demo", ["trial_id", "step", *MEASURES], skip_corrupt=True)
    reduced = store.last_metrics("demo", MEASURES, skip_corrupt=True)
    pd.testing.assert_frame_equal(finals(reduced), finals(whole))
    assert reduced.attrs["skipped"] == whole.attrs["skipped"]
    assert len(whole.attrs["skipped"]) == 2
    assert all(
        name in told for name, told in zip([segment.name, part.name], whole.attrs["skipped"], strict=True)
    )
    segment.unlink()
    with pytest.raises(CorruptSegmentError, match=part.name):
        store.last_metrics("demo", ["loss"])
    sound = store.last_metrics("demo", ["srank"])
    assert set(sound["trial_id"]) == set("abcdef"), "other columns are sound"


values = st.one_of(st.none(), st.just(float("nan")), st.floats(-9, 9))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), values, values), max_size=40),
    st.integers(0, 40),
)
def test_reducing_the_pieces_and_then_the_whole_loses_nothing(rows: list[Any], cut: int) -> None:
    ordered = sorted({(trial, step): (x, y) for trial, step, x, y in rows}.items())
    table = pa.table(
        {
            "trial_id": pa.array([trial for (trial, _), _ in ordered], pa.string()).dictionary_encode(),
            "step": pa.array([step for (_, step), _ in ordered], pa.int64()),
            "x": pa.array([x for _, (x, _) in ordered], pa.float64()),
            "y": pa.array([y for _, (_, y) in ordered], pa.float64()),
        }
    )
    once = last_rows(table)
    pieces = pa.concat_tables([last_rows(table.slice(0, cut)), last_rows(table.slice(cut))])
    pd.testing.assert_frame_equal(last_rows(pieces).to_pandas(), once.to_pandas(), check_categorical=False)
    trials = pd.DataFrame({"trial_id": list("abc")})
    expected = final(trials, table.to_pandas(), measures=["x", "y"], steps=True)
    pd.testing.assert_frame_equal(final(trials, once.to_pandas(), measures=["x", "y"], steps=True), expected)
    assert once.num_rows <= 3 * 3


def test_a_reduction_holds_a_row_group_at_a_time(
    store: Store, sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROW_GROUP", 4096)
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    trials = [f"t{number:03}" for number in range(200)]
    for start in range(0, 1000, 250):
        steps = np.repeat(np.arange(start, start + 250), len(trials))
        loss = np.random.default_rng(start).normal(size=len(steps))
        writer.append({"trial_id": trials * 250, "step": steps, "loss": loss, "srank": loss})
    writer.flush()
    sweep.finish_pack("p0", {"attempt": attempt, "trials": {}})
    sweep.compact(grace_seconds=0)

    before, held, seen = pa.total_allocated_bytes(), 0, 0

    def watched(rows: Any) -> Any:
        nonlocal held, seen
        held, seen = max(held, pa.total_allocated_bytes() - before), max(seen, rows.num_rows)
        return last_rows(rows)

    monkeypatch.setattr(last, "last_rows", watched)
    reduced, _ = sweep.last(["loss", "srank"])
    assert reduced.num_rows == len(trials)
    assert seen <= 4096
    whole, _ = sweep.table("metrics", ["trial_id", "step", "loss", "srank"])
    assert held < whole.nbytes / 10
