"""What the training process may hand in, and what it is told when it may not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places_of_tests import anywhere

from sweep.errors import SupersededError, SweepError, UsageError
from sweep.store import METRICS, SCHEMA_VERSION, SegmentWriter, Store, SweepStore


@pytest.fixture
def writer(sweep: SweepStore) -> SegmentWriter:
    return sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": -1}), -1)


@anywhere
def test_null_and_nan_are_different_and_survive(
    store: Store, sweep: SweepStore, writer: SegmentWriter
) -> None:
    masked = np.ma.masked_array([1.0, 2.0, math.nan], mask=[False, True, False])
    writer.append(
        {
            "trial_id": ["a", "b", "c"],
            "step": np.arange(3, dtype=np.int32),
            "loss": masked,
            "srank": [1, None, math.nan],
            "grad_norm": np.array([1, 2, 3], np.float32),
            "q_mean": pa.array([None, 0.1, None], pa.float64()),
        }
    )
    writer.flush()
    for finished in (False, True):
        if finished:
            sweep.finish_pack("p0", {"attempt": 0, "trials": {"a": {"status": "finished"}}})
            sweep.compact(grace_seconds=0)
        rows = sweep.table()[0].to_pylist()
        assert [row["loss"] for row in rows[:2]] == [1.0, None]
        assert math.isnan(rows[2]["loss"])
        assert [row["srank"] for row in rows[:2]] == [1.0, None]
        assert math.isnan(rows[2]["srank"])
        assert [row["grad_norm"] for row in rows] == [1.0, 2.0, 3.0]
        assert [row["q_mean"] for row in rows] == [None, 0.1, None]
        assert [row["return_mean"] for row in rows] == [None] * 3
        assert [row["attempt"] for row in rows] == [0, 0, 0]


def test_values_are_copied_when_they_are_appended(sweep: SweepStore, writer: SegmentWriter) -> None:
    loss, step = np.zeros(2), np.array([0, 1])
    writer.append({"trial_id": ["a", "a"], "step": step, "loss": loss, "wall_time": loss})
    loss[:] = 9.0
    step[:] = 9
    writer.flush()
    rows = sweep.table()[0]
    assert rows.column("loss").to_pylist() == [0.0, 0.0]
    assert rows.column("step").to_pylist() == [0, 1]


def test_doubles_are_kept_bit_for_bit(sweep: SweepStore, writer: SegmentWriter) -> None:
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    writer.append({"trial_id": ["a"] * 500, "step": np.arange(500), "loss": values})
    writer.flush()
    sweep.finish_pack("p0", {"attempt": 0, "trials": {}})
    sweep.compact(grace_seconds=0)
    found = sweep.table()[0].column("loss").to_numpy()
    assert found.tobytes() == values.tobytes()


@anywhere
def test_rows_may_be_dicts_and_the_last_of_a_key_counts(store: Store, writer: SegmentWriter) -> None:
    writer.append([{"trial_id": "a", "step": 0, "loss": 1.0}, {"trial_id": "a", "step": 1, "srank": 2}])
    writer.append([{"trial_id": "a", "step": 0, "srank": 3}])
    writer.append([])
    assert writer.rows_pending == 3
    assert writer.flush() == 1
    found = store.metrics("demo", ["step", "loss", "srank"])
    assert found["step"].tolist() == [0, 1]
    assert found["srank"].tolist() == [3.0, 2.0]
    assert found["loss"].isna().all(), "a row counts as a whole, it is not merged with an older one"


def test_a_flush_of_nothing_writes_nothing(sweep: SweepStore, writer: SegmentWriter) -> None:
    assert writer.flush() == 0
    assert not list(sweep.layout.hot("metrics", "p0").iterdir())
    assert not writer.due(seconds=0)


def test_a_flush_is_due_by_rows_or_by_time(writer: SegmentWriter) -> None:
    writer.append({"trial_id": ["a"] * 10, "step": range(10)})
    assert not writer.due()
    assert writer.due(rows=10)
    assert not writer.due(rows=11)
    assert writer.due(rows=11, seconds=0.0)
    writer.flush()
    assert not writer.due(rows=1, seconds=0.0)


def test_a_segment_tells_what_it_is_and_plain_readers_read_it(
    sweep: SweepStore, writer: SegmentWriter
) -> None:
    writer.append({"trial_id": ["a", "a"], "step": [5, 9]})
    writer.flush()
    path = sweep.layout.hot("metrics", "p0") / "a000-s000000.parquet"
    about = json.loads(pq.read_metadata(path).metadata[b"rankscope"])
    assert about.pop("rankscope_crc32") != "00000000"
    assert about == {
        "pack_id": "p0",
        "attempt": 0,
        "seq": 0,
        "resume_step": -1,
        "rows": 2,
        "first_step": 5,
        "last_step": 9,
        "schema_version": SCHEMA_VERSION,
    }
    assert pq.read_table(path, page_checksum_verification=True).column_names == list(METRICS)
    assert sweep.last_step("p0") == 9


@anywhere
def test_a_superseded_attempt_cannot_commit(sweep: SweepStore, writer: SegmentWriter) -> None:
    writer.append({"trial_id": ["a"], "step": [0]})
    assert not sweep.superseded("p0", 0)
    assert sweep.start_attempt("p0", {"resume_step": -1}) == 1
    assert sweep.superseded("p0", 0)
    with pytest.raises(
        SupersededError, match=r"attempt 0 has been superseded by attempt 1; this process must stop"
    ):
        writer.flush()
    assert sweep.table()[0].num_rows == 0


def test_a_writer_of_a_compacted_pack_is_told_to_stop(sweep: SweepStore, writer: SegmentWriter) -> None:
    writer.append({"trial_id": ["a"], "step": [0]})
    writer.flush()
    sweep.finish_pack("p0", {"attempt": 0, "trials": {}})
    sweep.compact(grace_seconds=0)
    writer.append({"trial_id": ["a"], "step": [1]})
    with pytest.raises(SupersededError):
        writer.flush()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"step": [0]}, "column 'trial_id' is missing; each row needs trial_id, step"),
        ({"trial_id": ["a"], "step": [0], "los": [1.0]}, "column 'los' is not one of: .*did you mean 'loss'"),
        ({"trial_id": ["a"], "step": [0], "attempt": [1]}, "column 'attempt' is not one of"),
        ({"trial_id": ["a"], "step": [0, 1]}, "different lengths .*'trial_id': 1, 'step': 2"),
        ({"trial_id": ["a"], "step": [None]}, "column 'step' has empty values"),
        ({"trial_id": ["a"], "step": [0.5]}, "column 'step': .*must be int64"),
        ({"trial_id": ["a"], "step": [0], "loss": ["x"]}, "column 'loss': .*must be double"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_column(writer: SegmentWriter, rows: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        writer.append(rows)
    assert writer.rows_pending == 0


@anywhere
def test_attempts_are_numbered_once_and_remembered(sweep: SweepStore) -> None:
    assert sweep.next_attempt("p0") == 0
    assert [sweep.start_attempt("p0", {"resume_step": step, "device": "cpu"}) for step in (-1, 40)] == [0, 1]
    first, second = sweep.attempts("p0")
    assert (first["attempt"], first["resume_step"], first["device"]) == (0, -1, "cpu")
    assert second["resume_step"] == 40
    assert {"host", "pid", "started"} <= set(second)


@pytest.mark.parametrize("resume_step", [None, -2, "3", True, 1.0])
def test_an_attempt_says_where_it_goes_on_from(sweep: SweepStore, resume_step: object) -> None:
    with pytest.raises(UsageError, match=r"resume_step .*: it must be the step of the checkpoint"):
        sweep.start_attempt("p0", {"resume_step": resume_step})


@anywhere
def test_a_writer_needs_its_attempt_and_a_fresh_number(sweep: SweepStore, writer: SegmentWriter) -> None:
    with pytest.raises(UsageError, match="attempt 1 with resume_step -1: it must be an attempt that"):
        sweep.segment_writer("p0", 1, -1)
    with pytest.raises(UsageError, match="attempt 0 with resume_step 7"):
        sweep.segment_writer("p0", 0, 7)
    writer.append({"trial_id": ["a"], "step": [0]})
    writer.flush()
    again = sweep.segment_writer("p0", 0, -1)
    again.append({"trial_id": ["a"], "step": [1]})
    with pytest.raises(UsageError, match="next_seq 0 has been used"):
        again.flush()
    onward = sweep.segment_writer("p0", 0, -1, next_seq=writer.next_seq)
    onward.append({"trial_id": ["a"], "step": [1]})
    assert onward.flush() == 2


@anywhere
def test_the_first_result_stands(sweep: SweepStore, writer: SegmentWriter) -> None:
    assert sweep.packs_done() == set()
    assert sweep.result("p0") is None
    sweep.finish_pack(
        "p0", {"attempt": 0, "trials": {"a": {"status": "diverged", "diverged_step": np.int64(3)}}}
    )
    sweep.finish_pack("p0", {"attempt": 0, "trials": {"a": {"status": "finished"}}})
    result = sweep.result("p0")
    assert result
    assert result["trials"] == {"a": {"status": "diverged", "diverged_step": 3}}
    assert sweep.packs_done() == {"p0"}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"trials": {}}, "result attempt=None: it must be the number of the attempt that finished, one of"),
        ({"attempt": 4, "trials": {}}, "result attempt=4"),
        ({"attempt": 0}, "result trials=None: it must map each trial id"),
        ({"attempt": 0, "trials": {"a": {"status": "failed"}}}, "recorded with fail_pack"),
    ],
)
def test_a_result_that_says_too_little_is_refused(
    sweep: SweepStore, writer: SegmentWriter, result: dict[str, Any], message: str
) -> None:
    with pytest.raises(SweepError, match=message):
        sweep.finish_pack("p0", result)
    assert sweep.packs_done() == set()


@anywhere
def test_failures_are_remembered(sweep: SweepStore, writer: SegmentWriter) -> None:
    sweep.fail_pack("p0", 0, {"reason": "out of memory", "traceback": "..."})
    assert [f["reason"] for f in sweep.failures()["p0"]] == ["out of memory"]


@anywhere
def test_plans_are_written_once_and_a_trial_has_one_pack(sweep: SweepStore) -> None:
    plan = {"packs": {"p0": {"trials": ["a", "b"], "size": 2}}}
    assert sweep.write_plan(plan) == 0
    assert sweep.write_plan({"packs": {"p1": {"trials": ["c"]}}}) == 1
    assert sweep.plans()[0] == plan
    with pytest.raises(UsageError, match="trial 'b' of pack 'p2' is in pack 'p0' already"):
        sweep.write_plan({"packs": {"p2": {"trials": ["d", "b"]}}})
    with pytest.raises(UsageError, match="trial 'd' of pack 'p3' is in pack 'p2' already"):
        sweep.write_plan({"packs": {"p2": {"trials": ["d"]}, "p3": {"trials": ["d"]}}})
    with pytest.raises(UsageError, match="pack 'p1' is in an earlier generation"):
        sweep.write_plan({"packs": {"p1": {"trials": ["e"]}}})
    assert len(sweep.plans()) == 2


@anywhere
def test_the_record_is_what_was_written(sweep: SweepStore, tmp_path: Path) -> None:
    assert sweep.sweep_record() is None
    sweep.write_sweep_record({"study": "name: x\n# ä", "root": tmp_path, "delta": np.float64(0.01)})
    assert sweep.sweep_record() == {"study": "name: x\n# ä", "root": str(tmp_path), "delta": 0.01}


def test_importing_the_store_loads_neither_pandas_nor_pyarrow(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys; from sweep.store import Store; s = Store(sys.argv[1]); s.create('a'); s.sweeps(); "
        "s.sweep('a').packs_done(); s.sweep('a').corrupt_segments(); s.sweep('a').last_step('p0'); "
        "assert not {'pandas', 'pyarrow', 'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
