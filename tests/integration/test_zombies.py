"""A process that was given up for dead and comes back cannot damage what its successor writes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drills import PATIENCE, STUDY, Drill, assert_same_store, end_marked, metrics
from library import make_packs, trained

from sweep.checkpoints import Checkpoints
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.plan import PackSpec
from sweep.store import Store

pytestmark = pytest.mark.usefixtures("library_process")


@pytest.fixture
def spec(undisturbed: Drill) -> PackSpec:
    return make_packs(undisturbed.root, STUDY)[0]


@pytest.fixture
def root(tmp_path: Path, undisturbed: Drill) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "datasets").symlink_to(undisturbed.root / "datasets")
    Store(tmp_path / "root").create("tiny")
    return tmp_path / "root"


def stop_at(step: int) -> object:
    """Something for `on_report` that ends training as a kill would, at an evaluation."""

    def stop(report: Report) -> None:
        if report.evaluated and report.step >= step:
            raise InterruptedError

    return stop


def test_a_stopped_process_that_goes_on_after_its_pack_was_finished_writes_nothing(
    root: Path, undisturbed: Drill, spec: PackSpec, environment: dict[str, str]
) -> None:
    checkpoints = root / "checkpoints" / "tiny" / spec.pack_id
    command = [
        sys.executable,
        str(Path(__file__).with_name("train_here.py")),
        str(root),
        spec.model_dump_json(),
    ]
    zombie = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(checkpoints.glob("a000-000000[2-9]*.pt")):
            assert zombie.poll() is None, zombie.stderr.read() if zombie.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.01)
        zombie.send_signal(signal.SIGSTOP)
        store = Store(root).sweep("tiny")
        assert store.packs_done() == set(), "the study is too short to be stopped in the middle"

        assert train_pack(spec, store, root, "cpu")["attempt"] == 1
        assert store.attempts(spec.pack_id)[1]["resume_step"] >= 200
        before, result = metrics(root), store.result(spec.pack_id)
        zombie.send_signal(signal.SIGCONT)
        assert zombie.wait(PATIENCE) == 3, "it went on as if nothing had happened"
    finally:
        end_marked(environment)
    assert metrics(root).equals(before)
    assert store.result(spec.pack_id) == result
    store.write_trials(undisturbed.store.trials())
    assert_same_store(root, undisturbed.root, trials=set(spec.trials))
    store.compact()
    assert_same_store(root, undisturbed.root, trials=set(spec.trials))


def test_a_checkpoint_that_its_successor_did_not_see_is_not_gone_on_from(
    root: Path, undisturbed: Drill, spec: PackSpec, tmp_path: Path
) -> None:
    # Its rows after step 400 were taken back by the successor, which died before it had written them again.
    trained(root, undisturbed.root, spec, stop_at(800), expect=InterruptedError)
    late = root / "checkpoints" / "tiny" / spec.pack_id / "a000-000000600.pt"
    late.rename(tmp_path / "late.pt")
    trained(root, undisturbed.root, spec, stop_at(600), expect=InterruptedError)
    (tmp_path / "late.pt").rename(late)

    store = Store(root).sweep("tiny")
    train_pack(spec, store, root, "cpu")
    assert [one["resume_step"] for one in store.attempts(spec.pack_id)] == [-1, 400, 400]
    store.write_trials(undisturbed.store.trials())
    assert_same_store(root, undisturbed.root, trials=set(spec.trials))


def test_a_truncated_checkpoint_is_passed_over_for_the_one_before_it(
    root: Path, undisturbed: Drill, spec: PackSpec
) -> None:
    trained(root, undisturbed.root, spec, stop_at(800), expect=InterruptedError)
    newest = root / "checkpoints" / "tiny" / spec.pack_id / "a000-000000600.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    store = Store(root).sweep("tiny")
    train_pack(spec, store, root, "cpu")
    assert [one["resume_step"] for one in store.attempts(spec.pack_id)] == [-1, 400]
    store.write_trials(undisturbed.store.trials())
    assert_same_store(root, undisturbed.root, trials=set(spec.trials))


def test_a_finished_pack_that_is_started_again_stays_as_it_is(
    root: Path, undisturbed: Drill, spec: PackSpec
) -> None:
    store = trained(root, undisturbed.root, spec).sweep("tiny")
    result = store.result(spec.pack_id)
    assert train_pack(spec, store, root, "cpu") == result
    assert len(store.attempts(spec.pack_id)) == 1


def test_no_checkpoint_is_gone_on_from_whose_rows_may_be_gone(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "tiny", "pack")
    for attempt, step in ((0, 400), (0, 600)):
        checkpoints.save(attempt, step, {"pack": {"step": step}, "seconds": {}})
    for resume_steps, expected in (
        ({0: -1}, 600),
        ({0: -1, 1: 600}, 600),
        ({0: -1, 1: 400}, 400),
        ({0: -1, 1: 600, 2: 400}, 400),
        ({0: -1, 1: -1}, None),
    ):
        found = checkpoints.latest(resume_steps)
        assert (found and found["pack"]["step"]) == expected, resume_steps
