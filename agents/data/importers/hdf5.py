"""HDF5 files: opened, and their arrays found, with errors that name the file and the key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.errors import DatasetError

if TYPE_CHECKING:
    import h5py

__all__ = ["array_at", "open_hdf5", "read_rows"]


@contextmanager
def open_hdf5(path: Path, name: str) -> Iterator[h5py.File]:
    """The file ``path``, which messages call ``name``. Raises DatasetError where it is cut short or no HDF5."""
    # Slow to import, and the other formats do without it.
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(
            f"{name} cannot be opened as HDF5 ({error}). Its {path.stat().st_size:,} bytes are cut short or "
            "not HDF5: fetch the file again."
        ) from error
    with file:
        yield file


def array_at(group: h5py.Group, key: str, name: str) -> h5py.Dataset:
    """The array ``key`` of ``group``. Raises DatasetError naming the key and those that are there."""
    import h5py

    try:
        found = group.get(key)
    except (KeyError, OSError, RuntimeError) as error:
        raise DatasetError(f"{name}: key {key!r} is damaged ({error}). Fetch the file again.") from error
    if not isinstance(found, h5py.Dataset):
        raise DatasetError(
            f"{name}: {group.name} has no array {key!r}, only {', '.join(sorted(group)) or 'nothing'}. Is the "
            "file whole, and of this format?"
        )
    return found


def read_rows(array: h5py.Dataset, start: int, stop: int, name: str) -> npt.NDArray[Any]:
    """Rows ``start`` to ``stop`` of ``array``. Raises DatasetError where the file is damaged there."""
    try:
        return np.asarray(array[start:stop])
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{name}: key {array.name.lstrip('/')!r} is damaged in rows {start:,} to {stop:,} ({error}). Fetch "
            "the file again."
        ) from error
