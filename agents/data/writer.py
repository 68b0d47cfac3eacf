"""Making a dataset: nothing is visible until it is whole."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from agents.data.arrays import GrowingArray, describe_array, full_disk_named
from agents.data.dataset import LEARNER_ARRAYS, Dataset
from agents.data.manifest import MANIFEST_NAME, Manifest, check_name, fingerprint
from agents.environments.protocol import EnvironmentSpec
from agents.errors import DatasetError
from agents.randomness import generator

if TYPE_CHECKING:
    from agents.data.transitions import Transitions


class DatasetWriter:
    """Writes the dataset ``path`` (``ROOT/datasets/<name>``) of at most ``capacity`` transitions.

    Use as a context manager. The arrays grow in a hidden sibling folder, which ``finish`` renames; leaving
    the context without ``finish`` deletes it. A maker that was killed leaves the hidden folder behind, and
    the next maker of the same name deletes it: a lock on a sibling file, which the system drops with its
    process, tells the two apart. Raises DatasetError where the name is not allowed, the dataset exists,
    another process is making it, or the disk is full.
    """

    def __init__(self, path: Path | str, environment: EnvironmentSpec, capacity: int) -> None:
        self.path = Path(path)
        self.environment = environment
        self.capacity = capacity
        check_name(self.path.name)
        self._making = self.path.parent / f".making-{self.path.name}"
        self._lock_path = self.path.parent / f".making-{self.path.name}.lock"
        self._lock = -1

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self._lock_path, self.path)
        try:
            if self.path.exists():
                raise DatasetError(
                    f"dataset {self.path.name!r} exists already in {self.path.parent}. Choose another name, "
                    "or delete that folder first."
                )
            shutil.rmtree(self._making, ignore_errors=True)
            self._making.mkdir()
            self._allocate()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandon()

    @property
    def filled(self) -> int:
        """Transitions written so far."""
        return self._growing["action"].filled

    @property
    def transitions(self) -> Transitions:
        """Live tensors of ``capacity`` rows over the growing files; rows from ``filled`` on mean nothing.

        Not to be used after ``finish``, which cuts the files.
        """
        import torch

        from agents.data.transitions import Transitions

        arrays = {name: self._growing[name].rows for name in LEARNER_ARRAYS if name != "subset_order"}
        # The online learner draws from all it has seen; the order of a subset means nothing to it.
        arrays["subset_order"] = np.arange(self.capacity, dtype=np.int32)
        return Transitions(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    def add_frames(self, frames: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Store ``[B, *frame_shape]``; returns their numbers, int32 ``[B]``."""
        first = self._growing["frames"].append(frames)
        return np.arange(first, first + len(frames), dtype=np.int32)

    def add_transitions(
        self,
        frame_index: npt.NDArray[np.int32],
        action: npt.NDArray[np.int32],
        reward: npt.NDArray[np.float32],
        discount: npt.NDArray[np.float32],
        episode: npt.NDArray[np.int32],
    ) -> None:
        """Store B transitions: ``frame_index`` ``[B, K+1]``, the others ``[B]``."""
        rows = {
            "frame_index": frame_index, "action": action, "reward": reward,
            "discount": discount, "episode": episode,
        }  # fmt: skip
        for name, values in rows.items():
            self._growing[name].append(values)

    def finish(self, episodes: int, mean_return: float | None, provenance: dict[str, Any]) -> Dataset:
        """Close the arrays, hash them, write ``dataset.json`` and make the dataset visible by one rename."""
        total = self.filled
        if total == 0:
            raise DatasetError(
                f"dataset {self.path.name!r} would hold no transition: collect at least one step"
            )
        order = np.argsort(generator(0, "subset order").random(total), kind="stable")
        subset_order = GrowingArray(self._making / "subset_order.npy", "<i4", (), total)
        subset_order.append(order.astype(np.int32))
        growing = {**self._growing, "subset_order": subset_order}
        for array in growing.values():
            array.finish()
        arrays = {name: describe_array(array.path) for name, array in sorted(growing.items())}
        manifest = Manifest(
            name=self.path.name,
            environment=self.environment,
            transitions=total,
            episodes=episodes,
            mean_return=mean_return,
            arrays=arrays,
            fingerprint=fingerprint(arrays, self.environment.env_id),
            provenance=provenance,
        )
        manifest_path = self._making / MANIFEST_NAME
        with full_disk_named(manifest_path), manifest_path.open("w", encoding="utf-8") as file:
            file.write(manifest.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self._making)
        os.replace(self._making, self.path)
        _sync_folder(self.path.parent)
        return Dataset.open(self.path)

    def _allocate(self) -> None:
        spec, capacity = self.environment, self.capacity
        stack = spec.frame_stack
        # A transition brings one frame, and two where it begins an episode; slots whose last step is not kept
        # bring one more. Room that is not used takes up no disk.
        frames = 3 * capacity + 1
        rows: dict[str, tuple[str, tuple[int, ...], int]] = {
            "frames": (np.dtype(spec.observation_dtype).str, spec.frame_shape, frames),
            "frame_index": ("<i4", (stack + 1,), capacity),
            "action": ("<i4", (), capacity),
            "reward": ("<f4", (), capacity),
            "discount": ("<f4", (), capacity),
            "episode": ("<i4", (), capacity),
        }
        self._growing = {
            name: GrowingArray(self._making / f"{name}.npy", dtype, shape, size)
            for name, (dtype, shape, size) in rows.items()
        }
        if stack > 1:
            self.add_frames(np.zeros((1, *spec.frame_shape), spec.observation_dtype))

    def _abandon(self) -> None:
        if self._lock < 0:
            return
        shutil.rmtree(self._making, ignore_errors=True)
        # Deleted while it is held, and _take_lock looks whether the file it locked is still the one of that
        # name.
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def _take_lock(lock_path: Path, dataset: Path) -> int:
    while True:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise DatasetError(
                f"dataset {dataset.name!r} is being made by {owner}. Wait until it is done, or end that "
                "process; then give the same command again."
            ) from error
        try:
            if os.stat(lock_path).st_ino == os.fstat(descriptor).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(descriptor)
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return descriptor


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
