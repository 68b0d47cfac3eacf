"""A dataset on disk: opened by memory-mapping, checked on request."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.data.arrays import hash_values
from agents.data.batches import TransitionBatch
from agents.data.manifest import PROBE_TRANSITIONS, Manifest, read_manifest
from agents.data.paging import FrameFile
from agents.environments.protocol import EnvironmentSpec
from agents.errors import DatasetError
from agents.randomness import generator

if TYPE_CHECKING:
    from agents.data.transitions import Transitions

LEARNER_ARRAYS = ("frames", "frame_index", "action", "reward", "discount", "subset_order")


class Dataset:
    """An immutable dataset; T transitions, F frames, K frames an observation. Arrays as in ``Transitions``.

    ``arrays`` are copy-on-write maps: processes on one machine share one copy in the page cache, and a write
    through a tensor cannot reach the file. ``episode`` int32 ``[T]`` is the number of a transition's episode.
    Further arrays have T rows, or F rows (``extra_<name>``: what was shown beside each frame).
    """

    def __init__(self, path: Path, manifest: Manifest, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.path = path
        self.manifest = manifest
        self.arrays = arrays

    @classmethod
    def open(cls, path: Path | str, verify: bool = False) -> Dataset:
        """Open the dataset in folder ``path``; ``verify`` reads every array and compares its hash.

        Raises DatasetError where the dataset is missing, or names the array that is missing or damaged.
        """
        path = Path(path)
        manifest = read_manifest(path)
        arrays = {name: _map_array(path, name, manifest) for name in manifest.arrays}
        _check_shapes(path, manifest)
        dataset = cls(path, manifest, arrays)
        if verify:
            dataset.verify()
        return dataset

    def __len__(self) -> int:
        return self.manifest.transitions

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def fingerprint(self) -> str:
        """64 hex digits that stand for the content; see ``manifest.fingerprint``."""
        return self.manifest.fingerprint

    @property
    def spec(self) -> EnvironmentSpec:
        """The environment as it was described when the data were made; needs no emulator."""
        return self.manifest.environment

    @cached_property
    def transitions(self) -> Transitions:
        """The arrays as tensors over the memory maps; nothing is read until it is used."""
        # torch costs a second to import, and listing and verifying datasets do without it.
        import torch

        from agents.data.transitions import Transitions

        tensors: dict[str, Any] = {name: torch.from_numpy(self.arrays[name]) for name in LEARNER_ARRAYS}
        return Transitions(**tensors, frame_file=self.frame_file)

    @cached_property
    def frame_file(self) -> FrameFile:
        """The file under the frames, which reads ahead where they exceed memory."""
        return FrameFile(self.arrays["frames"])

    def probe_indices(self, n: int = PROBE_TRANSITIONS) -> npt.NDArray[np.int64]:
        """Transitions that probes look at: int64 ``[min(n, T)]``, ascending, fixed by the fingerprint."""
        # Ranks of uniform draws, because numpy keeps the stream of its draws across versions and may change
        # how it permutes.
        draws = generator(0, "probe", self.fingerprint).random(len(self))
        return np.sort(np.argsort(draws, kind="stable")[:n])

    def observations(self, indices: npt.NDArray[np.int64], following: bool = False) -> npt.NDArray[Any]:
        """s of transitions ``indices`` ``[B]``, or s' when ``following``: ``[B, *observation_shape]``."""
        stack = self.spec.frame_stack
        columns = self.arrays["frame_index"][indices]
        columns = columns[:, 1:] if following else columns[:, :stack]
        self.frame_file.read_ahead(columns)
        frames: npt.NDArray[Any] = self.arrays["frames"][columns]
        return frames.reshape(len(indices), *self.spec.observation_shape)

    def sample_batch(
        self, indices: npt.NDArray[np.int64], out: TransitionBatch | None = None
    ) -> TransitionBatch:
        """Transitions ``indices`` int64 ``[B]`` as they are stored: numpy arrays ``[B, ...]``, images uint8.

        ``out``, an earlier result for as many transitions, is filled again instead of new memory. Raises
        IndexError for a number outside the dataset. PyTorch is not needed, nor loaded.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(
                f"transition numbers from {indices.min()} to {indices.max()} were asked for; dataset {self.name!r} "
                f"has 0 to {len(self) - 1}."
            )
        numbers = self.arrays["frame_index"][indices]
        self.frame_file.read_ahead(numbers)
        rows = {"frames": numbers, "action": indices, "reward": indices, "discount": indices}
        if out is None:
            shapes = {name: (*at.shape, *self.arrays[name].shape[1:]) for name, at in rows.items()}
            out = TransitionBatch(**{name: np.empty(shapes[name], self.arrays[name].dtype) for name in rows})
        for target, (name, at) in zip(out, rows.items(), strict=True):
            # Numbers are known to be inside; "raise" would gather into a copy of the target first.
            np.take(self.arrays[name], at, axis=0, out=target, mode="clip")
        return out

    def verify(self) -> None:
        """Read every array; raises DatasetError naming the array whose hash differs from the manifest's."""
        for name, info in self.manifest.arrays.items():
            found = hash_values(self.path / f"{name}.npy")
            if found != info.sha256:
                raise DatasetError(
                    f"{self.path / name}.npy is damaged: its values have SHA-256 {found[:16]}…, "
                    f"{info.sha256[:16]}… is recorded. Restore the file from a copy, or delete {self.path} "
                    "and collect the dataset again."
                )


def verify(path: Path | str) -> None:
    """Check every array of the dataset in ``path`` against its recorded hash; raises DatasetError."""
    Dataset.open(path, verify=True)


def _map_array(path: Path, name: str, manifest: Manifest) -> npt.NDArray[Any]:
    file, info = path / f"{name}.npy", manifest.arrays[name]
    remedy = f"Restore the file from a copy, or delete {path} and collect the dataset again."
    try:
        # Not a pickle: allow_pickle is off, so a crafted file cannot run code.
        array: npt.NDArray[Any] = np.load(file, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise DatasetError(f"{file} is missing from the dataset. {remedy}") from error
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"{file} is damaged or cut short ({error}). {remedy}") from error
    if array.dtype.str != info.dtype or array.shape != info.shape:
        raise DatasetError(
            f"{file} holds {array.dtype.str} of shape {array.shape}, {info.dtype} of shape {info.shape} is "
            f"recorded. {remedy}"
        )
    return array


def _check_shapes(path: Path, manifest: Manifest) -> None:
    spec, total = manifest.environment, manifest.transitions
    action = spec.action_format
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "frame_index": ("<i4", (total, spec.frame_stack + 1)),
        "action": (np.dtype(action.dtype).str, (total, *action.shape)),
        "reward": ("<f4", (total,)),
        "discount": ("<f4", (total,)),
        "episode": ("<i4", (total,)),
        "subset_order": ("<i4", (total,)),
    }
    frame_dtype = np.dtype(spec.observation_dtype).str
    if "frames" in manifest.arrays:
        count = manifest.arrays["frames"].shape[0]
        expected["frames"] = (frame_dtype, (count, *spec.frame_shape))
        for name, extra in spec.extras.items():
            expected[f"extra_{name}"] = (np.dtype(extra.dtype).str, (count, *extra.shape))
    for name in (*expected, "frames"):
        info = manifest.arrays.get(name)
        if info is None:
            raise DatasetError(
                f"{path}: the dataset has no array {name!r}; {spec.env_id} needs {list(expected)}"
            )
        dtype, shape = expected[name]
        if (info.dtype, info.shape) != (dtype, shape):
            raise DatasetError(
                f"{path}: array {name!r} is {info.dtype} of shape {info.shape}; {total} transitions of "
                f"{spec.env_id} need {dtype} of shape {shape}. Collect or import the dataset again."
            )
