"""From trials to packs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import cpu, planned, study

from search_spaces import Study
from sweep.packing import PACK_SIZES
from sweep.plan import PackSpec


def wide(**changes: Any) -> Study:
    axes = {
        "learning_rate": {"values": [1e-4, 1e-3, 1e-2]},
        "activation": {"values": ["relu", "tanh"]},
        "batch_size": {"values": [32, 64]},
    }
    return study({"name": "wide", "axes": axes, "seeds": 3}, **changes)


def test_every_trial_is_in_exactly_one_pack(tiny_root: Path) -> None:
    packs = planned(tiny_root, wide())
    ids = [trial for pack in packs for trial in pack.trials]
    assert len(ids) == len(set(ids)) == 36
    assert {member.config for pack in packs for member in pack.members} == {
        trial.config for trial in wide().trials()
    }
    for pack in packs:
        assert [member.trial_id for member in pack.members] == list(pack.trials)
        for member in pack.members:
            assert member.config.trial_id(pack.dataset_fingerprint) == member.trial_id


def test_a_pack_has_one_shape_and_one_protocol(tiny_root: Path) -> None:
    packs = planned(tiny_root, wide())
    assert len(packs) == 4
    for pack in packs:
        assert len({member.config.shape_key() for member in pack.members}) == 1
    two = study(
        {"name": "one", "axes": {"learning_rate": {"values": [1e-3]}}},
        {
            "name": "other",
            "axes": {"learning_rate": {"values": [1e-2]}},
            "protocol": {"log_every": 20, "eval_every": 20, "probe_every": 20},
        },
    )
    assert sorted(pack.protocol.log_every for pack in planned(tiny_root, two)) == [10, 20]


def test_the_plan_is_the_same_each_time_and_survives_the_store(tiny_root: Path) -> None:
    first, second = planned(tiny_root, wide(), cpu(3)), planned(tiny_root, wide(), cpu(3))
    assert first == second
    assert [PackSpec.model_validate_json(pack.model_dump_json()) for pack in first] == first


def test_a_pack_is_named_for_what_it_is_and_by_its_trials(tiny_root: Path) -> None:
    (pack,) = planned(tiny_root, study())
    assert pack.pack_id.startswith("mlp-relu-b32-")
    (other,) = planned(tiny_root, study({"name": "rates", "axes": {"learning_rate": {"values": [1e-3]}}}))
    assert other.pack_id != pack.pack_id


def test_longest_packs_come_first_and_work_counts_the_padding(tiny_root: Path) -> None:
    packs = planned(tiny_root, wide())
    assert [pack.work for pack in packs] == sorted((pack.work for pack in packs), reverse=True)
    for pack in packs:
        assert pack.size == min(size for size in PACK_SIZES if size >= len(pack.trials))
        # 50-16-8-3 forward: two operations a weight, for every sample of every step of every slot.
        assert pack.work == 2 * (50 * 16 + 16 * 8 + 8 * 3) * pack.config.batch_size * 60 * pack.size


def test_packs_of_a_group_share_one_size(tiny_root: Path) -> None:
    grown = study({"name": "rates", "axes": {"learning_rate": {"low": 1e-5, "high": 1e-2, "num": 7}}})
    packs = planned(tiny_root, grown, cpu(2))
    assert sorted(len(pack.trials) for pack in packs) == [3, 4]
    assert {pack.size for pack in packs} == {4}


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_a_scheduler_that_stops_trials_gets_packs_of_one(tiny_root: Path, scheduler: str) -> None:
    packs = planned(tiny_root, wide(), scheduler=scheduler)
    assert {(len(pack.trials), pack.size, pack.scheduler) for pack in packs} == {(1, 1, scheduler)}


def test_on_a_card_packs_ask_for_a_share_of_it(tiny_root: Path) -> None:
    packs = planned(tiny_root, wide(), cpu(4, device="cuda"))
    assert {(pack.device, pack.gpus) for pack in packs} == {("cuda", 0.25)}
    assert {pack.gpus for pack in planned(tiny_root, wide())} == {0}


def test_what_was_asked_of_the_computation_is_in_the_plan(tiny_root: Path) -> None:
    for strategy, precision, compile_ in itertools.product(
        ("fused", "looped"), ("float32", "tf32"), (True, False)
    ):
        resources = cpu(strategy=strategy, precision=precision, compile=compile_)
        (pack,) = planned(tiny_root, study(), resources)
        assert (pack.strategy, pack.precision, pack.compile) == (strategy, precision, compile_)
