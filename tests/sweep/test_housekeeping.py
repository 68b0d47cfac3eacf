"""What the driver tidies up while a large sweep trains, and as it ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tiny_sweeps import begin, study

from sweep.housekeeping import keeping_house
from sweep.run import _settle
from sweep.store import SweepStore, manifest


def activations(tiny_root: Path) -> tuple[SweepStore, list[str]]:
    axes = {"activation": {"values": ["relu", "tanh", "elu", "sigmoid"]}}
    store, packs = begin(tiny_root, study({"name": "four", "axes": axes}))
    for pack in packs:
        writer = store.segment_writer(
            pack.pack_id, store.start_attempt(pack.pack_id, {"resume_step": -1}), -1
        )
        writer.append({"trial_id": list(pack.trials), "step": [60] * len(pack.trials), "loss": [1.0]})
        writer.flush()
    for pack in packs[:3]:
        ended = {trial: {"status": "finished", "final_step": 60} for trial in pack.trials}
        store.finish_pack(pack.pack_id, {"attempt": 0, "trials": ended, "seconds": {"train": 2.0}})
    return store, [pack.pack_id for pack in packs]


def tidied(store: SweepStore) -> set[str]:
    return set(manifest.latest(store.layout).packs)


def wait_until_tidied(store: SweepStore, packs: int) -> None:
    deadline = time.monotonic() + 60
    while len(tidied(store)) < packs or not store.layout.pack_seconds.exists():
        assert time.monotonic() < deadline, "nothing was tidied up in a minute"
        time.sleep(0.05)


def test_packs_that_finish_while_a_sweep_runs_are_compacted_and_noted(tiny_root: Path) -> None:
    store, packs = activations(tiny_root)
    for pack_id in packs[:3]:
        store.layout.pack(pack_id).joinpath("result.json").rename(tiny_root / f"{pack_id}.json")
    with store.lock(), keeping_house(store, seconds=0.05, packs=3):
        time.sleep(0.3)
        assert tidied(store) == set()
        for pack_id in packs[:3]:
            (tiny_root / f"{pack_id}.json").rename(store.layout.pack(pack_id) / "result.json")
        wait_until_tidied(store, 3)
    assert tidied(store) == set(packs[:3]), "not the one that is at work"
    assert store.trials()["status"].value_counts().to_dict() == {"finished": 3, "planned": 1}
    assert len(store.table()[0]) == 4, "every row once"


def test_a_small_sweep_is_left_to_its_end(tiny_root: Path) -> None:
    store, _ = activations(tiny_root)
    with store.lock(), keeping_house(store, seconds=0.02):
        time.sleep(0.3)
    assert tidied(store) == set()


def test_who_is_in_a_hurry_does_not_wait_for_what_is_under_way(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = activations(tiny_root)
    begun, may_end = threading.Event(), threading.Event()

    def compact(_: SweepStore) -> None:
        begun.set()
        may_end.wait(60)

    monkeypatch.setattr(SweepStore, "compact", compact)
    try:
        with store.lock(), keeping_house(store, seconds=0.02, packs=0, hurry=lambda: True):
            assert begun.wait(30)
            left = time.monotonic()
        assert time.monotonic() - left < 10
    finally:
        may_end.set()


def test_what_a_hurried_run_leaves_is_the_table_alone(tiny_root: Path) -> None:
    store, packs = activations(tiny_root)
    assert _settle(store, hurry=True) == {}
    assert tidied(store) == set()
    assert store.trials()["status"].value_counts().to_dict() == {"finished": 3, "planned": 1}
    assert _settle(store) == {}
    assert tidied(store) == set(packs[:3])


def test_what_goes_wrong_meanwhile_does_not_end_the_run(tiny_root: Path) -> None:
    store, packs = activations(tiny_root)
    with store.lock(), keeping_house(store, seconds=0.02, packs=0):
        store.layout.trials.write_bytes(b"damaged")
        time.sleep(0.3)
    assert tidied(store) == set(packs[:3])
