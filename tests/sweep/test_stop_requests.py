"""A sweep that is asked to stop: what its packs do, and what is left to go on with."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tiny_sweeps import begin, rows, study, train_all

from sweep import stop_requests
from sweep.errors import StoppedError
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.stop_requests import StopRequests, stop_reason
from sweep.store import Store


def test_a_request_to_stop_is_kept_until_it_is_cleared_and_the_first_reason_stays(tmp_path: Path) -> None:
    store = Store(tmp_path).create("tiny")
    assert store.stop_request() is None
    store.request_stop("--max-hours 3 is used up")
    store.request_stop("a second reason")
    request = store.stop_request() or {}
    assert request["reason"] == "--max-hours 3 is used up"
    assert abs(request["asked"] - time.time()) < 60
    store.clear_stop()
    store.clear_stop()
    assert store.stop_request() is None


def test_a_damaged_request_stops_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path).create("tiny")
    store.layout.stop.write_text("{")
    assert stop_reason(store) is None


def test_the_watch_sees_a_request_that_is_made_while_it_looks(tmp_path: Path) -> None:
    store = Store(tmp_path).create("tiny")
    with StopRequests(store, seconds=0.01) as watch:
        time.sleep(0.05)
        assert watch.reason is None
        store.request_stop("enough")
        deadline = time.monotonic() + 30
        while watch.reason is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert watch.reason == "enough"


def test_a_pack_stops_at_a_checkpoint_and_goes_on_to_the_same_rows(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_requests, "_LOOK_SECONDS", 0.001)
    shutil.copytree(tiny_root, tmp_path / "undisturbed")
    store, (pack,) = begin(tiny_root, study())

    def ask(report: Report) -> None:
        if report.step == 30:
            store.request_stop("enough")
            time.sleep(0.2)

    with pytest.raises(StoppedError, match="enough"):
        train_pack(pack, store, tiny_root, "cpu", on_report=ask)
    checkpoints = sorted(path.name for path in (tiny_root / "checkpoints").rglob("*.pt"))
    assert checkpoints[-1] == "a000-000000030.pt", "a checkpoint at the step where it stopped"
    assert rows(store)["step"].max() == 30
    assert store.trials()["status"].tolist() == ["planned"] * 2
    assert store.failures() == {}

    # While the request stands a pack does not even begin.
    with pytest.raises(StoppedError, match="enough"):
        train_pack(pack, store, tiny_root, "cpu")
    assert len(store.attempts(pack.pack_id)) == 1

    store.clear_stop()
    train_pack(pack, store, tiny_root, "cpu")
    assert store.attempts(pack.pack_id)[1]["resume_step"] == 30
    assert rows(store).equals(rows(train_all(tmp_path / "undisturbed", study())))


def test_a_pack_that_is_done_says_so_whatever_is_asked(tiny_root: Path) -> None:
    store = train_all(tiny_root, study())
    store.request_stop("enough")
    (spec,) = [pack for plan in store.plans() for pack in plan["packs"].values()]
    from sweep.plan import PackSpec

    assert train_pack(PackSpec.model_validate(spec), store, tiny_root, "cpu")["steps"] == 60
