"""What a session plans for on a cluster, from what Ray says of its nodes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_sweeps import begin, finish, study

from sweep.budget import Budget
from sweep.errors import UsageError
from sweep.run import _todo
from sweep.supervisor import Supervisor
from sweep.tune_session import TuneSession, _account, _least_memory

GB = 1e9


def test_packs_of_a_cluster_share_the_memory_of_their_own_node() -> None:
    head = {"memory": 4 * GB}
    workers = [{"CPU": 32.0, "memory": 128 * GB}] * 8
    assert _least_memory([head, *workers], at_once=256) == pytest.approx(4 * GB)
    assert _least_memory([*workers, {"CPU": 8.0, "memory": 16 * GB}], 264) == pytest.approx(2 * GB)


def test_fewer_packs_at_once_than_a_node_has_processors_share_its_memory() -> None:
    assert _least_memory([{"CPU": 32.0, "memory": 128 * GB}], at_once=2) == pytest.approx(64 * GB)


def test_a_cluster_whose_workers_are_still_to_come_says_nothing_of_memory() -> None:
    assert _least_memory([{"CPU": 0.0, "memory": 4 * GB}, {"memory": 4 * GB}], at_once=1) is None


@pytest.mark.parametrize(
    ("address", "device", "cards", "grows", "lacks"),
    [
        ("auto", "cuda", 0.0, True, True),
        ("auto", "cuda", 0.0, False, False),
        ("auto", "cuda", 1.0, True, False),
        ("auto", "auto", 0.0, True, False),
        (None, "cuda", 0.0, True, False),
    ],
)
def test_a_card_is_waited_for_where_one_was_asked_for_and_only_an_autoscaler_can_bring_it(
    monkeypatch: pytest.MonkeyPatch, address: str | None, device: str, cards: float, grows: bool, lacks: bool
) -> None:
    monkeypatch.setattr("sweep.tune_session.cluster_may_grow", lambda: grows)
    assert TuneSession(address, None, device)._lacks_a_card({"CPU": 8.0, "GPU": cards}) is lacks


def test_packs_of_cards_are_refused_where_there_are_none_before_a_failure_is_put_aside(
    tiny_root: Path,
) -> None:
    store, packs = begin(tiny_root, study())
    on_cards = [pack.model_copy(update={"gpus": 0.25}) for pack in packs]
    failed = on_cards[0].pack_id
    store.fail_pack(failed, store.start_attempt(failed, {"resume_step": -1}), {"reason": "no memory"})
    with pytest.raises(UsageError, match=r"was planned for 0\.25 of a card, and Ray sees none .* --address"):
        _todo(store, on_cards, {failed}, no_cards=True)
    assert set(store.failures()) == {failed}
    assert _todo(store, on_cards, {failed}, no_cards=False) == on_cards
    assert _todo(store, packs, None, no_cards=True) == packs


def test_what_became_of_packs_is_told_from_one_listing(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"activation": {"values": ["relu", "tanh", "elu", "sigmoid"]}}
    store, packs = begin(tiny_root, study({"name": "four", "axes": axes}))
    done, stopped, died, said = packs
    finish(store, done, {"train": 1.0})
    for pack in (stopped, died, said):
        store.start_attempt(pack.pack_id, {"resume_step": -1})
    store.fail_pack(said.pack_id, 0, {"reason": "SweepError: its own words"})
    outcome = [
        ended(stopped.pack_id, {"outcome": "stopped", "reason": "enough"}),
        ended(died.pack_id, {}, RuntimeError("the actor died")),
        ended(said.pack_id, {"outcome": "failed", "reason": "other words"}),
    ]
    supervisor = Supervisor(store, Budget(), 1800, print)
    monkeypatch.setattr(store, "attempts", lambda _: pytest.fail("a request for each pack that is left"))
    assert _account(store, packs, outcome, supervisor, set()) == {
        died.pack_id: "its process died: the actor died",
        said.pack_id: "SweepError: its own words",
    }
    assert supervisor.reason == "enough"
    assert store.failures().keys() == {died.pack_id, said.pack_id}, "what was stopped has not failed"


def ended(pack_id: str, metrics: dict[str, str], error: Exception | None = None) -> SimpleNamespace:
    """A result as Tune has it."""
    return SimpleNamespace(config={"pack": pack_id}, metrics=metrics, error=error)
