"""A pack whose object store is away: it trains on from memory, waits, gives up; and ends as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from object_store import ObjectStore
from test_pack_loop import Stopped, assert_same_store, stop_at, undisturbed
from tiny_sweeps import DATASET, begin, rows, study

from sweep import outage, pack_progress
from sweep.checkpoints import Checkpoints
from sweep.errors import StoreUnavailableError, SupersededError
from sweep.outage import Outage
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.store import SweepStore, files
from sweep.store.places import root_place


class Clock:
    """`time` for the outage, in which waiting takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Away:
    """A commit that fails until the store is back."""

    def __init__(self) -> None:
        self.away, self.tries, self.done = True, 0, 0

    def __call__(self) -> None:
        self.tries += 1
        if self.away:
            raise StoreUnavailableError("s3://x: the object store cannot be reached")
        self.done += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(outage, "time", found)
    return found


def test_training_goes_on_while_there_is_memory_and_tries_are_few(clock: Clock) -> None:
    store, of = Away(), Outage("pack 'p'")
    for _ in range(600):
        assert not of.commits(store, 1000)
        clock.now += 1.0
    assert store.tries <= 600 / 3.75 + 1
    store.away = False
    clock.now += 60
    assert of.commits(store, 1000)
    assert store.done == 1
    assert of.commits(store, 0), "and goes on as ever"


@pytest.mark.parametrize("spent", ["bytes", "seconds"])
def test_beyond_its_bound_training_waits_and_then_gives_up_with_the_reason(clock: Clock, spent: str) -> None:
    store, of = Away(), Outage("pack 'p'", memory_bytes=1e6, memory_seconds=900, wait_seconds=1800)
    assert not of.commits(store, 10)
    began = clock.now
    if spent == "seconds":
        clock.now += 900
    with pytest.raises(StoreUnavailableError) as caught:
        of.commits(store, 10**7 if spent == "bytes" else 10)
    waited = clock.now - began - (900 if spent == "seconds" else 0)
    assert 1800 <= waited < 1810
    told = str(caught.value)
    assert told.startswith("pack 'p': the object store has been away for ")
    assert "training has stood still for 180" in told
    assert "It goes on from its last checkpoint when the same command is given again." in told
    assert "s3://x: the object store cannot be reached" in told


def test_what_waits_ends_when_the_store_is_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store, of = Away(), Outage("pack 'p'", memory_bytes=1e6)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        store.away = clock.now < 1300

    monkeypatch.setattr(clock, "sleep", sleep)
    assert of.commits(store, 10**7)
    assert store.done == 1
    assert 1300 <= clock.now < 1310


def test_other_errors_are_not_waited_for(clock: Clock) -> None:
    def commit() -> None:
        raise SupersededError("taken over")

    with pytest.raises(SupersededError):
        Outage("pack 'p'").commits(commit, 0)


# Real training, a real store


@pytest.fixture
def bucket_root(
    object_store: ObjectStore, dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A root in a bucket with the session's dataset."""
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    root = root_place(object_store.root)
    folder = dataset_root / "datasets" / DATASET
    for name in files.list_tree(folder):
        files.replace(root / "datasets" / DATASET / name, files.read_bytes(folder / name))
    return root


def test_a_pack_in_a_bucket_that_was_stopped_ends_as_one_in_a_folder(
    bucket_root: Path, dataset_root: Path, tmp_path: Path
) -> None:
    store, (pack,) = begin(bucket_root, study())
    with pytest.raises(Stopped):
        train_pack(pack, store, bucket_root, "cpu", on_report=stop_at(30))
    train_pack(pack, store, bucket_root, "cpu")
    assert [about["resume_step"] for about in store.attempts(pack.pack_id)] == [-1, 20]
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))
    kept = files.list_names(Checkpoints(bucket_root, store.name, pack.pack_id).folder)
    assert kept == ["a001-000000040.pt", "a001-000000060.pt"]


@pytest.mark.parametrize(
    "fault", ["503", pytest.param("500", marks=pytest.mark.slow), "away", "lost replies"]
)
def test_training_goes_on_through_an_outage_and_every_row_is_committed_once(
    bucket_root: Path, object_store: ObjectStore, dataset_root: Path, tmp_path: Path, fault: str
) -> None:
    store, (pack,) = begin(bucket_root, study())
    ends: list[float] = []
    seen: dict[int, float] = {}

    def on_report(report: Report) -> None:
        seen[report.step] = time.monotonic()
        if report.evaluated and report.step == 30:
            seconds = 8.0
            ends.append(time.monotonic() + seconds)
            if fault == "away":
                object_store.away(seconds)
            elif fault == "lost replies":
                object_store.lose_replies(3)
            else:
                object_store.fail(int(fault), seconds)

    train_pack(pack, store, bucket_root, "cpu", on_report=on_report)
    if fault != "lost replies":
        assert seen[60] < ends[0], "the last step was trained while the store was away"
    assert len(store.attempts(pack.pack_id)) == 1
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))


def test_a_pack_killed_in_an_outage_goes_on_from_its_last_checkpoint(
    bucket_root: Path, object_store: ObjectStore, dataset_root: Path, tmp_path: Path
) -> None:
    store, (pack,) = begin(bucket_root, study())

    def on_report(report: Report) -> None:
        if report.evaluated and report.step == 30:
            object_store.fail(503, 60)
        if report.evaluated and report.step == 60:
            raise Stopped

    with pytest.raises(Stopped):
        train_pack(pack, store, bucket_root, "cpu", on_report=on_report)
    object_store.calm()
    assert rows(store)["step"].max() <= 30
    train_pack(pack, store, bucket_root, "cpu")
    assert store.attempts(pack.pack_id)[-1]["resume_step"] == 20
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))


def test_a_store_that_stays_away_ends_the_attempt_with_its_reason(
    bucket_root: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (pack,) = begin(bucket_root, study())
    monkeypatch.setattr("sweep.pack_loop.Outage", lambda what: Outage(what, memory_seconds=1, wait_seconds=2))

    def on_report(report: Report) -> None:
        if report.evaluated and report.step == 30:
            object_store.fail(503, 600)

    with pytest.raises(
        StoreUnavailableError, match=f"pack '{pack.pack_id}': the object store has been away for"
    ):
        train_pack(pack, store, bucket_root, "cpu", on_report=on_report)


def test_the_zombie_of_a_pack_in_a_bucket_is_superseded(
    bucket_root: Path, dataset_root: Path, tmp_path: Path
) -> None:
    store, (pack,) = begin(bucket_root, study())

    def on_report(report: Report) -> None:
        if report.evaluated and report.step == 30:
            # Cut off from everyone but the store, it is given up for dead, and another comes to the end.
            train_pack(pack, store, bucket_root, "cpu")

    with pytest.raises(SupersededError, match="attempt 0 has been superseded by attempt 1"):
        train_pack(pack, store, bucket_root, "cpu", on_report=on_report)
    assert_same_store(store, undisturbed(dataset_root, tmp_path / "undisturbed"))


# Progress


def report(step: int) -> Report:
    return Report("p0", 0, step, 100, 2, 2, 10.0, False, float("nan"), False)


def settled(store: SweepStore, found: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if found():
            return True
        time.sleep(0.05)
    return False


def test_progress_is_seldom_written_to_a_bucket_and_never_waited_for(
    bucket_root: Path, object_store: ObjectStore
) -> None:
    store, _ = begin(bucket_root, study())
    pack_progress.write_progress(store, report(1))
    assert settled(store, lambda: pack_progress.read_progress(store, "p0") is not None)
    before = object_store.requests()
    for step in range(2, 50):
        pack_progress.write_progress(store, report(step))
    assert object_store.requests() - before == 0, "within ten seconds of the first"
    found = pack_progress.read_progress(store, "p0")
    assert found
    assert found["step"] == 1


def test_a_store_that_hangs_does_not_hold_up_who_reports(
    bucket_root: Path, object_store: ObjectStore
) -> None:
    store, _ = begin(bucket_root, study())
    object_store.hang(3.0)
    began = time.monotonic()
    pack_progress.write_progress(store, report(7))
    assert time.monotonic() - began < 1.0
    assert settled(store, lambda: (pack_progress.read_progress(store, "p0") or {}).get("step") == 7)
