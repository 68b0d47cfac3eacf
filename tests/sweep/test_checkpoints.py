"""Checkpoints of packs."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from sweep.checkpoints import Checkpoints
from sweep.errors import UsageError

PLAIN: dict[int, int] = {}


def state(step: int) -> dict[str, object]:
    return {"pack": {"step": step, "tensors": {"w": torch.arange(3.0)}}, "seconds": {"train": 1.5}}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, "demo", "mlp-relu-b32-0123456789")


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def step_of(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.latest(PLAIN)
    return None if found is None else found["pack"]["step"]


def test_what_was_saved_comes_back(checkpoints: Checkpoints) -> None:
    assert checkpoints.latest(PLAIN) is None
    checkpoints.save(0, 100, state(100))
    found = checkpoints.latest(PLAIN)
    assert found is not None
    assert torch.equal(found["pack"]["tensors"]["w"], torch.arange(3.0))
    assert found["seconds"] == {"train": 1.5}


def test_the_last_two_are_kept_and_no_temporary_file(checkpoints: Checkpoints) -> None:
    for step in (0, 100, 200, 300):
        checkpoints.save(0, step, state(step))
    assert names(checkpoints) == ["a000-000000200.pt", "a000-000000300.pt"]
    assert step_of(checkpoints) == 300


def test_a_later_attempt_counts_more_than_a_later_step(checkpoints: Checkpoints) -> None:
    checkpoints.save(0, 300, state(300))
    checkpoints.save(1, 200, state(200))
    assert step_of(checkpoints) == 200


@pytest.mark.parametrize(
    "damage",
    [lambda good: b"", lambda good: good[: len(good) // 2], lambda good: b"\0" * len(good)],
    ids=["empty", "cut", "zeros"],
)
def test_a_damaged_one_is_passed_over(
    checkpoints: Checkpoints, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(0, 100, state(100))
    checkpoints.save(0, 200, state(200))
    newest = checkpoints.folder / "a000-000000200.pt"
    newest.write_bytes(damage(newest.read_bytes()))  # type: ignore[operator]
    assert step_of(checkpoints) == 100
    assert str(newest) in caplog.text


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("with_torch", [True, False])
def test_nothing_in_a_checkpoint_is_run(checkpoints: Checkpoints, tmp_path: Path, with_torch: bool) -> None:
    checkpoints.save(0, 100, state(100))
    exploded = tmp_path / "exploded"
    crafted = checkpoints.folder / "a000-000000200.pt"
    if with_torch:
        torch.save({**state(200), "bomb": Bomb(exploded)}, crafted)
    else:
        crafted.write_bytes(pickle.dumps(Bomb(exploded), protocol=2))
    assert step_of(checkpoints) == 100
    assert not exploded.exists()


@pytest.mark.parametrize("pack_id", ["../other", "", ".", "a/b", ".hidden"])
def test_a_pack_id_cannot_leave_the_root(tmp_path: Path, pack_id: str) -> None:
    with pytest.raises(UsageError) as caught:
        Checkpoints(tmp_path, "demo", pack_id)
    assert repr(pack_id) in str(caught.value)


def test_a_sweeps_name_cannot_leave_the_root(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.\./other"):
        Checkpoints(tmp_path, "../other", "pack")
