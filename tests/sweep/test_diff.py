"""What sets two sweeps apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tiny_sweeps import DATASET, begin, study, train_all

from search_spaces import Study
from sweep.diff import Difference, diff_sweeps
from sweep.pack_loop import train_pack
from sweep.store import Store, SweepStore


def with_record(store: SweepStore, of: Study, **changes: object) -> SweepStore:
    about = {
        "study": of.name,
        "scheduler": "fifo",
        "study_text": of.text,
        "git": {"commit": "aaaa", "dirty": False},
        "versions": {"torch": "2.13.0", "ray": "2.60.0"},
        "machine": {"host": "here", "cores": 2},
        "datasets": {DATASET: {"fingerprint": "f" * 64}},
        "runs": [{"resources": {"device": "cpu", "compile": True}}],
    }
    store.write_sweep_record({**about, **changes})
    return store


def test_a_sweep_does_not_differ_from_its_copy(tiny_root: Path, tmp_path: Path) -> None:
    one = with_record(train_all(tiny_root, study()), study())
    shutil.copytree(tiny_root, tmp_path / "copy")
    found = diff_sweeps(one, Store(tmp_path / "copy").sweep("tiny"))
    assert (found.study, found.text, found.code, found.datasets) == ((), (), (), ())
    results = found.results
    assert (results.shared, results.only_a, results.only_b) == (2, 0, 0)
    assert (results.measures, results.statuses, results.settings) == ((), (), {})
    assert results.equal_measures > 10


def test_what_differs_of_study_code_machine_and_data_is_named(tiny_root: Path) -> None:
    one = with_record(begin(tiny_root, study(), "one")[0], study())
    other = study(
        {"name": "rates", "axes": {"learning_rate": {"values": [1e-3, 1e-1]}}, "seeds": 2},
        base={"dataset": DATASET, "train_steps": 90, "hidden_sizes": [16, 8]},
    )
    two = with_record(
        begin(tiny_root, other, "two")[0],
        other,
        git={"commit": "bbbb", "dirty": True},
        versions={"torch": "2.13.1", "ray": "2.60.0"},
        machine={"host": "there", "cores": 2},
        datasets={DATASET: {"fingerprint": "0" * 64}},
        runs=[{"resources": {"device": "cuda", "compile": True}}],
    )
    found = diff_sweeps(one, two)
    by_path = {one.what: (one.a, one.b) for one in found.study}
    assert by_path["base.train_steps"] == (60, 90)
    assert by_path["spaces.rates.axes.learning_rate"] == ([1e-3, 1e-2], [1e-3, 1e-1])
    assert not [path for path in by_path if path.startswith(("protocol", "datasets", "title"))]
    assert "spaces.rates.seeds" in by_path
    assert any(line.startswith("-") and "60" in line for line in found.text)
    assert found.code == (
        Difference("commit", "aaaa", "bbbb"),
        Difference("changed since that commit", False, True),
        Difference("version of torch", "2.13.0", "2.13.1"),
        Difference("machine: host", "here", "there"),
        Difference("resources: device", "cpu", "cuda"),
    )
    assert found.datasets == (Difference(DATASET, "f" * 64, "0" * 64),)
    assert (found.results.shared, found.results.only_a, found.results.only_b) == (0, 2, 4)
    assert found.results.settings["learning_rate"] == {"only_a": [1e-2], "only_b": [1e-1]}
    assert found.results.settings["train_steps"] == {"only_a": [60], "only_b": [90]}
    json.dumps(asdict(found))


def test_measures_that_differ_are_ranked_with_the_trial_where_they_do(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_root, tmp_path / "other")
    one = with_record(train_all(tiny_root, study()), study())
    # The second sweep has one trial more, and does not evaluate as the first: its policy acts on other seeds.
    more = study({"name": "rates", "axes": {"learning_rate": {"values": [1e-3, 1e-2, 1e-1]}}})
    store, packs = begin(tmp_path / "other", more)
    from sweep.pack_evaluation import PackEvaluation

    measure = PackEvaluation.measure

    def shifted(self: PackEvaluation, step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        columns, returns = measure(self, step)
        columns["return_mean"] = columns["return_mean"] + np.asarray([0.0, 0.5, 0.0])
        return columns, returns

    monkeypatch.setattr(PackEvaluation, "measure", shifted)
    for pack in packs:
        train_pack(pack, store, tmp_path / "other", "cpu")
    results = diff_sweeps(one, store).results
    assert (results.shared, results.only_a, results.only_b) == (2, 0, 1)
    assert results.settings["learning_rate"] == {"only_a": [], "only_b": [1e-1]}
    found = {one.measure: one for one in results.measures}["return_mean"]
    assert (found.compared, found.equal) == (2, 1)
    assert found.difference == pytest.approx(0.5, abs=1e-12)
    frame = one.trials().set_index("trial_id")
    assert frame.loc[found.trial_id, "learning_rate"] == 1e-2
    last = (
        Store(tiny_root)
        .metrics("tiny")
        .dropna(subset=["return_mean"])
        .groupby("trial_id")["return_mean"]
        .last()
    )
    assert found.a == last[found.trial_id]
    assert found.relative == pytest.approx(0.5 / max(abs(found.a), abs(found.b)))
    relative = [one.relative for one in results.measures]
    assert relative == sorted(relative, reverse=True)


def test_trials_that_ended_otherwise_are_counted(tiny_root: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_root, tmp_path / "other")
    one = train_all(tiny_root, study())
    two, _ = begin(tmp_path / "other", study())
    results = diff_sweeps(one, two).results
    assert results.statuses == (("finished", "planned", 2),)
    assert results.measures == ()


def test_a_part_that_only_one_study_has_is_one_difference(tiny_root: Path) -> None:
    narrow = {"name": "narrow", "axes": {"learning_rate": {"values": [1e-3, 1e-2]}}}
    broad = {"name": "broad", "axes": {"activation": {"values": ["relu", "tanh"]}}}
    one = with_record(begin(tiny_root, study(narrow), "one")[0], study(narrow))
    two = with_record(begin(tiny_root, study(broad, narrow), "two")[0], study(broad, narrow))
    (only,) = diff_sweeps(one, two).study
    assert (only.what, only.a) == ("spaces.broad", None)
    assert only.b["axes"] == {"activation": ["relu", "tanh"]}
