"""One owner at a time where there are no locks, found dead or alive without comparing clocks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
from object_store import ObjectStore

from sweep.errors import LockedError, StoreError, StoreUnavailableError
from sweep.store import Store, SweepStore, compaction, files, lease, manifest, objects

TTL = 3.0

OWN = """
import sys, time
from sweep.store import Store, lease, owners
lease.TTL_SECONDS = float(sys.argv[2])
if sys.argv[3] != "here":
    owners._machine = lambda: sys.argv[3]
if len(sys.argv) > 4:
    real = time.time
    time.time = lambda: real() + float(sys.argv[4])
sweep = Store(sys.argv[1]).sweep("demo")
with sweep.lock() as owned:
    print("mine", flush=True)
    owned.lost.wait(120)
    import pandas as pd
    try:
        sweep.write_trials(pd.DataFrame([{"trial_id": "a", "pack_id": "p", "status": "planned"}]))
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


@pytest.fixture
def sweep(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> SweepStore:
    monkeypatch.setattr(lease, "TTL_SECONDS", TTL)
    return Store(object_store.root).create("demo")


@contextmanager
def owner_elsewhere(
    sweep: SweepStore, machine: str = "elsewhere", ttl: float = TTL, *more: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the sweep, as if on another machine unless it is `here`."""
    arguments = [str(sweep.layout.root), str(ttl), machine, *more]
    process = subprocess.Popen([sys.executable, "-c", OWN, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "mine\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def try_to_own(sweep: SweepStore) -> str:
    """What a process of its own is told that wants the sweep."""
    try:
        with Store(str(sweep.layout.root)).sweep("demo").lock():
            return "mine"
    except LockedError as error:
        return str(error)


@pytest.mark.parametrize("skew", ["172800", "-172800"])
def test_while_the_owner_lives_the_second_is_refused_whatever_the_clocks_say(
    sweep: SweepStore, skew: str
) -> None:
    with owner_elsewhere(sweep, "elsewhere", TTL, skew) as process:
        told = try_to_own(sweep)
        assert f"sweep 'demo' is owned by process {process.pid} on host" in told
        assert "another --name" in told
        about = sweep.owner()
        assert about
        assert about["pid"] == process.pid


@pytest.mark.parametrize("skew", ["172800", "-172800"])
def test_an_owner_that_died_elsewhere_is_followed_after_its_time(sweep: SweepStore, skew: str) -> None:
    with owner_elsewhere(sweep, "elsewhere", TTL, skew) as process:
        process.kill()
        began = time.monotonic()
        with sweep.lock():
            assert time.monotonic() - began >= TTL, "it could have been alive until then"
            about = sweep.owner()
            assert about
            assert about["pid"] == os.getpid()
        assert sweep.owner() is None


def test_an_owner_that_died_here_is_followed_at_once(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TTL_SECONDS", 300.0)
    with owner_elsewhere(sweep, "here", 300.0) as process:
        process.kill()
        process.wait()
        assert sweep.owner() is None
        began = time.monotonic()
        with sweep.lock():
            assert time.monotonic() - began < 100


def test_an_owner_that_slept_is_told_that_it_has_been_followed(sweep: SweepStore) -> None:
    with owner_elsewhere(sweep) as process:
        process.send_signal(signal.SIGSTOP)
        with sweep.lock() as owned:
            process.send_signal(signal.SIGCONT)
            assert process.stdout
            told = process.stdout.readline()
            assert told.startswith("LockedError sweep 'demo' has been taken over by another process")
            assert "This process must stop; nothing that it committed is lost." in told
            assert not owned.lost.is_set()
            owned.check()
        assert sweep.owner() is None


def test_an_owner_keeps_the_sweep_through_an_outage_longer_than_its_time(
    sweep: SweepStore, object_store: ObjectStore
) -> None:
    with sweep.lock() as owned:
        object_store.fail(503, TTL * 1.5)
        time.sleep(TTL * 1.2)
        with pytest.raises(StoreUnavailableError), files.patience(0.0):
            owned.check()
        time.sleep(TTL * 0.8)
        owned.check()
        sweep.write_trials(pd.DataFrame([{"trial_id": "a", "pack_id": "p", "status": "planned"}]))
        assert not owned.lost.is_set()


def test_what_cannot_be_seen_is_not_taken_for_silence(sweep: SweepStore, object_store: ObjectStore) -> None:
    with owner_elsewhere(sweep):
        object_store.fail(503, TTL * 2)
        with files.patience(60.0):
            assert "is owned by process" in try_to_own(sweep)


def test_the_driver_of_a_sweep_that_was_taken_over_writes_nothing_more(sweep: SweepStore) -> None:
    trials = pd.DataFrame([{"trial_id": "a", "pack_id": "p", "status": "planned"}])
    with sweep.lock() as owned:
        sweep.write_trials(trials)
        newest = max(files.list_names(sweep.layout.folder / "lease"))
        files.replace_json(
            sweep.layout.folder / "lease" / f"{int(newest[:6]) + 1:06}.json", {"nonce": "another"}
        )
        assert owned.lost.wait(30), "seen at the next beat"
        for use in (
            lambda: sweep.write_trials(trials),
            lambda: sweep.write_plan({"packs": {}}),
            lambda: sweep.write_sweep_record({}),
            lambda: sweep.compact(),
            lambda: sweep.clear_stop(),
            lambda: sweep.retry_pack("p"),
            lambda: sweep.gather_seconds(),
        ):
            with pytest.raises(LockedError, match="has been taken over by another process"):
                use()
    assert files.read_json(sweep.layout.folder / "lease" / f"{int(newest[:6]) + 1:06}.json") == {
        "nonce": "another"
    }
    assert sweep.plans() == []


@pytest.mark.parametrize("conditions", [True, False])
def test_of_many_that_want_a_sweep_at_once_one_gets_it(
    sweep: SweepStore, object_store: ObjectStore, conditions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not conditions:
        object_store.ignore_conditions()
        objects.forget()
        monkeypatch.setattr(objects, "SETTLE_SECONDS", 0.3)
    told: list[str] = []
    refused = threading.Semaphore(0)
    ready = threading.Barrier(4)

    def want() -> None:
        ready.wait()
        try:
            with Store(str(sweep.layout.root)).sweep("demo").lock():
                told.append("mine")
                for _ in range(3):
                    assert refused.acquire(timeout=60)
        except LockedError as error:
            told.append(str(error))
            refused.release()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("mine") == 1
    assert sum("is owned by process" in one for one in told) == 3


def test_old_epochs_are_removed_and_numbers_are_never_used_again(sweep: SweepStore) -> None:
    for _ in range(4):
        with sweep.lock():
            pass
    assert files.list_names(sweep.layout.folder / "lease") == ["000003.json", "000004.json"]


def test_one_compaction_at_a_time(sweep: SweepStore) -> None:
    held = lease.leased(sweep.layout.folder / "compaction-lease", "the compaction of sweep 'demo'")
    with held, pytest.raises(LockedError, match="the compaction of sweep 'demo' is owned by process"):
        sweep.compact()
    assert sweep.compact().packs == 0


def test_a_compaction_that_was_followed_in_the_middle_of_an_upload_takes_nothing_from_its_follower(
    sweep: SweepStore, write_attempt: Any, finish_pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sweep.layout.root)
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["t0"], [0, 1]), ["t0"])
    files.replace(sweep.layout.parts("metrics") / "part-000001-dead.parquet", b"of a killed compaction")
    write, followed = compaction._write_part, []

    class HeldInVain:
        """A lease whose loss is seen by nobody: it is lost a moment after every look."""

        lost = threading.Event()

        def check(self) -> None:
            pass

    def write_slowly(*arguments: Any) -> Any:
        if not followed:
            followed.append(True)
            finish_pack(sweep, "p1", write_attempt(sweep, "p1", ["t1"], [0]), ["t1"])
            assert store.sweep("demo").compact(grace_seconds=0).packs == 2
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_write_part", write_slowly)
        patch.setattr(compaction, "locked", lambda *_: contextlib.nullcontext(HeldInVain()))
        with pytest.raises(StoreError, match="another process has compacted this sweep at the same time"):
            sweep.compact()
    assert sweep.corrupt_segments() == []
    assert store.metrics("demo")["trial_id"].tolist() == ["t0", "t0", "t1"]
    for table in ("metrics", "spectra"):
        parts = [name for name in files.list_names(sweep.layout.parts(table)) if name.endswith(".parquet")]
        assert parts == [part.path(sweep.layout).name for part in manifest.latest(sweep.layout).of(table)]


def test_a_manifest_that_was_written_without_an_answer_keeps_its_parts(
    sweep: SweepStore, write_attempt: Any, finish_pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sweep.layout.root)
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["t0"], [0, 1]), ["t0"])
    publish = manifest.publish

    def publish_unanswered(*arguments: Any) -> None:
        publish(*arguments)
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "publish", publish_unanswered)
        with pytest.raises(StoreUnavailableError):
            sweep.compact(grace_seconds=0)
    sweep.compact(grace_seconds=0)
    assert sweep.corrupt_segments() == []
    assert store.metrics("demo")["trial_id"].tolist() == ["t0", "t0"]


def test_a_manifest_that_comes_late_finds_its_parts(
    sweep: SweepStore, write_attempt: Any, finish_pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sweep.layout.root)
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["t0"], [0, 1]), ["t0"])
    publish, late = manifest.publish, []

    def not_yet(*arguments: Any) -> None:
        late.append(arguments)
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "publish", not_yet)
        with pytest.raises(StoreUnavailableError):
            sweep.compact(grace_seconds=0)
    sweep.compact(min_rows=1_000_000)
    publish(*late[0])
    sweep.compact(grace_seconds=0)
    assert sweep.corrupt_segments() == []
    assert store.metrics("demo")["trial_id"].tolist() == ["t0", "t0"]


def test_a_compaction_that_was_followed_meanwhile_writes_over_nobodys_part(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sweep.segment_writer("p", sweep.start_attempt("p", {"resume_step": -1}), -1)
    writer.append([{"trial_id": "a", "step": 0, "loss": 1.0}])
    writer.flush()
    sweep.finish_pack("p", {"attempt": 0, "trials": {"a": {"status": "finished", "final_step": 0}}})
    read = compaction.resolve_pack

    def read_slowly(*arguments: Any) -> Any:
        files.replace_json(sweep.layout.folder / "compaction-lease" / "000002.json", {"nonce": "another"})
        time.sleep(TTL / 2)
        return read(*arguments)

    monkeypatch.setattr(compaction, "resolve_pack", read_slowly)
    with pytest.raises(LockedError, match="has been taken over by another process"):
        sweep.compact()
    assert files.list_names(sweep.layout.parts("metrics")) == []
