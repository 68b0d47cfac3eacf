"""Sweeps of very many packs: how often their files are listed and opened, which on an object store is a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import begin, finish, planned, study

from search_spaces import Study
from sweep.datasets import find_datasets
from sweep.plan import Resources
from sweep.run_plan import plan_sweep
from sweep.status import read_packs, sweep_status
from sweep.store import SweepStore, files, segments
from sweep.store.standings import standings


def six_packs(seeds: int = 2) -> Study:
    axes = {
        "activation": {"values": ["relu", "tanh", "elu"]},
        "batch_size": {"values": [16, 32]},
    }
    return study({"name": "six", "axes": axes, "seeds": seeds})


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What is done to which file or folder, counted where every touch of the store passes."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(files, name)

        def call(path: Path, *given: Any, **named: Any) -> Any:
            counts[f"{name} {path.name}"] += 1
            return real(path, *given, **named)

        return call

    for name in ("read_bytes", "list_names", "list_tree", "exists", "is_folder", "size"):
        monkeypatch.setattr(files, name, counted(name))
    return counts


def settle(store: SweepStore) -> None:
    """As a run does at its end."""
    store.write_trials(store.trials())
    store.gather_seconds()


def test_a_status_lists_the_packs_once_and_opens_none_that_is_done(
    tiny_root: Path, touched: Counter[str]
) -> None:
    store, packs = begin(tiny_root, six_packs())
    for pack in packs[:3]:
        finish(store, pack, {"train": 2.0})
    settle(store)
    store.start_attempt(packs[3].pack_id, {"resume_step": -1})
    store.start_attempt(packs[4].pack_id, {"resume_step": -1})
    store.fail_pack(packs[4].pack_id, 0, {"reason": "out of memory"})
    touched.clear()
    status = sweep_status(store)
    assert status.trials == {"finished": 6, "planned": 4, "failed": 2}
    assert status.seconds == {"train": 6.0}
    assert touched["list_tree packs"] == 1
    assert touched["read_bytes result.json"] == 0
    assert touched["read_bytes attempt-000.json"] == 2, "of the two packs that began and are not done"
    assert touched["read_bytes failure-000.json"] == 2, "for the pack, and for its trials"
    looked_at = {what.split()[1] for what in touched}
    assert not looked_at & {pack.pack_id for pack in packs}, "no pack's folder is looked into"


def test_a_pack_that_finished_since_the_table_was_written_is_opened_once_for_each_question(
    tiny_root: Path, touched: Counter[str]
) -> None:
    store, packs = begin(tiny_root, six_packs())
    finish(store, packs[0], {"train": 2.0})
    settle(store)
    finish(store, packs[1], {"train": 3.0})
    touched.clear()
    assert sweep_status(store).seconds == {"train": 5.0}
    assert touched["read_bytes result.json"] == 2, "for its trials, and for its seconds"


def test_a_display_reads_the_plan_and_who_began_once(tiny_root: Path, touched: Counter[str]) -> None:
    store, packs = begin(tiny_root, six_packs())
    store.start_attempt(packs[0].pack_id, {"resume_step": -1, "eager_because": "no compiler"})
    for _ in range(5):
        assert len(read_packs(store)) == 6
        assert read_packs(store)[0].eager_because == "no compiler"
    assert touched["read_bytes g000.json"] == touched["read_bytes attempt-000.json"] == 1
    store.start_attempt(packs[0].pack_id, {"resume_step": -1, "eager_because": None})
    assert read_packs(store)[0].eager_because is None, "a newer attempt is seen"
    seeds = {"name": "six", "axes": {"activation": {"values": ["identity"]}}}
    (new,) = planned(tiny_root, study(seeds))
    store.write_plan({"packs": {new.pack_id: new.model_dump(mode="json")}})
    assert len(read_packs(store)) == 7, "a plan that has grown is seen"


def test_what_became_of_trials_stays_in_the_table_when_a_sweep_is_planned_again(
    tiny_root: Path, touched: Counter[str]
) -> None:
    store, packs = begin(tiny_root, six_packs())
    for pack in packs[:3]:
        finish(store, pack, {"train": 2.0})
    settle(store)
    grown, resources = six_packs(seeds=3), Resources(workers=1, memory_bytes=1e9, compile=False)
    made = {name: found for name, found in find_datasets(tiny_root, grown).items() if found}
    plan_sweep(store, grown, made, resources, "fifo", lambda said: None)
    touched.clear()
    trials = store.trials().set_index("trial_id")
    assert touched["read_bytes result.json"] == 0
    done = [trial for pack in packs[:3] for trial in pack.trials]
    assert set(trials.loc[done, "status"]) == {"finished"}
    assert set(trials.loc[done, "final_step"]) == {60}
    assert trials["status"].value_counts().to_dict() == {"finished": 6, "planned": 12}


def test_a_pack_whose_files_were_removed_to_train_it_anew_is_planned_again(tiny_root: Path) -> None:
    store, packs = begin(tiny_root, six_packs())
    finish(store, packs[0], {"train": 2.0})
    settle(store)
    files.remove_files(store.layout.pack(packs[0].pack_id))
    resources = Resources(workers=1, memory_bytes=1e9, compile=False)
    made = {name: found for name, found in find_datasets(tiny_root, six_packs()).items() if found}
    plan_sweep(store, six_packs(), made, resources, "fifo", lambda said: None)
    assert store.trials()["status"].value_counts().to_dict() == {"planned": 12}
    assert store.trials()["final_step"].isna().all()


def test_standings_are_those_that_each_pack_tells_by_itself(tiny_root: Path) -> None:
    store, packs = begin(tiny_root, six_packs())
    finish(store, packs[0], {"train": 2.0})
    for pack in packs[1:4]:
        store.start_attempt(pack.pack_id, {"resume_step": -1})
    store.fail_pack(packs[2].pack_id, 0, {"reason": "out of memory"})
    store.fail_pack(packs[3].pack_id, 0, {"reason": "out of memory"})
    store.start_attempt(packs[3].pack_id, {"resume_step": -1})
    found = standings(store.layout)
    assert {pack_id for pack_id, one in found.items() if one.done} == {packs[0].pack_id}
    assert {pack_id for pack_id, one in found.items() if one.failed} == {packs[2].pack_id}
    for pack_id, one in found.items():
        assert list(one.attempts) == [about["attempt"] for about in store.attempts(pack_id)]
        assert list(one.failures) == [about["attempt"] for about in store.failures().get(pack_id, [])]


def test_all_segments_are_found_by_one_listing(tiny_root: Path, touched: Counter[str]) -> None:
    store, packs = begin(tiny_root, six_packs())
    for pack in packs[:2]:
        attempt = store.start_attempt(pack.pack_id, {"resume_step": -1})
        writer = store.segment_writer(pack.pack_id, attempt, -1)
        for step in (10, 20):
            writer.append(
                {"trial_id": list(pack.trials), "step": [step] * len(pack.trials), "loss": [1.0, 2.0]}
            )
            writer.flush()
    touched.clear()
    found = segments.list_all(store.layout, "metrics")
    assert touched == {"list_tree hot": 1}
    assert found == {
        pack.pack_id: segments.list_segments(store.layout, "metrics", pack.pack_id)
        for pack in sorted(packs[:2], key=lambda pack: pack.pack_id)
    }
    assert sum(batch.rows.num_rows for batch in store.tail({})) == 8
