"""No space left: a clear error, everything committed still readable, and a later attempt goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sweep.errors import StoreError
from sweep.store import MEASURES, Store, SweepStore

Attempt = Callable[..., int]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root; the test with a limited process covers the same path")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def noise(trial: str, start: int, rows: int) -> dict[str, object]:
    """Rows that do not compress, and as wide however many measures there come to be."""
    random = np.random.default_rng(start)
    measures = {name: random.normal(size=rows) for name in MEASURES[:16]}
    return {"trial_id": [trial] * rows, "step": np.arange(start, start + rows), **measures}


def visible(sweep: SweepStore) -> list[Path]:
    return [path for path in sweep.layout.folder.rglob("*") if path.is_file()]


def test_a_full_disk_keeps_what_was_committed_and_lets_a_later_attempt_go_on(small_disk: Path) -> None:
    store = Store(small_disk)
    sweep = store.create("demo")
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    committed = 0
    with pytest.raises(StoreError, match="No space left on device") as caught:  # noqa: PT012
        for start in range(0, 100_000, 1000):
            writer.append(noise("t0", start, 1000))
            writer.flush()
            committed = start + 1000
    assert "bytes free" in str(caught.value)
    assert "Free some space" in str(caught.value)
    assert writer.rows_pending == 1000, "the rows are not lost with the failed flush"
    assert 3000 <= committed < 100_000
    assert store.metrics("demo")["step"].tolist() == list(range(committed))
    assert not [path for path in visible(sweep) if ".tmp-" in path.name], (
        "nothing half-written takes up space"
    )

    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert writer.flush() == committed // 1000 + 1, "the same flush succeeds once there is space"
    resume = committed - 1
    later = sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": resume}), resume)
    later.append(noise("t0", committed, 500))
    later.flush()
    assert store.metrics("demo")["step"].tolist() == list(range(committed + 500))


def test_a_compaction_without_space_leaves_the_segments(
    small_disk: Path, finish_pack: Callable[..., None]
) -> None:
    store = Store(small_disk)
    sweep = store.create("demo")
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    for start in range(0, 5000, 1000):
        writer.append(noise("t0", start, 1000))
        writer.flush()
    finish_pack(sweep, "p0", attempt, ["t0"])
    before = store.metrics("demo")
    with pytest.raises(StoreError, match="No space left on device"):
        sweep.compact(grace_seconds=0)
    assert store.metrics("demo").equals(before)
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert sweep.compact(grace_seconds=0).rows == 5000
    assert store.metrics("demo").equals(before)


LIMITED = """
import resource, sys
from sweep.errors import StoreError
from sweep.store import Store
sweep = Store(sys.argv[1]).create("demo")
attempt = sweep.start_attempt("p0", {"resume_step": -1})
writer = sweep.segment_writer("p0", attempt, -1)
rows = lambda start, count: {"trial_id": ["t0"] * count, "step": list(range(start, start + count))}
writer.append(rows(0, 10))
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
writer.append(rows(10, 50_000))
try:
    writer.flush()
except StoreError as error:
    print(error)
"""


def test_a_process_that_may_not_write_more_says_so_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    assert "hot/p0/a000-s000001.parquet" in done.stdout
    store = Store(tmp_path)
    assert store.metrics("demo")["step"].tolist() == list(range(10))
    assert not [path for path in visible(store.sweep("demo")) if ".tmp-" in path.name]


@pytest.mark.parametrize("call", ["fsync", "link", "mkdir"])
def test_a_full_disk_at_any_call_of_a_commit_is_a_store_error(
    sweep: SweepStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match="No space left"):  # noqa: PT012
        writer = sweep.segment_writer("p0", attempt, -1)
        writer.append({"trial_id": ["t"], "step": [0]})
        writer.flush()
    monkeypatch.undo()
    assert sweep.table()[0].num_rows == 0


def test_a_segment_and_its_folder_are_on_disk_before_flush_returns(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    writer.append({"trial_id": ["t"], "step": [0]})
    order: list[str] = []
    fsync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def linked(*arguments: str) -> None:
        order.append("name")
        link(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    writer.flush()
    assert order == ["file", "name", "folder"]
