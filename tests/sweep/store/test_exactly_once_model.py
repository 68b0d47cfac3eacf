"""Random histories of attempts, ghosts and killed compactions, against a plain model of the rule."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from sweep.store import Store, SweepStore, exactly_once, local_files, manifest
from sweep.store.packs import Packs
from sweep.store.writer import SegmentWriter

from store_crashes import Crash, CrashingOs  # isort: skip

PACKS = {"p0": ["t0", "t1"], "p1": ["u0"]}


class NeverSuperseded(Packs):
    """The fence as a process sees it that asked just before the newer attempt was claimed."""

    def superseded(self, pack_id: str, attempt: int) -> bool:
        return False


class Model:
    """What should be in the store, in plain Python: all rows that were committed, and the rule in words."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.resumed: dict[tuple[str, int], int] = {}
        self.finisher: dict[str, int] = {}

    def expected(self, pack: str) -> dict[tuple[str, int], float]:
        def counts(attempt: int) -> bool:
            return pack not in self.finisher or attempt <= self.finisher[pack]

        best: dict[tuple[str, int], dict[str, Any]] = {}
        for row in self.rows:
            if row["pack"] != pack or not counts(row["attempt"]):
                continue
            repeated = any(
                p == pack and counts(later) and later > row["attempt"] and row["step"] > step
                for (p, later), step in self.resumed.items()
            )
            if repeated:
                continue
            key = (row["trial"], row["step"])
            order = (row["attempt"], row["seq"], row["number"])
            if key not in best or order > (best[key]["attempt"], best[key]["seq"], best[key]["number"]):
                best[key] = row
        return {key: row["value"] for key, row in best.items()}


class World:
    """A store and its model, driven by the same operations."""

    def __init__(self, root: Path, rows_per_part: int = 1) -> None:
        self.rows_per_part = rows_per_part
        self.store = Store(root)
        self.sweep: SweepStore = self.store.create("demo")
        self.model = Model()
        self.writers: dict[str, list[SegmentWriter]] = {pack: [] for pack in PACKS}
        self.numbers = itertools.count()
        self.when_compacted: dict[str, dict[tuple[str, int], float]] = {}

    def start(self, pack: str, resume_step: int) -> None:
        attempt = self.sweep.start_attempt(pack, {"resume_step": resume_step})
        self.model.resumed[pack, attempt] = resume_step
        packs = NeverSuperseded(self.sweep.layout)
        if pack not in manifest.latest(self.sweep.layout).packs:
            self.writers[pack].append(SegmentWriter(self.sweep.layout, packs, pack, attempt, resume_step))

    def write(self, pack: str, which: int, steps: Iterable[int], crash: int, after: bool) -> None:
        """Rows by the newest attempt (0) or by a ghost, as one segment, perhaps killed on the way."""
        if not self.writers[pack]:
            return
        writer = self.writers[pack][-1 - which % len(self.writers[pack])]
        rows = [
            {"pack": pack, "trial": trial, "step": step, "number": number, "value": float(number)}
            for step in steps
            for trial in PACKS[pack]
            for number in [next(self.numbers)]
        ]
        writer.append([{"trial_id": r["trial"], "step": r["step"], "loss": r["value"]} for r in rows])
        seq, attempt = writer.next_seq, writer._attempt
        folder = self.sweep.layout.hot("metrics", pack)
        try:
            self._armed(crash, after, writer.flush)
        except Crash:
            self.writers[pack].remove(writer)
        except RuntimeError:
            self.writers[pack].remove(writer)  # its folder is gone: compacted
        # What is committed after the pack was compacted comes from a ghost: its rows are settled.
        settled = pack in manifest.latest(self.sweep.layout).packs
        if not settled and (folder / f"a{attempt:03}-s{seq:06}.parquet").exists():
            self.model.rows += [{**row, "attempt": attempt, "seq": seq} for row in rows]

    def finish(self, pack: str, which: int) -> None:
        attempts = [a for p, a in self.model.resumed if p == pack]
        if attempts:
            attempt = sorted(attempts)[-1 - which % len(attempts)]
            outcome = {trial: {"status": "finished"} for trial in PACKS[pack]}
            self.sweep.finish_pack(pack, {"attempt": attempt, "trials": outcome})
            self.model.finisher.setdefault(pack, attempt)

    def compact(self, crash: int, after: bool, grace: float) -> None:
        self.when_compacted = {pack: self.model.expected(pack) for pack in PACKS}
        with contextlib.suppress(Crash):
            self._armed(
                crash,
                after,
                lambda: self.sweep.compact(grace_seconds=grace, rows_per_part=self.rows_per_part),
            )

    def check(self) -> None:
        expected = {pack: self.model.expected(pack) for pack in PACKS}
        everything = {key: value for rows in expected.values() for key, value in rows.items()}
        found = self.store.metrics("demo", ["trial_id", "step", "loss"])
        keys = list(zip(found["trial_id"], found["step"].tolist(), strict=True))
        assert keys == sorted(everything), "the reader's rows, once each and in order"
        assert dict(zip(keys, found["loss"].tolist(), strict=True)) == everything
        last = self.store.last_metrics("demo", ["loss"])
        ends = {trial: (step, everything[trial, step]) for trial, step in keys}
        assert dict(zip(last["trial_id"], zip(last["step"], last["loss"], strict=True), strict=True)) == ends
        some = self.store.metrics("demo", ["loss"], [("loss", ">=", 5.0), ("step", "<", 4)])["loss"].tolist()
        assert some == [v for (_, step), v in sorted(everything.items()) if v >= 5 and step < 4]
        self._check_duckdb(expected)

    def _check_duckdb(self, expected: dict[str, dict[tuple[str, int], float]]) -> None:
        """Plain DuckDB over the folder: each row of compacted packs once, and nothing that is not so."""
        parts = self.sweep.layout.parts("metrics")
        if not list(parts.glob("*.parquet")):
            rows = []
        else:
            rows = duckdb.sql(f"select trial_id, step, loss from '{parts}/*.parquet'").fetchall()
        found = {(trial, step): loss for trial, step, loss in rows}
        assert len(found) == len(rows), "a row twice"
        for pack, wanted in expected.items():
            mine = {key: value for key, value in found.items() if key[0] in PACKS[pack]}
            compacted = pack in manifest.latest(self.sweep.layout).packs
            # A compaction that was killed between its part and its manifest leaves what it saw, and the next
            # one takes in what a zombie wrote in between.
            assert mine == wanted or (not compacted and mine in ({}, self.when_compacted.get(pack)))

    def _armed(self, crash: int, after: bool, action: Any) -> None:
        local_files.os = CrashingOs(crash, after=after) if crash else os
        try:
            action()
        finally:
            local_files.os = os


packs = st.sampled_from(sorted(PACKS))
crashes = st.one_of(st.just(0), st.integers(1, 30))
operations = st.one_of(
    st.tuples(st.just("start"), packs, st.integers(-1, 6)),
    st.tuples(
        st.just("write"),
        packs,
        st.sampled_from([0, 0, 0, 1, 2]),
        st.lists(st.integers(0, 8), min_size=1, max_size=4),
        st.one_of(st.just(0), st.just(0), st.integers(1, 5)),
        st.booleans(),
    ),
    st.tuples(st.just("finish"), packs, st.sampled_from([0, 0, 1])),
    st.tuples(st.just("compact"), crashes, st.booleans(), st.sampled_from([0.0, 0.0, 3600.0])),
)


@settings(max_examples=120, deadline=None)
@example(
    [
        ("start", "p1", 0),
        ("finish", "p1", 0),
        ("write", "p1", 0, [0], 0, False),
        ("compact", 7, False, 0.0),
        ("write", "p1", 0, [0], 0, False),
    ],
    1,
)
@given(st.lists(operations, min_size=4, max_size=24), st.sampled_from([1, 1000]))
def test_reader_and_duckdb_follow_the_rule_through_any_history(
    history: list[tuple[Any, ...]], rows_per_part: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), rows_per_part)
        for name, *arguments in history:
            getattr(world, name)(*arguments)
            if name == "compact":
                world.check()
        world.check()
        world.compact(0, False, 0.0)
        world.check()


def finished_world(folder: Path, rows_per_part: int = 1) -> World:
    """Two finished packs with a second attempt and a ghost each."""
    world = World(folder, rows_per_part)
    for pack in PACKS:
        world.start(pack, -1)
        world.write(pack, 0, [0, 1, 2], 0, False)
        world.start(pack, 1)
        world.write(pack, 1, [3], 0, False)
        world.write(pack, 0, [2, 4], 0, False)
        world.finish(pack, 0)
    return world


@pytest.mark.parametrize("rows_per_part", [1, 1000])
@pytest.mark.parametrize("after", [False, True])
def test_a_compaction_killed_at_every_step_never_doubles_or_loses_a_row(
    tmp_path: Path, after: bool, rows_per_part: int
) -> None:
    steps = steps_of_a_compaction(finished_world(tmp_path / "whole", rows_per_part))
    assert {"link", "replace", "unlink", "rmdir", "fsync"} <= set(steps), (
        "the crashes cover all kinds of change"
    )
    for at in range(1, len(steps) + 1):
        world = finished_world(tmp_path / str(at), rows_per_part)
        world.compact(at, after, 0.0)
        world.check()
        # Killed once more, at the same place of what is left to do, before it is let through.
        world.compact(at, after, 0.0)
        world.check()
        world.compact(0, False, 0.0)
        world.check()
        assert set(manifest.latest(world.sweep.layout).packs) == set(PACKS)
        assert not any(world.sweep.layout.hot_root("metrics").iterdir())
        assert not [path for path in world.sweep.layout.folder.rglob("*") if ".tmp-" in path.name]


def steps_of_a_compaction(world: World) -> list[str]:
    local_files.os = proxy = CrashingOs(0, after=False)
    try:
        world.sweep.compact(grace_seconds=0, rows_per_part=world.rows_per_part)
    finally:
        local_files.os = os
    return proxy.calls


def test_ghost_steps_that_the_later_attempt_never_writes_are_gone(store: Store, write_attempt: Any) -> None:
    # By hand: attempt 0 logged every step to 5; attempt 1 went on from 2 and logged 4 only.
    sweep = store.create("demo")
    write_attempt(sweep, "p0", ["t0"], [0, 1, 2, 3, 4, 5])
    write_attempt(sweep, "p0", ["t0"], [4], resume_step=2, value=100.0)
    found = store.metrics("demo")
    assert found["step"].tolist() == [0, 1, 2, 4]
    assert found["loss"].tolist() == [0.0, 1.0, 2.0, 104.0]
    assert found["attempt"].tolist() == [0, 0, 0, 1]
    assert store.spectra("demo")["step"].tolist() == [0, 1, 2, 4]


def test_a_fresh_attempt_drops_all_older_rows_step_zero_included(store: Store, write_attempt: Any) -> None:
    sweep = store.create("demo")
    write_attempt(sweep, "p0", ["t0"], [0, 1])
    write_attempt(sweep, "p0", ["t0"], [2], resume_step=-1)
    assert store.metrics("demo")["step"].tolist() == [2]


def test_a_ghost_that_finishes_first_settles_the_pack(
    store: Store, write_attempt: Any, finish_pack: Any
) -> None:
    # Attempt 0 was thought dead and came to its end; attempt 1, started meanwhile, has written one row.
    sweep = store.create("demo")
    write_attempt(sweep, "p0", ["t0"], [0, 1, 2, 3])
    write_attempt(sweep, "p0", ["t0"], [1], resume_step=0, value=100.0)
    finish_pack(sweep, "p0", 0, ["t0"])
    assert store.metrics("demo")["loss"].tolist() == [0.0, 1.0, 2.0, 3.0]
    finish_pack(sweep, "p0", 1, ["t0"])
    sweep.compact(grace_seconds=0)
    assert store.metrics("demo")["loss"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_filter_never_brings_a_superseded_row_back(store: Store, write_attempt: Any) -> None:
    sweep = store.create("demo")
    write_attempt(sweep, "p0", ["t0"], [0, 1], value=100.0)
    attempt = sweep.start_attempt("p0", {"resume_step": 1})
    writer = sweep.segment_writer("p0", attempt, 1)
    writer.append({"trial_id": ["t0"], "step": [1], "loss": [0.5]})
    writer.flush()
    assert store.metrics("demo", ["step"], [("loss", ">", 50)])["step"].tolist() == [0]


def test_each_attempt_is_cut_by_the_lowest_later_resume() -> None:
    assert exactly_once.step_limits({0: -1, 1: 9, 2: 4, 3: 7}) == {0: 4, 1: 4, 2: 7, 3: None}
