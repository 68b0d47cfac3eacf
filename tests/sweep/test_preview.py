"""What running a study would mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_sweeps import DATASET, begin, cpu, finish, planned, study

from search_spaces import Study, load_study
from sweep.preview import preview


def two_spaces() -> Study:
    return study(
        {"name": "narrow", "axes": {"learning_rate": {"values": [1e-3, 1e-2]}}, "seeds": 2},
        {
            "name": "broad",
            "axes": {
                "learning_rate": {"values": [1e-2, 1e-1]},
                "activation": {"values": ["relu", "tanh"]},
            },
        },
    )


def test_trials_packs_and_steps_are_those_of_the_plan(tiny_root: Path) -> None:
    found = preview(two_spaces(), tiny_root, workers=2)
    # 4 in narrow, 4 in broad, one in both: rate 1e-2 with ReLU and seed 0.
    assert (found.trials, found.shared) == (7, 1)
    assert [(space["name"], space["trials"]) for space in found.spaces] == [("narrow", 4), ("broad", 4)]
    assert found.gradient_steps == 7 * 60
    packs = planned(tiny_root, two_spaces(), cpu(2))
    assert [one["pack_id"] for one in found.packs] == [pack.pack_id for pack in packs]
    assert sum(one["trials"] for one in found.packs) == 7


def test_a_dataset_is_told_as_there_or_to_be_collected(tiny_root: Path, tmp_path: Path) -> None:
    (there,) = preview(study(), tiny_root).datasets
    assert (there["name"], there["transitions"], there["to_collect"]) == (DATASET, 400, None)
    nowhere = tmp_path / "nowhere"
    (missing,) = preview(study(), nowhere).datasets
    assert (missing["transitions"], missing["to_collect"]) == (None, 400)
    assert missing["fingerprint"].startswith("recipe:")
    assert not nowhere.exists(), "nothing is made"


def test_time_is_that_of_the_busiest_worker_and_cost_that_of_all(tiny_root: Path) -> None:
    store, packs = begin(tiny_root, two_spaces())
    for pack in packs:
        finish(store, pack, {"train": 3600.0 * pack.work / packs[0].work})
    hours = [pack.work / packs[0].work for pack in packs]
    one = preview(two_spaces(), tiny_root, workers=1)
    assert one.seconds == pytest.approx(3600 * sum(hours), rel=1e-6)
    assert one.worker_hours == pytest.approx(sum(hours), rel=1e-6)
    assert one.card_hours is None
    assert len(packs) == 2
    two = preview(two_spaces(), tiny_root, workers=2)
    assert two.seconds == pytest.approx(3600 * max(hours), rel=1e-6)
    assert two.worker_hours == pytest.approx(one.worker_hours)


def test_on_a_card_shares_of_it_are_counted(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    finish(store, pack, {"train": 7200.0}, device="NVIDIA H200")
    found = preview(study(), tiny_root, gpu="NVIDIA H200", workers=1)
    assert (found.device, found.worker_hours) == ("NVIDIA H200", pytest.approx(2.0))
    assert found.card_hours == pytest.approx(2.0 * 0.25), "a small network asks for a quarter of a card"


def test_a_card_that_nothing_was_measured_on_has_no_time_and_no_cost(tiny_root: Path) -> None:
    found = preview(study(), tiny_root, gpu="NVIDIA B300")
    assert (found.seconds, found.worker_hours, found.card_hours) == (None, None, None)
    assert "NVIDIA B300" in found.speed_source
    assert "measured: cpu" in found.speed_source
    assert found.packs[0]["seconds"] is None


def test_the_demo_is_as_large_as_it_is_said_to_be(tmp_path: Path) -> None:
    found = preview(load_study("demo"), tmp_path, workers=2)
    assert 150 <= found.trials <= 300
    assert found.seconds is not None
    assert found.seconds < 12 * 60, "it must fit two cores in twelve minutes"
    assert [space["name"] for space in found.spaces] == ["narrow", "broad", "atari"]


def test_json_has_everything(tiny_root: Path) -> None:
    content = preview(study(), tiny_root).as_json()
    for key in (
        "trials",
        "shared",
        "spaces",
        "datasets",
        "packs",
        "gradient_steps",
        "seconds",
        "worker_hours",
    ):
        assert key in content
