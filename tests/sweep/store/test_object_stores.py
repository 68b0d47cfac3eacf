"""The store in a bucket: names are taken once, lost replies are recognised, faults are told from damage and mended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions
import fsspec
import numpy as np
import pytest
import requests
from object_store import KEY, SECRET, ObjectStore
from places_of_tests import first_part

from sweep.errors import (
    CorruptSegmentError,
    StoreError,
    StoreUnavailableError,
    SupersededError,
    SweepError,
    UsageError,
)
from sweep.store import Store, SweepStore, faults, files, objects
from sweep.store.places import root_place

Attempt = Callable[..., int]


@pytest.fixture
def bucket(object_store: ObjectStore) -> Store:
    return Store(object_store.root)


@pytest.fixture
def sweep(bucket: Store) -> SweepStore:
    return bucket.create("demo")


@pytest.fixture
def quick_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "SETTLE_SECONDS", 0.3)


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What `call` returns in so many threads that begin together."""
    found: list[Any] = [None] * count
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait()
        found[number] = call(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# Files


def test_files_of_a_bucket_are_listed_read_and_removed_by_name(bucket: Store) -> None:
    folder = bucket.root / "some"
    assert (files.list_names(folder), files.is_folder(folder)) == ([], False)
    data = bytes(range(256)) * 1000
    for name in ("b/two", "a", "b/one", ".hidden"):
        files.replace(folder / name, data)
    assert files.list_names(folder) == ["a", "b"]
    assert files.list_tree(folder) == ["a", "b/one", "b/two"]
    assert (files.is_folder(folder), files.is_folder(folder / "a"), files.is_folder(folder / "b")) == (
        True,
        False,
        True,
    )
    assert (files.size(folder / "a"), files.exists(folder / "a"), files.exists(folder / "b")) == (
        256_000,
        True,
        False,
    )
    assert files.read_bytes(folder / "a") == data
    assert files.read_end(folder / "a", 10) == (data[-10:], 256_000)
    with files.open_file(folder / "a") as file:
        file.seek(100)
        assert file.read(50) == data[100:150]
        file.seek(-3, 2)
        assert file.read() == data[-3:]
    files.remove_files(folder / "b")
    files.remove_files(folder / "b")
    files.remove(folder / "a")
    files.remove(folder / "a")
    assert files.list_tree(folder) == []
    with pytest.raises(FileNotFoundError):
        files.read_bytes(folder / "a")


def test_more_names_than_a_page_holds_are_listed(bucket: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = bucket.root / "many"
    files.replace(folder / "0000", b"x")
    client = folder.fs  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: client.pipe_file(f"{folder.path}/{n:04}", b"x"), range(1100)))  # type: ignore[attr-defined]
    assert files.list_names(folder) == [f"{number:04}" for number in range(1100)]


def test_a_file_in_several_pieces_comes_back_whole(bucket: Store) -> None:
    data = np.random.default_rng(0).bytes(objects._PIECE * 2 + 12345)
    files.replace(bucket.root / "large", data)
    assert files.read_bytes(bucket.root / "large") == data
    with files.writing(bucket.root / "larger") as temporary:
        temporary.write_bytes(data)
        assert not files.exists(bucket.root / "larger"), "it appears whole, at the end"
    assert files.read_bytes(bucket.root / "larger") == data


def test_what_fails_while_it_is_written_leaves_nothing(bucket: Store) -> None:
    with pytest.raises(ZeroDivisionError), files.writing(bucket.root / "x") as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert not temporary.exists()
    assert not files.exists(bucket.root / "x")


# Names are taken once


def test_of_many_that_want_a_name_one_gets_it(bucket: Store) -> None:
    path = bucket.root / "wanted"
    got = at_once(8, lambda number: files.put_if_absent(path, f"writer {number}".encode()))
    assert sum(got) == 1
    assert files.read_bytes(path) == f"writer {got.index(True)}".encode()


def test_many_that_start_a_pack_at_once_have_attempts_of_their_own(sweep: SweepStore) -> None:
    got = at_once(6, lambda _: sweep.start_attempt("p0", {"resume_step": -1}))
    assert sorted(got) == list(range(6))
    assert [about["attempt"] for about in sweep.attempts("p0")] == list(range(6))


def test_a_lost_reply_does_not_look_like_anothers_claim(sweep: SweepStore, object_store: ObjectStore) -> None:
    sweep.start_attempt(
        "first", {"resume_step": -1}
    )  # so that the connection and the conditions are tried out
    object_store.lose_replies(1)
    assert sweep.start_attempt("p0", {"resume_step": -1}) == 0
    assert [about["attempt"] for about in sweep.attempts("p0")] == [0]
    writer = sweep.segment_writer("p0", 0, -1)
    writer.append({"trial_id": ["a"], "step": [0]})
    object_store.lose_replies(2)
    writer.flush()
    writer.append({"trial_id": ["a"], "step": [1]})
    writer.flush()
    assert sweep.table()[0]["step"].to_pylist() == [0, 1]
    assert len(files.list_names(sweep.layout.hot("metrics", "p0"))) == 2


def test_a_flush_that_failed_after_it_was_stored_is_not_stored_twice(
    bucket: Store, sweep: SweepStore, object_store: ObjectStore
) -> None:
    writer = sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": -1}), -1)
    writer.append({"trial_id": ["a"], "step": [0], "loss": [1.0]})
    object_store.lose_replies(20)
    with pytest.raises(StoreUnavailableError), files.patience(0.0):
        writer.flush()
    assert (writer.rows_pending, writer.bytes_pending > 0) == (1, True)
    object_store.calm()
    writer.append({"trial_id": ["a"], "step": [1], "loss": [2.0]})
    writer.flush()
    assert (writer.rows_pending, writer.bytes_pending) == (0, 0)
    assert bucket.metrics("demo", ["step", "loss"]).to_numpy().tolist() == [[0.0, 1.0], [1.0, 2.0]]
    names = files.list_names(sweep.layout.hot("metrics", "p0"))
    assert names == ["a000-s000000.parquet", "a000-s000001.parquet"], (
        "the first as it was, then what came since"
    )


# Stores without conditional writes


def test_a_store_that_keeps_to_conditions_needs_no_word(bucket: Store) -> None:
    assert files.check_conditional_writes(bucket.root) is None
    assert files.list_tree(bucket.root) == []


def test_a_store_that_ignores_conditions_is_told_at_the_start(
    bucket: Store, object_store: ObjectStore
) -> None:
    object_store.ignore_conditions()
    said = files.check_conditional_writes(bucket.root)
    assert said is not None
    assert said.startswith(
        f"{object_store.root}: this object store ignores conditional writes (If-None-Match), so"
    )
    assert "is written, left alone for 2 s and read back" in said
    assert list(bucket.root.fs.find(bucket.root.path)) == [], "the probe is gone"  # type: ignore[attr-defined]


def test_a_folder_needs_no_conditions(tmp_path: Path) -> None:
    assert files.check_conditional_writes(tmp_path) is None


@pytest.mark.usefixtures("quick_settling")
def test_without_conditions_names_are_still_taken_once(sweep: SweepStore, object_store: ObjectStore) -> None:
    object_store.ignore_conditions()
    objects.forget()
    path = sweep.layout.folder / "wanted"
    assert files.put_if_absent(path, b"one")
    assert not files.put_if_absent(path, b"two")
    assert files.put_if_absent(path, b"one"), "one's own, whose reply was lost"
    got = at_once(
        4, lambda number: files.put_if_absent(sweep.layout.folder / "at-once", f"{number}".encode())
    )
    assert sum(got) == 1
    assert files.read_bytes(sweep.layout.folder / "at-once") == f"{got.index(True)}".encode()
    assert sorted(at_once(3, lambda _: sweep.start_attempt("p0", {"resume_step": -1}))) == [0, 1, 2]


def test_without_conditions_a_segment_is_not_waited_for(sweep: SweepStore, object_store: ObjectStore) -> None:
    object_store.ignore_conditions()
    objects.forget()
    writer = sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": -1}), -1)
    writer.append({"trial_id": ["a"], "step": [0]})
    objects_settled = time.monotonic()
    writer.flush()
    assert time.monotonic() - objects_settled < objects.SETTLE_SECONDS
    again = sweep.segment_writer("p0", 0, -1)
    again.append({"trial_id": ["a"], "step": [7]})
    with pytest.raises(UsageError, match="next_seq 0 has been used"):
        again.flush()


# What passes by itself


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(bucket: Store, object_store: ObjectStore, status: int) -> None:
    object_store.fail(status, 0.6, "SlowDown" if status == 429 else None)
    files.replace(bucket.root / "x", b"x")
    assert files.read_bytes(bucket.root / "x") == b"x"


def test_a_store_that_is_away_for_a_moment_is_waited_for(bucket: Store, object_store: ObjectStore) -> None:
    files.replace(bucket.root / "x", b"x")
    object_store.away(1.0)
    began = time.monotonic()
    assert files.read_bytes(bucket.root / "x") == b"x"
    assert files.list_names(bucket.root) == ["x"]
    assert time.monotonic() - began < 15


def test_a_store_that_stays_away_is_told_when_patience_runs_out(
    bucket: Store, object_store: ObjectStore
) -> None:
    files.replace(bucket.root / "x", b"x")
    object_store.away(30.0)
    for use in (
        lambda: files.replace(bucket.root / "x", b"y"),
        lambda: files.put_if_absent(bucket.root / "y", b"y"),
        lambda: files.read_bytes(bucket.root / "x"),
        lambda: files.list_names(bucket.root),
        lambda: files.exists(bucket.root / "x"),
    ):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught, files.patience(0.5):
            use()
        assert 0.3 < time.monotonic() - began < 10
        assert "the object store cannot be reached" in str(caught.value)
        assert "check the network and AWS_ENDPOINT_URL, then give the same command again" in str(caught.value)


def test_files_read_side_by_side_come_in_order_and_are_as_patient_as_who_asks(
    bucket: Store, object_store: ObjectStore
) -> None:
    paths = [bucket.root / f"{number}" for number in range(40)]
    files.side_by_side(bucket.root, lambda path: files.replace(path, path.name.encode()), paths)
    found = files.side_by_side(bucket.root, files.read_bytes, paths)
    assert [int(data) for data in found] == list(range(40))
    object_store.fail(503, 60.0)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError), files.patience(0.0):
        files.side_by_side(bucket.root, files.read_bytes, paths)
    assert time.monotonic() - began < 10, "not each for twenty seconds"


@pytest.mark.slow
def test_rows_come_through_a_store_that_refuses_a_third_of_all_requests(
    bucket: Store, sweep: SweepStore, object_store: ObjectStore, finish_pack: Any
) -> None:
    object_store.fail_share(1 / 3, 600)
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    for step in range(8):
        writer.append({"trial_id": ["a"], "step": [step], "loss": [step * 0.5]})
        writer.flush()
    finish_pack(sweep, "p0", attempt, ["a"])
    assert sweep.compact(grace_seconds=0).rows == 8
    assert bucket.metrics("demo")["loss"].tolist() == [step * 0.5 for step in range(8)]


def test_an_outage_is_not_taken_for_damage(
    bucket: Store, sweep: SweepStore, object_store: ObjectStore, write_attempt: Attempt, finish_pack: Any
) -> None:
    finish_pack(sweep, "p0", write_attempt(sweep, "p0", ["a"], [0, 1]), ["a"])
    sweep.compact(grace_seconds=0)
    before = bucket.metrics("demo")
    object_store.fail(503, 30.0)
    with pytest.raises(StoreUnavailableError), files.patience(0.3):
        bucket.metrics("demo", skip_corrupt=True)
    with pytest.raises(StoreUnavailableError), files.patience(0.3):
        sweep.corrupt_segments()
    object_store.calm()
    # Away in the middle of the reading, when the manifest and the ends of the parts have been read.
    from sweep.store import parts

    real = parts.checked

    def checked_and_away(*given: Any) -> Any:
        found = real(*given)
        object_store.fail(503, 30.0)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "checked", checked_and_away)
        with pytest.raises(StoreUnavailableError), files.patience(0.3):
            bucket.metrics("demo", skip_corrupt=True)
    object_store.calm()
    assert bucket.metrics("demo").equals(before)
    path = first_part(sweep)
    files.replace(path, files.read_bytes(path)[:-20])
    with pytest.raises(CorruptSegmentError, match="truncated or overwritten"):
        bucket.metrics("demo")


# What somebody must mend

REMEDIES = [
    (
        403,
        "AccessDenied",
        r"permission denied \(AccessDenied\); the credentials need to list, read, write and delete",
    ),
    (
        403,
        "InvalidAccessKeyId",
        r"does not know these credentials \(InvalidAccessKeyId\); check the access key",
    ),
    (403, "SignatureDoesNotMatch", r"does not know these credentials \(SignatureDoesNotMatch\)"),
    (400, "ExpiredToken", r"the credentials have expired \(ExpiredToken\); renew them"),
    (403, "RequestTimeTooSkewed", r"this machine's clock is too far from the store's .*; set it \(NTP\)"),
    (
        400,
        "IllegalLocationConstraintException",
        r"is in another region \(IllegalLocationConstraintException\); set AWS_DEFAULT_REGION",
    ),
    (400, "SomethingElse", r"\(SomethingElse\); check that the root is right"),
]


@pytest.mark.parametrize(("status", "code", "remedy"), REMEDIES)
def test_what_somebody_must_mend_is_told_at_once_with_the_remedy_and_no_secret(
    bucket: Store, object_store: ObjectStore, status: int, code: str, remedy: str
) -> None:
    object_store.fail(status, 30.0, code)
    began = time.monotonic()
    with pytest.raises(StoreError, match=remedy) as caught:
        files.replace(bucket.root / "x", b"x")
    assert time.monotonic() - began < 10
    assert not isinstance(caught.value, StoreUnavailableError)
    assert f"{object_store.root}/x: cannot write: " in str(caught.value)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_told(object_store: ObjectStore) -> None:
    nowhere = Store("s3://not-there/root")
    for use in (lambda: nowhere.create("demo"), nowhere.sweeps, lambda: nowhere.sweep("demo")):
        with pytest.raises(
            UsageError, match=r"the bucket 'not-there' does not exist .*; make it, or give another"
        ):
            use()


def test_missing_credentials_are_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = fsspec.get_filesystem_class("s3")
    client.clear_instance_cache()
    with pytest.raises(StoreError, match=r"no credentials were found .*; set AWS_ACCESS_KEY_ID") as caught:
        Store(object_store.root).create("demo")
    client.clear_instance_cache()
    assert not isinstance(caught.value, StoreUnavailableError)


ENDPOINT = {"endpoint_url": "http://user:password@store.example"}


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.ConnectTimeoutError(**ENDPOINT),
        botocore.exceptions.ReadTimeoutError(**ENDPOINT),
        botocore.exceptions.EndpointConnectionError(**ENDPOINT),
        botocore.exceptions.ConnectionClosedError(**ENDPOINT),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ProxyError(),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_clients_way_to_say_that_it_cannot_reach_the_store_is_understood(error: Exception) -> None:
    found = faults.explained(error, "write", root_place("gs://bucket/x"))
    assert isinstance(found, StoreUnavailableError)
    assert "password" not in str(found)


def test_google_cloud_storages_answers_are_understood() -> None:
    gcsfs = pytest.importorskip("gcsfs.retry")
    auth = pytest.importorskip("google.auth.exceptions")
    place = root_place("gs://bucket/x")
    kinds: dict[type[SweepError], list[Exception]] = {
        StoreUnavailableError: [gcsfs.HttpError({"code": code, "message": "x"}) for code in (429, 500, 503)],
        StoreError: [
            gcsfs.HttpError({"code": 401, "message": "x"}),
            OSError("Forbidden: bucket/x\nno"),
            auth.DefaultCredentialsError("x"),
        ],
    }
    for kind, errors in kinds.items():
        for error in errors:
            assert type(faults.explained(error, "write", place)) is kind, error
    assert "permission denied" in str(faults.explained(OSError("Forbidden: x"), "write", place))
    assert faults.condition_refused(FileExistsError("bucket/x"))


# Zombies


def test_a_process_that_was_cut_off_is_superseded_and_what_it_still_writes_does_not_count(
    bucket: Store, sweep: SweepStore, finish_pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": -1}), -1)
    for step in range(4):
        zombie.append({"trial_id": ["a"], "step": [step], "loss": [float(step)]})
    zombie.flush()
    zombie.append({"trial_id": ["a"], "step": [4], "loss": [-1.0]})
    later = sweep.segment_writer("p0", sweep.start_attempt("p0", {"resume_step": 2}), 2)
    later.append({"trial_id": ["a", "a"], "step": [3, 4], "loss": [30.0, 40.0]})
    later.flush()
    with pytest.raises(SupersededError, match="attempt 0 has been superseded by attempt 1"):
        zombie.flush()
    # It had asked before the later one began, and its write was under way ever since.
    monkeypatch.setattr(zombie._packs, "superseded", lambda *_: False)
    zombie.flush()
    monkeypatch.undo()
    expected = [0.0, 1.0, 2.0, 30.0, 40.0]
    assert bucket.metrics("demo")["loss"].tolist() == expected
    finish_pack(sweep, "p0", 1, ["a"])
    sweep.compact(grace_seconds=0)
    assert bucket.metrics("demo")["loss"].tolist() == expected
    # After the compaction too, which on an object store leaves no folder that could be missing.
    monkeypatch.setattr(zombie._packs, "superseded", lambda *_: False)
    zombie.append({"trial_id": ["a"], "step": [5], "loss": [-1.0]})
    zombie.flush()
    assert bucket.metrics("demo")["loss"].tolist() == expected
    sweep.compact(grace_seconds=0)
    assert files.list_tree(sweep.layout.hot_root("metrics")) == []
