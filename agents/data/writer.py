"""Making a dataset: nothing is visible until it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from agents.data.arrays import GrowingArray, describe_array
from agents.data.dataset import LEARNER_ARRAYS, Dataset
from agents.data.making import check_free, link_or_copy, take_lock, write_synced
from agents.data.making import sync_folder as _sync_folder
from agents.data.manifest import MANIFEST_NAME, Manifest, check_name, fingerprint
from agents.data.unfinished import JOURNAL_NAME, making_folder, read_journal
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError
from agents.randomness import generator

if TYPE_CHECKING:
    from agents.data.transitions import Transitions


class DatasetWriter:
    """Writes the dataset ``path`` (``ROOT/datasets/<name>``) of at most ``capacity`` transitions (None: any).

    Use as a context manager. The arrays grow in a hidden sibling folder, which ``finish`` renames; leaving
    the context without ``finish`` deletes it. A maker that was killed leaves the hidden folder behind, and
    the next maker of the same name deletes it: a lock on a sibling file, which the system drops with its
    process, tells the two apart. Raises DatasetError where the name is not allowed, the dataset exists,
    another process is making it, or the disk is full.

    ``columns`` are further arrays with a row a transition, such as ``checkpoint``; what the environment's
    ``extras`` name has a row a frame and is stored as ``extra_<name>``. With a ``resume_key`` (what is made,
    from what, as JSON) the hidden folder is kept on leaving once there is a ``mark``, and the next maker with
    an equal key goes on from it, its state in ``resumed``. One with another key is refused, naming what
    differs; ``begin_again`` makes it discard what it finds. ``frames_of`` is a dataset whose frames, and what was
    shown beside them, this one shares: by hard links, or copies where its file system is another.
    """

    def __init__(
        self,
        path: Path | str,
        environment: EnvironmentSpec,
        capacity: int | None,
        *,
        columns: Mapping[str, ArrayFormat] | None = None,
        resume_key: str | None = None,
        begin_again: bool = False,
        frames_of: Dataset | None = None,
    ) -> None:
        self.path = Path(path)
        self.frames_of = frames_of
        self.environment = environment
        self.capacity = capacity
        self.columns = dict(columns or {})
        self.resume_key = resume_key
        self.begin_again = begin_again
        self.resumed: dict[str, Any] | None = None
        check_name(self.path.name)
        self._growing: dict[str, GrowingArray] = {}
        self._making = making_folder(self.path)
        self._lock_path = self._making.with_name(f"{self._making.name}.lock")
        self._lock = -1

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self._lock_path, self.path)
        try:
            check_free(self.path)
            if not self._resume():
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

        arrays = {name: self._growing[name].mapped() for name in LEARNER_ARRAYS if name != "subset_order"}
        # The online learner draws from all it has seen; the order of a subset means nothing to it.
        arrays["subset_order"] = np.arange(len(arrays["action"]), dtype=np.int32)
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Transitions(**tensors)

    @property
    def frames_filled(self) -> int:
        """Frames written so far."""
        return self._growing["frames"].filled

    @property
    def making(self) -> Path:
        """The hidden folder, where a maker may keep files of its own; ``finish`` expects them gone."""
        return self._making

    def add_frames(
        self, frames: npt.NDArray[Any], extras: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> npt.NDArray[np.int32]:
        """Store ``[B, *frame_shape]``, and ``extras`` ``[B, …]`` beside them; returns their numbers, int32 ``[B]``."""
        for name in self.environment.extras:
            self._growing[f"extra_{name}"].append((extras or {})[name])
        first = self._growing["frames"].append(frames)
        return np.arange(first, first + len(frames), dtype=np.int32)

    def add_frame_parts(
        self, parts: Sequence[npt.NDArray[Any]], extras: Sequence[Mapping[str, npt.NDArray[Any]]] = ()
    ) -> None:
        """The same for several arrays of frames (and the extras of each), which are not joined in memory first."""
        for name in self.environment.extras:
            self._growing[f"extra_{name}"].append_parts([shown[name] for shown in extras])
        self._growing["frames"].append_parts(parts)

    def add_transitions(
        self,
        frame_index: npt.NDArray[np.int32],
        action: npt.NDArray[Any],
        reward: npt.NDArray[np.float32],
        discount: npt.NDArray[np.float32],
        episode: npt.NDArray[np.int32],
        columns: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """Store B transitions: ``frame_index`` ``[B, K+1]``, ``action`` ``[B, *action_shape]``, the others ``[B]``."""
        rows = {
            "frame_index": frame_index, "action": action, "reward": reward,
            "discount": discount, "episode": episode,
            **{name: (columns or {})[name] for name in self.columns},
        }  # fmt: skip
        for name, values in rows.items():
            self._growing[name].append(values)

    def mark(self, state: dict[str, Any]) -> None:
        """Bring all to the disk and note ``state`` (JSON types) as the point to go on from."""
        for array in self._growing.values():
            array.sync()
        filled = {name: array.filled for name, array in self._growing.items()}
        content = {"resume_key": self.resume_key, "filled": filled, "state": state}
        written = self._making / f"{JOURNAL_NAME}.new"
        write_synced(written, json.dumps(content))
        os.replace(written, self._making / JOURNAL_NAME)
        _sync_folder(self._making)

    def finish(
        self,
        episodes: int,
        mean_return: float | None,
        provenance: dict[str, Any],
        *,
        consecutive: bool = True,
    ) -> Dataset:
        """Close the arrays, hash them, write ``dataset.json`` and make the dataset visible by one rename.

        ``consecutive``: the rows of one episode follow one another in time, in the order of their numbers.
        """
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
        arrays = {name: describe_array(array.path) for name, array in growing.items()}
        if self.frames_of is not None:
            arrays |= {name: self.frames_of.manifest.arrays[name] for name in self._per_frame()}
        arrays = dict(sorted(arrays.items()))
        manifest = Manifest(
            name=self.path.name,
            environment=self.environment,
            transitions=total,
            episodes=episodes,
            mean_return=mean_return,
            consecutive=consecutive,
            arrays=arrays,
            fingerprint=fingerprint(arrays, self.environment.env_id),
            provenance=provenance,
        )
        write_synced(self._making / MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")
        _sync_folder(self._making)
        os.replace(self._making, self.path)
        _sync_folder(self.path.parent)
        # Last: killed before the rename, a resumable maker goes on from here.
        (self.path / JOURNAL_NAME).unlink(missing_ok=True)
        return Dataset.open(self.path)

    def _formats(self) -> dict[str, tuple[str, tuple[int, ...], int | None]]:
        """Dtype, row shape and greatest number of rows of each array that grows."""
        spec, capacity = self.environment, self.capacity
        # A transition brings one frame, and two where it begins an episode; slots whose last step is not kept
        # bring one more.
        frames = None if capacity is None else 3 * capacity + 1
        per_row = {"action": spec.action_format, **self.columns}
        formats = {
            "frames": (np.dtype(spec.observation_dtype).str, spec.frame_shape, frames),
            "frame_index": ("<i4", (spec.frame_stack + 1,), capacity),
            "reward": ("<f4", (), capacity),
            "discount": ("<f4", (), capacity),
            "episode": ("<i4", (), capacity),
            **{name: (np.dtype(one.dtype).str, one.shape, capacity) for name, one in per_row.items()},
            **{
                f"extra_{name}": (np.dtype(one.dtype).str, one.shape, frames)
                for name, one in spec.extras.items()
            },
        }
        if self.frames_of is not None:
            formats = {name: one for name, one in formats.items() if name not in self._per_frame()}
        return formats

    def _per_frame(self) -> list[str]:
        return ["frames", *(f"extra_{name}" for name in self.environment.extras)]

    def _allocate(self) -> None:
        for name, (dtype, shape, size) in self._formats().items():
            self._growing[name] = GrowingArray(self._making / f"{name}.npy", dtype, shape, size)
        spec = self.environment
        if self.frames_of is not None:
            for name in self._per_frame():
                link_or_copy(self.frames_of.path / f"{name}.npy", self._making / f"{name}.npy")
        elif spec.frame_stack > 1:
            black = np.zeros((1, *spec.frame_shape), spec.observation_dtype)
            self.add_frames(
                black, {name: np.zeros((1, *one.shape), one.dtype) for name, one in spec.extras.items()}
            )

    def _resume(self) -> bool:
        """Go on from the last mark of a maker with the same key; False where there is none."""
        journal = read_journal(self.path)
        if self.resume_key is None or self.begin_again or journal is None:
            return False
        formats = self._formats()
        if journal["resume_key"] != self.resume_key or journal["filled"].keys() != formats.keys():
            raise DatasetError(
                f"an unfinished dataset {self.path.name!r} was begun otherwise: "
                f"{_differences(journal['resume_key'], self.resume_key)}. Give the command that began it to go on, "
                f"choose another name, or delete {self._making} (`--begin-again` does) to begin anew."
            )
        for name, (dtype, shape, _) in formats.items():
            self._growing[name] = GrowingArray.resume(
                self._making / f"{name}.npy", dtype, shape, journal["filled"][name]
            )
        self.resumed = journal["state"]
        return True

    def _abandon(self) -> None:
        if self._lock < 0:
            return
        for array in self._growing.values():
            array.close()
        if self.resume_key is None or not (self._making / JOURNAL_NAME).exists():
            shutil.rmtree(self._making, ignore_errors=True)
        # Deleted while it is held, and take_lock looks whether the file it locked is still the one of that
        # name.
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def _differences(begun: str, asked: str) -> str:
    try:
        there, here = dict(json.loads(begun)), dict(json.loads(asked))
    except (TypeError, ValueError):
        return f"as {begun}, not {asked}"
    return "; ".join(
        f"{key} was {there.get(key)!r}, now {here.get(key)!r}"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    )
