"""A disk that is full when rows or checkpoints are to be written: said clearly, nothing lost, gone on from."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drills import Drill, assert_same_store, copy_datasets, metrics

MakeDrill = Callable[..., Drill]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB. Mounting one takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a tmpfs; test_disk_full.py of the store injects ENOSPC instead")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_training(
    small_disk: Path, undisturbed: Drill, cluster: str, environment: dict[str, str]
) -> None:
    root = small_disk / "root"
    root.mkdir()
    copy_datasets(undisturbed.root, root)
    drill = Drill(root, environment, address=cluster, study_file=small_disk.parent / "tiny.yaml")
    early = drill.run()
    assert early.code == 2
    assert "too little disk" in early.output
    assert "Nothing was started" in early.output

    # A Ray of its own has no other nodes to ask, and begins.
    drill.address = None
    command = drill.start_run()
    command.until(lambda: drill.checkpointed(200), "a checkpoint was written")
    fill(small_disk)
    ended = command.wait()
    assert drill.store.packs_done() == set(), "the study is too short to run out of disk"
    assert ended.code == 1
    assert "No space left on device" in ended.output
    assert str(root) in ended.output
    assert "Free some space and give the same command again" in ended.output
    assert "Traceback" not in ended.output
    for pack in drill.packs():
        assert f"failed {pack}" in ended.output

    kept = metrics(root)
    assert len(kept) > 0
    expected = metrics(undisturbed.root)
    assert len(kept.merge(expected, on=["trial_id", "step", "loss", "td_error"])) == len(kept)
    drill.sweep("status", "tiny").ok()

    # Still full: nothing can begin, and that is said too.
    refused = drill.run()
    assert refused.code == 1
    assert "No space left on device" in refused.output
    assert "Traceback" not in refused.output

    (small_disk / "filler").unlink()
    drill.run().ok()
    assert_same_store(root, undisturbed.root)


def fill(disk: Path) -> None:
    """Take what is left, to the last byte."""
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(os.urandom(1) * size)
