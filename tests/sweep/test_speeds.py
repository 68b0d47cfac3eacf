"""How long packs should take, from what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tiny_sweeps import begin, cpu, finish, planned, study

import sweep
from sweep.plan import PackSpec
from sweep.speeds import Speeds
from sweep.store import Store

REFERENCE = yaml.safe_load((Path(sweep.__file__).parent / "measured_speeds.yaml").read_text())


def test_without_measurements_the_reference_table_counts(tiny_root: Path) -> None:
    (pack,) = planned(tiny_root, study())
    (row,) = [row for row in REFERENCE if (row["network"], row["batch_size"]) == ("mlp", 32)]
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(row["compile_seconds"] + pack.work / (row["gflops"] * 1e9))
    assert row["machine"] in estimate.source


def test_the_nearest_batch_size_of_the_table_stands_for_others(tiny_root: Path) -> None:
    def pack(size: int) -> PackSpec:
        (made,) = planned(tiny_root, study({"name": "one", "base": {"batch_size": size}, "axes": {}}))
        return made

    rows = {row["batch_size"]: row for row in REFERENCE if row["network"] == "mlp"}
    for size, nearest in ((40, 32), (250, 256), (4096, 256)):
        estimate, row = Speeds(tiny_root, "cpu").estimate(pack(size)), rows[nearest]
        assert estimate is not None
        expected = row["compile_seconds"] + pack(size).work / (row["gflops"] * 1e9)
        assert estimate.seconds == pytest.approx(expected)


def test_what_this_root_measured_counts_first_with_probes_and_evaluations(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    # A group of probes is its own protocol's affair, and does not count.
    finish(store, pack, {"train": 6.0, "probe": 1.0, "evaluate": 3.0, "probe.hessian": 90.0})
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert (estimate.seconds, estimate.source) == (pytest.approx(10.0), "measured under this root")
    # Twice the steps, twice the time.
    longer = study(base={"dataset": "random-catch", "train_steps": 120, "hidden_sizes": [16, 8]})
    (twice,) = planned(tiny_root, longer)
    doubled = Speeds(tiny_root, "cpu").estimate(twice)
    assert doubled is not None
    assert doubled.seconds == pytest.approx(20.0)


def test_eager_packs_count_only_where_nothing_compiled_was_measured(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    finish(store, pack, {"train": 40.0}, compiled=False)
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert (estimate.seconds, estimate.source) == (pytest.approx(40.0), "measured eagerly under this root")
    again, (same,) = begin(tiny_root, study(), "again")
    finish(again, same, {"train": 10.0})
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert (estimate.seconds, estimate.source) == (pytest.approx(10.0), "measured under this root")


def test_a_pack_that_is_eager_by_choice_pays_for_its_steps_and_not_for_a_compiler(tiny_root: Path) -> None:
    (pack,), (asked,) = planned(tiny_root, study(), cpu(compile=None)), planned(tiny_root, study())
    assert pack.eager_by_choice is not None
    (row,) = [row for row in REFERENCE if (row["network"], row["batch_size"]) == ("mlp", 32)]
    estimate, compiled = (Speeds(tiny_root, "cpu").estimate(one) for one in (pack, asked))
    assert estimate is not None
    assert compiled is not None
    # 60 steps, each at least 2.5 ms longer.
    assert 0.15 <= estimate.seconds - pack.work / (row["gflops"] * 1e9) < 0.2
    assert estimate.seconds < compiled.seconds
    store, _ = begin(tiny_root, study())
    finish(store, asked, {"train": 10.0})
    again, _ = begin(tiny_root, study(), "again")
    finish(again, asked, {"train": 40.0}, compiled=False)
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert (estimate.seconds, estimate.source) == (pytest.approx(40.0), "measured eagerly under this root")


def test_an_unmeasured_card_has_no_estimate_and_a_measured_one_has(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    assert Speeds(tiny_root, "NVIDIA H200").estimate(pack) is None
    finish(store, pack, {"train": 2.0}, device="NVIDIA H200")
    speeds = Speeds(tiny_root, "NVIDIA H200")
    estimate = speeds.estimate(pack)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(2.0)
    assert speeds.devices() == sorted({"NVIDIA H200", *(row["device"] for row in REFERENCE)})


def test_every_row_of_the_table_says_what_was_measured_where() -> None:
    keys = {"device", "machine", "network", "batch_size", "gflops", "compile_seconds"}
    for row in REFERENCE:
        assert set(row) == keys
        assert row["gflops"] > 0
        assert row["compile_seconds"] >= 0


def test_a_root_without_sweeps_is_no_error(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").sweeps() == []
    assert Speeds(tmp_path / "none", "cpu").devices()


def test_other_sweeps_that_are_damaged_or_another_versions_do_not_stand_in_the_way(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    finish(store, pack, {"train": 10.0})
    damaged, (broken,) = begin(tiny_root, study(), "damaged")
    finish(damaged, broken, {"train": 99.0})
    (damaged.layout.pack(broken.pack_id) / "result.json").write_text("{")
    later, (newer,) = begin(tiny_root, study(), "later")
    finish(later, newer, {"train": 30.0})
    plan = json.loads(later.layout.plan(0).read_text())
    plan["packs"][newer.pack_id] |= {"of_a_version_to_come": 1}
    later.layout.plan(0).write_text(json.dumps(plan))
    unread, (unreadable,) = begin(tiny_root, study(), "unread")
    finish(unread, unreadable, {"train": 99.0})
    unread.layout.plan(0).write_text("{")
    estimate = Speeds(tiny_root, "cpu").estimate(pack)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(20.0), "of the two that can be read"
