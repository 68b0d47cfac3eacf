"""Which packs get another try, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_sweeps import begin, finish, study
from typer.testing import CliRunner

from search_spaces import Study
from sweep.cli.app import build_app
from sweep.errors import UsageError
from sweep.plan import PackSpec
from sweep.retry import what_to_retry
from sweep.run import RunOptions
from sweep.status import read_packs
from sweep.store import SweepStore


def three_shapes() -> Study:
    axes = {"learning_rate": {"values": [1e-3, 1e-2]}, "activation": {"values": ["relu", "tanh", "elu"]}}
    return study({"name": "shapes", "axes": axes})


@pytest.fixture
def failed(tiny_root: Path) -> tuple[SweepStore, list[PackSpec]]:
    """Three packs: one that is done, one that has failed, one that is planned."""
    store, packs = begin(tiny_root, three_shapes())
    record = store.sweep_record() or {}
    store.write_sweep_record({**record, "study_text": three_shapes().text})
    finish(store, packs[0], {"train": 1.0})
    attempt = store.start_attempt(packs[1].pack_id, {"resume_step": -1})
    store.fail_pack(packs[1].pack_id, attempt, {"reason": "MemoryError: too large"})
    return store, packs


def test_the_study_and_the_failed_packs_come_from_the_store(
    tiny_root: Path, failed: tuple[SweepStore, list[PackSpec]]
) -> None:
    _, packs = failed
    found = what_to_retry(tiny_root, "tiny", [])
    assert found.failed == {packs[1].pack_id: "MemoryError: too large"}
    assert (found.scheduler, found.diverged) == ("fifo", 0)
    assert found.study.trials() == three_shapes().trials()
    assert what_to_retry(tiny_root, "tiny", [packs[1].pack_id]).failed == found.failed


def test_the_record_of_a_retry_says_what_packs_were_planned_with(
    tiny_root: Path, failed: tuple[SweepStore, list[PackSpec]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = failed
    resources = {"precision": "bfloat16", "strategy": "looped", "compile": False, "workers": 64}
    store.write_sweep_record({**(store.sweep_record() or {}), "runs": [{}, {"resources": resources}]})
    given: list[RunOptions] = []
    monkeypatch.setattr(
        "sweep.cli.retry.run_and_tell", lambda study, name, root, options, **more: given.append(options)
    )
    said = CliRunner().invoke(build_app(), ["retry", "tiny", "--failed", "--root", str(tiny_root)])
    assert said.exit_code == 0, said.output
    (options,) = given
    assert (options.precision, options.strategy, options.compile) == ("bfloat16", "looped", False)
    assert options.workers is None, "how many at once is this command's business"


def test_a_pack_that_gets_another_try_is_planned_and_its_failure_is_kept(
    failed: tuple[SweepStore, list[PackSpec]],
) -> None:
    store, packs = failed
    assert [pack.state for pack in read_packs(store)] == ["done", "failed", "planned"]
    assert store.retry_pack(packs[1].pack_id)
    assert [pack.state for pack in read_packs(store)] == ["done", "planned", "planned"]
    assert sorted(store.trials()["status"]) == ["finished"] * 2 + ["planned"] * 4
    assert store.failures() == {}
    assert "MemoryError" in (store.layout.pack(packs[1].pack_id) / "retried-000.json").read_text()
    assert not store.retry_pack(packs[1].pack_id)


def test_packs_that_have_not_failed_are_refused_with_what_they_are(
    tiny_root: Path, failed: tuple[SweepStore, list[PackSpec]]
) -> None:
    _, packs = failed
    named = f"failed: {packs[1].pack_id}"
    for pack_id, said in (
        (packs[0].pack_id, "is done: there is nothing to try again, and a diverged trial is a result"),
        (packs[2].pack_id, "has not failed: `sweep run` goes on with it"),
        ("no-such-pack", "sweep 'tiny' has no such pack"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            what_to_retry(tiny_root, "tiny", [pack_id])
        assert named in str(caught.value)


def test_a_sweep_that_runs_is_refused(tiny_root: Path, failed: tuple[SweepStore, list[PackSpec]]) -> None:
    store, _ = failed
    with store.lock(), pytest.raises(UsageError, match="is being run by process"):
        what_to_retry(tiny_root, "tiny", [])


def test_a_sweep_without_a_record_or_with_one_that_cannot_be_read_says_so(
    tiny_root: Path, failed: tuple[SweepStore, list[PackSpec]]
) -> None:
    store, _ = failed
    store.write_sweep_record({**(store.sweep_record() or {}), "study_text": "study: tiny\nfuture: 1\n"})
    with pytest.raises(UsageError, match=r"(?s)cannot be read by this version.*Give `sweep run`"):
        what_to_retry(tiny_root, "tiny", [])
    store.layout.record.unlink()
    with pytest.raises(UsageError, match="was stopped before it had a plan"):
        what_to_retry(tiny_root, "tiny", [])
