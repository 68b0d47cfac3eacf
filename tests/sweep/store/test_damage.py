"""Truncated, overwritten and bit-flipped files: always noticed, named, and read around on demand."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from places_of_tests import anywhere, first_part

from sweep.errors import CorruptSegmentError
from sweep.store import Store, SweepStore, compaction, files, manifest, segments

Attempt = Callable[..., int]


def segment_files(sweep: SweepStore) -> list[Path]:
    return sorted(sweep.layout.hot_root("metrics").rglob("*.parquet"))


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_any_flipped_bit_of_a_segment_is_noticed(
    store: Store, sweep: SweepStore, write_attempt: Attempt
) -> None:
    write_attempt(sweep, "p0", ["t0", "t1"], [0])
    (path,) = segment_files(sweep)
    (segment,) = segments.list_segments(sweep.layout, "metrics", "p0")
    good = path.read_bytes()
    bits = random.Random(1).sample(range(8 * len(good)), 700) + list(
        range(8 * (len(good) - 8), 8 * len(good))
    )
    for bit in bits:
        path.write_bytes(flip(good, bit))
        with pytest.raises(CorruptSegmentError):
            segments.check(segment)
        with pytest.raises(CorruptSegmentError):
            segments.read(segment)
    path.write_bytes(good)
    assert segments.check(segment).rows == 2


def test_any_truncation_of_a_segment_is_noticed(sweep: SweepStore, write_attempt: Attempt) -> None:
    write_attempt(sweep, "p0", ["t0"], [0])
    (path,) = segment_files(sweep)
    (segment,) = segments.list_segments(sweep.layout, "metrics", "p0")
    good = path.read_bytes()
    for length in [*range(0, len(good), 37), len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(CorruptSegmentError, match=r"a000-s\d{6}\.parquet: damaged"):
            segments.describe(segment)
        assert [error.path for error in sweep.corrupt_segments(deep=False)] == [path]


@anywhere
def test_a_damaged_segment_is_named_with_the_remedy_and_the_rest_is_read(
    store: Store, sweep: SweepStore, write_attempt: Attempt
) -> None:
    write_attempt(sweep, "p0", ["t0"], [0, 1, 2])
    write_attempt(sweep, "p1", ["t1"], [0, 1])
    path = segment_files(sweep)[1]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :])
    with pytest.raises(CorruptSegmentError) as caught:
        store.metrics("demo")
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    assert "--skip-corrupt" in str(caught.value)
    rest = store.metrics("demo", skip_corrupt=True)
    assert list(zip(rest["trial_id"], rest["step"], strict=True)) == [
        ("t0", 0),
        ("t0", 2),
        ("t1", 0),
        ("t1", 1),
    ]
    assert str(path) in rest.attrs["skipped"][0]
    assert [error.path for error in sweep.corrupt_segments()] == [path]


@anywhere
def test_a_segment_under_another_segments_name_is_noticed(sweep: SweepStore, write_attempt: Attempt) -> None:
    write_attempt(sweep, "p0", ["t0"], [0, 1])
    first, second = segment_files(sweep)
    second.write_bytes(first.read_bytes())
    with pytest.raises(CorruptSegmentError, match="renamed"):
        sweep.table()


def test_a_finished_pack_with_damage_stays_in_segments_and_the_others_are_compacted(
    store: Store, sweep: SweepStore, write_attempt: Attempt, finish_pack: Callable[..., None]
) -> None:
    for pack in ("p0", "p1"):
        finish_pack(sweep, pack, write_attempt(sweep, pack, [f"trial-{pack}"], [0, 1]), [f"trial-{pack}"])
    path = segment_files(sweep)[0]
    path.write_bytes(flip(path.read_bytes(), 2000))
    summary = sweep.compact(grace_seconds=0)
    assert (summary.packs, summary.rows) == (1, 2)
    assert [error.path for error in summary.corrupt] == [path]
    assert path.exists()
    assert len(store.metrics("demo", skip_corrupt=True)) == 3


@pytest.fixture
def compacted(
    sweep: SweepStore,
    write_attempt: Attempt,
    finish_pack: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A part of four row groups, five rows each."""
    monkeypatch.setattr(compaction, "ROW_GROUP", 5)
    trials = ["t0", "t1", "t2", "t3"]
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", trials, [0, 1, 2, 3, 4]), trials)
    sweep.compact(grace_seconds=0)
    return first_part(sweep)


def test_a_flipped_bit_of_a_part_is_noticed_or_harmless(
    store: Store, sweep: SweepStore, compacted: Path
) -> None:
    good, whole = compacted.read_bytes(), store.metrics("demo")
    noticed = 0
    for bit in random.Random(2).sample(range(8 * len(good)), 250):
        compacted.write_bytes(flip(good, bit))
        assert [error.path for error in sweep.corrupt_segments()] == [compacted]
        try:
            found = store.metrics("demo")
        except CorruptSegmentError as error:
            noticed += error.path == compacted
        else:
            assert found.equals(whole)
    assert noticed > 100


@anywhere
def test_the_sound_row_groups_of_a_damaged_part_are_read(
    store: Store, sweep: SweepStore, compacted: Path
) -> None:
    import pyarrow.parquet as pq

    whole = store.metrics("demo")
    about = pq.read_metadata(BytesIO(compacted.read_bytes()))
    column = about.row_group(1).column(4)  # the losses of t1
    data = bytearray(compacted.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 0xFF
    compacted.write_bytes(data)
    with pytest.raises(CorruptSegmentError, match="part-000001"):
        store.metrics("demo")
    rest = store.metrics("demo", skip_corrupt=True)
    assert rest.equals(whole[whole["trial_id"] != "t1"].reset_index(drop=True))
    assert len(rest.attrs["skipped"]) == 1
    assert len(store.metrics("demo", ["trial_id", "step", "srank"])) == 20, "other columns are sound"


@anywhere
def test_a_part_that_is_missing_or_cut_is_named(store: Store, sweep: SweepStore, compacted: Path) -> None:
    data = compacted.read_bytes()
    compacted.write_bytes(data[:-50])
    with pytest.raises(CorruptSegmentError, match="instead of"):
        store.metrics("demo")
    assert store.metrics("demo", skip_corrupt=True).empty
    compacted.unlink()
    with pytest.raises(CorruptSegmentError, match="is not there"):
        store.metrics("demo")


@anywhere
def test_a_damaged_manifest_is_named(store: Store, sweep: SweepStore, compacted: Path) -> None:
    path = sweep.layout.manifest(1)
    path.write_text(path.read_text()[:40])
    with pytest.raises(CorruptSegmentError, match=r"_manifest-000001\.json: damaged"):
        store.metrics("demo")
    assert [error.path for error in sweep.corrupt_segments()] == [path]


@anywhere
def test_parts_of_a_store_whose_manifest_names_no_files_are_read_and_kept(
    store: Store, sweep: SweepStore, compacted: Path, write_attempt: Attempt, finish_pack: Callable[..., None]
) -> None:
    whole, path = store.metrics("demo"), sweep.layout.manifest(1)
    listed = files.read_json(path)
    for part in listed["parts"]:
        old = sweep.layout.parts(part["table"]) / part.pop("name")
        files.replace(old.with_name("part-000001.parquet"), old.read_bytes())
        files.remove(old)
    files.replace_json(path, listed)
    assert sweep.corrupt_segments() == []
    pd.testing.assert_frame_equal(store.metrics("demo"), whole)
    finish_pack(sweep, "p1", write_attempt(sweep, "p1", ["t4"], [0]), ["t4"])
    sweep.compact(grace_seconds=0)
    assert len(store.metrics("demo")) == len(whole) + 1


@anywhere
def test_the_part_of_a_killed_compaction_does_not_outlive_the_next_manifest(
    store: Store,
    sweep: SweepStore,
    write_attempt: Attempt,
    finish_pack: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["t0"], [0]), ["t0"])
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sweep.compact(grace_seconds=0)
    assert len(files.list_names(sweep.layout.parts("spectra"))) == 1
    # Then the only pack with spectra is damaged, and another one without spectra finishes.
    path = segment_files(sweep)[0]
    path.write_bytes(path.read_bytes()[:50])
    attempt = sweep.start_attempt("p1", {"resume_step": -1})
    writer = sweep.segment_writer("p1", attempt, -1)
    writer.append({"trial_id": ["t1"], "step": [0]})
    writer.flush()
    finish_pack(sweep, "p1", attempt, ["t1"])
    assert sweep.compact(grace_seconds=0).packs == 1
    assert files.list_names(sweep.layout.parts("spectra")) == []
    assert store.metrics("demo", skip_corrupt=True)["trial_id"].tolist() == ["t1"]
    assert store.spectra("demo")["trial_id"].tolist() == ["t0"]
