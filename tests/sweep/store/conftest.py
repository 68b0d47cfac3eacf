"""What the store's tests share: a sweep, and attempts whose values tell where they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.store import Store, SweepStore


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Under a folder; of tests that are `anywhere`, in a bucket too."""
    if getattr(request, "param", "folder") == "bucket":
        return Store(request.getfixturevalue("object_store").root)
    return Store(tmp_path / "root")


@pytest.fixture
def sweep(store: Store) -> SweepStore:
    return store.create("demo")


def write(
    sweep: SweepStore,
    pack: str,
    trials: list[str],
    steps: list[int],
    *,
    resume_step: int = -1,
    value: float = 0.0,
) -> int:
    """One attempt that writes `value + step` as the loss of each trial, a segment a step."""
    attempt = sweep.start_attempt(pack, {"resume_step": resume_step})
    writer = sweep.segment_writer(pack, attempt, resume_step)
    for step in steps:
        writer.append(
            {"trial_id": trials, "step": [step] * len(trials), "loss": [value + step] * len(trials)}
        )
        writer.append_spectra(
            [
                {"trial_id": t, "step": step, "name": "singular_values", "values": [value, step]}
                for t in trials
            ]
        )
        writer.flush()
    return attempt


def finish(sweep: SweepStore, pack: str, attempt: int, trials: list[str]) -> None:
    sweep.finish_pack(pack, {"attempt": attempt, "trials": {t: {"status": "finished"} for t in trials}})


@pytest.fixture
def write_attempt() -> Callable[..., int]:
    return write


@pytest.fixture
def finish_pack() -> Callable[..., None]:
    return finish
