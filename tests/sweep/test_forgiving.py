"""Which deaths use up a pack's tries."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError
from tiny_sweeps import begin, study

from sweep import forgiving
from sweep.forgiving import Forgiving
from sweep.plan import PackSpec
from sweep.store import SweepStore


@pytest.fixture
def planned(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SweepStore, PackSpec]:
    monkeypatch.setattr(forgiving, "_LOOK_SECONDS", 0.0)
    store, (pack,) = begin(tiny_root, study())
    return store, pack


def trial_of(pack: PackSpec) -> Any:
    error = ActorUnavailableError("Socket closed", b"1" * 16)
    return SimpleNamespace(
        config={"pack": pack.pack_id},
        run_metadata=SimpleNamespace(num_failures=0),
        get_pickled_error=lambda: error,
    )


def die(told: Forgiving, trial: Any) -> int:
    """As Tune does it; how many tries are used up."""
    trial.run_metadata.num_failures += 1
    told.on_trial_recover(0, [trial], trial)
    return int(trial.run_metadata.num_failures)


def test_a_death_counts_until_its_node_is_known_to_be_dead(
    planned: tuple[SweepStore, PackSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = planned
    alive = {"a": True, "b": True}
    monkeypatch.setattr(
        ray, "nodes", lambda: [{"NodeID": name, "Alive": lives} for name, lives in alive.items()]
    )
    told, trial = Forgiving(store, {pack.pack_id: pack}), trial_of(pack)
    store.start_attempt(pack.pack_id, {"resume_step": -1, "node": "a"})
    assert die(told, trial) == 1
    told.on_step_begin(1, [trial])
    assert trial.run_metadata.num_failures == 1
    store.start_attempt(pack.pack_id, {"resume_step": -1, "node": "b"})
    assert die(told, trial) == 2
    alive["a"] = False
    told.on_step_begin(2, [trial])
    told.on_step_begin(3, [trial])
    assert trial.run_metadata.num_failures == 1, "once, and not the death on the node that lives"


def test_a_death_before_it_had_begun_is_not_put_down_to_the_node_before(
    planned: tuple[SweepStore, PackSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = planned
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "a", "Alive": False}])
    told, trial = Forgiving(store, {pack.pack_id: pack}), trial_of(pack)
    store.start_attempt(pack.pack_id, {"resume_step": -1, "node": "a"})
    die(told, trial)
    told.on_step_begin(1, [trial])
    assert trial.run_metadata.num_failures == 0
    assert die(told, trial) == 1
    told.on_step_begin(2, [trial])
    assert trial.run_metadata.num_failures == 1


def test_a_cluster_that_does_not_answer_forgives_nothing(
    planned: tuple[SweepStore, PackSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> list[dict[str, Any]]:
        raise ConnectionError("no head")

    store, pack = planned
    monkeypatch.setattr(ray, "nodes", nobody)
    told, trial = Forgiving(store, {pack.pack_id: pack}), trial_of(pack)
    store.start_attempt(pack.pack_id, {"resume_step": -1, "node": "a"})
    assert die(told, trial) == 1
    told.on_step_begin(1, [trial])
    assert trial.run_metadata.num_failures == 1
