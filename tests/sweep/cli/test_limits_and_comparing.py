"""`sweep show` with limits, `sweep retry` and `sweep diff`, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Sweep
from tiny_sweeps import begin, finish, study

from sweep.store import Store


def test_the_preview_says_how_far_a_limit_lets_it_come(
    sweep: Sweep, tiny_root: Path, study_file: Path
) -> None:
    store, packs = begin(
        tiny_root, study({"name": "a", "axes": {"activation": {"values": ["relu", "tanh"]}}})
    )
    for pack in packs:
        finish(store, pack, {"train": 3600.0})
    show = ("show", study_file, "--root", tiny_root, "--max-concurrent", "1")
    hours = json.loads(sweep(*show, "--json").out)["seconds"] / 3600
    said = sweep(*show, "--max-hours", hours * 0.9)
    assert said.code == 0
    assert "about 1 of 2 packs done, 1 under way, after" in said.out
    assert "the rest stays planned" in said.out
    assert "that is enough for all 2 packs" in sweep(*show, "--max-hours", hours * 1.1).out
    stops = json.loads(sweep(*show, "--max-hours", hours * 0.9, "--json").out)["stops"]
    assert (stops["done"], stops["begun"]) == (1, 1)
    assert stops["seconds"] == pytest.approx(hours * 0.9 * 3600)
    assert json.loads(sweep(*show, "--json").out)["stops"] is None


def test_a_limit_that_is_none_is_refused_before_a_job_is_submitted(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("submit", "demo", "--root", tmp_path, "--address", "http://127.0.0.1:9", "--max-hours", "0")
    assert said.code == 2
    assert "--max-hours 0.0: it must be more than 0 hours" in said.err


def test_a_limit_on_speeds_that_nobody_knows_says_so(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("show", "demo", "--root", tmp_path, "--gpu", "No Such Card", "--max-gpu-hours", "3")
    assert "stops after 3 GPU-hours: nobody knows how many packs that is" in said.out


def test_limits_that_cannot_be_are_refused(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("show", "demo", "--root", tmp_path, "--max-gpu-hours", "3")
    assert (said.code, "say which card with --gpu NAME" in said.err) == (2, True)
    said = sweep("show", "demo", "--root", tmp_path, "--max-hours", "-3")
    assert (said.code, "--max-hours -3.0: it must be more than 0 hours" in said.err) == (2, True)
    said = sweep("run", "demo", "--root", tmp_path, "--notify", "env:NO_SUCH_VARIABLE")
    assert (said.code, "'NO_SUCH_VARIABLE' is not set or empty" in said.err) == (2, True)


def test_retry_of_a_sweep_without_failures_says_that_there_are_none(sweep: Sweep, finished: Path) -> None:
    said = sweep("retry", "tiny", "--failed", "--root", finished)
    assert (said.code, said.out) == (0, "nothing of tiny has failed.\n")
    asked = json.loads(sweep("retry", "tiny", "--failed", "--root", finished, "--json").out)
    assert asked == {"name": "tiny", "failed": {}, "diverged": 0}
    said = sweep("retry", "tiny", "--root", finished)
    assert (said.code, "--failed for all (none has failed), or --pack ID" in said.err) == (2, True)
    (pack, *_) = Store(finished).sweep("tiny").packs_done()
    said = sweep("retry", "tiny", "--pack", pack, "--root", finished)
    assert (said.code, "a diverged trial is a result; none has failed." in said.err) == (2, True)
    said = sweep("retry", "nothing", "--failed", "--root", finished)
    assert (said.code, "no sweep 'nothing'" in said.err) == (2, True)


def test_diff_of_two_roots_names_what_differs(
    sweep: Sweep, finished: Path, tiny_root: Path, tmp_path: Path
) -> None:
    same = sweep("diff", "tiny", "tiny", "--root", finished)
    assert same.code == 0
    for part in ("study: the same", "code and machine: the same", "data: the same"):
        assert part in same.out
    assert "results: 8 trials in both, 0 only in A, 0 only in B" in same.out
    assert "all 23 measures are equal to the last bit" in same.out

    shutil.copytree(finished / "store", tmp_path / "other" / "store")
    store = Store(tmp_path / "other").sweep("tiny")
    record = store.sweep_record() or {}
    text = record["study_text"].replace("log_every: 10", "log_every: 5")
    store.write_sweep_record({**record, "study_text": text, "git": {"commit": "abc", "dirty": True}})
    said = sweep("diff", "tiny", "tiny", "--root", finished, "--root-b", tmp_path / "other")
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert "protocol.log_every 10 5" in lines
    assert "+ log_every: 5" in lines
    assert any(line.startswith("commit ") and line.endswith(" abc") for line in lines)
    found = json.loads(
        sweep("diff", "tiny", "tiny", "--root", finished, "--root-b", tmp_path / "other", "--json").out
    )
    assert found["study"] == [{"what": "protocol.log_every", "a": 10, "b": 5}]
    assert found["results"]["measures"] == []
    said = sweep("diff", "tiny", "nothing", "--root", finished)
    assert (said.code, "no sweep 'nothing'" in said.err) == (2, True)
