"""Columns, filters, order and versions: against pandas, DuckDB and Polars-like plain reading."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from places_of_tests import anywhere, first_part

from sweep.errors import UsageError
from sweep.store import METRICS, SPECTRA, Store, SweepStore, manifest, segments
from sweep.store.layout import SegmentName
from sweep.store.segments import SegmentInfo


def fill(store: Store, *, compact: bool, tail: bool) -> None:
    """Random rows: two packs in two parts, or two parts and a tail."""
    sweep = store.create("demo")
    random = np.random.default_rng(3)
    for pack, trials in {"p0": ["b", "e"], "p1": ["a", "d"], "p2": ["c"]}.items():
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        for step in range(0, 100, 10):
            srank = np.ma.masked_array(
                random.integers(0, 9, len(trials)), mask=random.random(len(trials)) < 0.5
            )
            writer.append(
                {
                    "trial_id": trials,
                    "step": [step] * len(trials),
                    "loss": random.normal(size=len(trials)),
                    "srank": srank,
                }
            )
            if step % 30 == 0:
                writer.flush()
        writer.flush()
        if pack != "p2" or not tail:
            sweep.finish_pack(pack, {"attempt": attempt, "trials": {}})
        if compact:
            sweep.compact(grace_seconds=0)


@pytest.fixture(params=["segments", "parts", "both"], scope="module")
def filled(request: pytest.FixtureRequest) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        fill(store, compact=request.param != "segments", tail=request.param == "both")
        yield store


def test_rows_are_in_order_of_trial_and_step(filled: Store) -> None:
    found = filled.metrics("demo")
    assert list(found.columns) == list(METRICS)
    assert found["trial_id"].tolist() == [trial for trial in "abcde" for _ in range(10)]
    assert found["step"].tolist() == list(range(0, 100, 10)) * 5
    assert found["step"].dtype == np.int64
    assert found["attempt"].dtype == np.int16
    assert not isinstance(found["trial_id"].dtype, pd.CategoricalDtype)
    assert filled.metrics("demo", ["loss"])["loss"].equals(found["loss"])


conditions = st.one_of(
    st.tuples(st.just("trial_id"), st.sampled_from(["==", "!=", "<", ">="]), st.sampled_from("abcdez")),
    st.tuples(st.just("trial_id"), st.just("in"), st.lists(st.sampled_from("abcdez"), min_size=1)),
    st.tuples(st.just("step"), st.sampled_from(["==", "<", "<=", ">"]), st.integers(-1, 101)),
    st.tuples(st.just("loss"), st.sampled_from(["<", ">"]), st.floats(-2, 2)),
    st.tuples(st.just("srank"), st.sampled_from([">=", "!="]), st.integers(0, 9)),
)
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: (a != b) & a.notna(),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a.isin(b),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(conditions, min_size=1, max_size=3), min_size=1, max_size=2),
    st.lists(st.sampled_from(["step", "loss", "trial_id", "srank"]), min_size=1, unique=True),
)
def test_filters_select_what_pandas_selects(filled: Store, either: Any, columns: list[str]) -> None:
    whole = filled.metrics("demo")
    keep = pd.Series(False, whole.index)
    for all_of in either:
        mine = pd.Series(True, whole.index)
        for name, operation, value in all_of:
            mine &= OPERATIONS[operation](whole[name], value)
        keep |= mine
    expected = whole[keep][columns].reset_index(drop=True)
    filters = either if len(either) > 1 else either[0]
    pd.testing.assert_frame_equal(filled.metrics("demo", columns, filters), expected)
    expression = pq.filters_to_expression(either)
    pd.testing.assert_frame_equal(filled.metrics("demo", columns, expression), expected)


def test_plain_duckdb_reads_what_our_reader_reads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, compact=True, tail=False)
    folder = store.sweep("demo").layout.parts("metrics")
    assert len(list(folder.glob("*.parquet"))) == 3
    plain = duckdb.sql(f"select * from '{folder}/*.parquet' order by trial_id, step").df()
    pd.testing.assert_frame_equal(plain, store.metrics("demo"), check_dtype=False)


def test_plain_pandas_reads_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, compact=True, tail=False)
    folder = store.sweep("demo").layout.parts("metrics")
    ours = store.metrics("demo")
    plain = pd.read_parquet(folder, columns=list(ours.columns)).sort_values(["trial_id", "step"])
    plain = plain.astype({"trial_id": ours["trial_id"].dtype}).reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, ours)


def test_parts_are_laid_out_for_fast_reading(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, compact=True, tail=False)
    metadata = pq.read_metadata(first_part(store.sweep("demo")))
    group = metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["loss"].compression == "LZ4"
    assert "BYTE_STREAM_SPLIT" in columns["loss"].encodings
    assert "RLE_DICTIONARY" in columns["trial_id"].encodings
    assert columns["step"].has_column_index
    assert [(c.column_index, c.descending) for c in group.sorting_columns] == [(0, False), (1, False)]


@pytest.mark.parametrize(
    ("columns", "filters", "message"),
    [
        (["sranc"], None, "metrics: no column 'sranc'; there are: trial_id, step, .*did you mean 'srank'"),
        (None, [("los", ">", 1)], "no column 'los'.*did you mean 'loss'"),
        (None, [("loss", ">", "x")], r"filters \[\('loss', '>', 'x'\)\]: .*give a list such as"),
        (None, [("loss", "~", 1.0)], "give a list such as"),
        (None, ds.field("los") > 1, "filters .*give a list such as"),
    ],
)
def test_columns_and_filters_that_do_not_fit_are_refused(
    filled: Store, columns: Any, filters: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        filled.metrics("demo", columns, filters)


@anywhere
def test_columns_that_hold_values_are_told_by_the_parts_and_not_by_segments(
    store: Store, sweep: SweepStore, write_attempt: Any, finish_pack: Any
) -> None:
    assert sweep.measured() == []
    for pack, column in (("p0", "loss"), ("p1", "srank")):
        attempt = sweep.start_attempt(pack, {"resume_step": -1})
        writer = sweep.segment_writer(pack, attempt, -1)
        writer.append([{"trial_id": pack, "step": 0}, {"trial_id": pack, "step": 1, column: 0.5}])
        writer.flush()
        finish_pack(sweep, pack, attempt, [pack])
        assert sweep.measured() is None
        sweep.compact(grace_seconds=0)
    found = store.metrics("demo")
    expected = [name for name in found.columns if found[name].notna().any()]
    assert sorted(sweep.measured() or []) == sorted(expected)
    assert "loss" in expected
    assert "q_mean" not in expected


@anywhere
def test_an_empty_sweep_has_typed_empty_tables(store: Store) -> None:
    store.create("demo")
    assert list(store.metrics("demo").columns) == list(METRICS)
    assert list(store.spectra("demo").columns) == list(SPECTRA)
    assert store.metrics("demo", ["loss"], [("loss", ">", 0)])["loss"].dtype == np.float64
    assert store.sweep("demo").compact().packs == 0


def write_other_version(sweep: SweepStore, pack: str, table: Any) -> None:
    """A segment as an older or newer version would have written it."""
    attempt = sweep.start_attempt(pack, {"resume_step": -1})
    sweep.segment_writer(pack, attempt, -1)
    info = SegmentInfo(pack, attempt, 0, -1, table.num_rows, 0, 9, schema_version=99)
    path = sweep.layout.hot("metrics", pack) / str(SegmentName(attempt, 0))
    path.write_bytes(segments.encode(table, info))
    sweep.finish_pack(pack, {"attempt": attempt, "trials": {}})


@anywhere
@pytest.mark.parametrize("compacted", ["none", "some", "all"])
def test_files_with_fewer_and_more_columns_are_read_together(store: Store, compacted: str) -> None:
    sweep = store.create("demo")
    older = pa.table({"trial_id": ["a"], "step": [1], "attempt": pa.array([0], pa.int16()), "loss": [0.5]})
    newer = older.set_column(0, "trial_id", pa.array(["b"])).append_column("hessian", pa.array([7.5]))
    write_other_version(sweep, "p0", older)
    if compacted != "none":
        sweep.compact(grace_seconds=0)
    write_other_version(sweep, "p1", newer)
    if compacted == "all":
        sweep.compact(grace_seconds=0)
    found = store.metrics("demo")
    assert list(found.columns) == [*METRICS, "hessian"]
    assert found["loss"].tolist() == [0.5, 0.5]
    assert found["srank"].isna().all()
    assert found["hessian"].isna().tolist() == [True, False]
    assert store.metrics("demo", ["hessian"], [("hessian", ">", 1)])["hessian"].tolist() == [7.5]
    assert len(store.metrics("demo", ["trial_id"], pc.field("srank").is_null())) == 2


@anywhere
def test_a_read_across_a_compaction_sees_every_row(
    store: Store, write_attempt: Any, finish_pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = store.create("demo")
    for pack in ("p0", "p1"):
        finish_pack(sweep, pack, write_attempt(sweep, pack, [pack], [0, 1]), [pack])
    before = store.metrics("demo")
    real, calls = manifest.latest, []

    def compacted_just_after(layout: Any) -> Any:
        found = real(layout)
        if not calls:
            calls.append(1)
            sweep.compact(grace_seconds=0)
        return found

    monkeypatch.setattr(manifest, "latest", compacted_just_after)
    assert store.metrics("demo").equals(before)
    assert calls


@anywhere
def test_segments_stay_for_the_grace_period(store: Store, write_attempt: Any, finish_pack: Any) -> None:
    sweep = store.create("demo")
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["a"], [0]), ["a"])
    assert sweep.compact(grace_seconds=3600).packs == 1
    assert len(store.metrics("demo")) == 1
    assert sweep.layout.hot("metrics", "p0").exists()
    assert sweep.compact(grace_seconds=0).packs == 0
    assert not sweep.layout.hot("metrics", "p0").exists()
    assert len(store.metrics("demo")) == 1


@anywhere
def test_few_rows_wait_for_more(sweep: SweepStore, write_attempt: Any, finish_pack: Any) -> None:
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["a"], [0, 1]), ["a"])
    assert sweep.compact(min_rows=3).packs == 0
    write_attempt(sweep, "p1", ["b"], [0, 1])
    assert sweep.compact(min_rows=3).packs == 0, "packs that are not finished are not compacted"
    finish_pack(sweep, "p1", 0, ["b"])
    assert sweep.compact(min_rows=3).packs == 2


@anywhere
def test_spectra_come_back_as_float32_vectors(store: Store, write_attempt: Any, finish_pack: Any) -> None:
    sweep = store.create("demo")
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["a"], [0, 1], value=2.0), ["a"])
    for _ in range(2):
        found = store.spectra("demo", filters=[("name", "==", "singular_values")])
        assert [values.tolist() for values in found["values"]] == [[2.0, 0.0], [2.0, 1.0]]
        assert found["values"][0].dtype == np.float32
        sweep.compact(grace_seconds=0)
