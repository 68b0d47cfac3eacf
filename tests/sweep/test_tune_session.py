"""What a session plans for on a cluster, from what Ray says of its nodes."""

from __future__ import annotations

import pytest

from sweep.tune_session import _least_memory

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
