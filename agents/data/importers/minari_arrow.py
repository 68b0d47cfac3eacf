"""An episode in Minari's Arrow or Parquet layout: the only place of this package that reads Arrow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ArrowEpisode"]


class ArrowEpisode:
    """The files of one episode, read whole. Raises ValueError where they are cut short or damaged.

    Every column has a row an observation; the last row of all but the observations is filler.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        # Only this format needs it.
        import pyarrow

        try:
            self._table = pyarrow.concat_tables([_table(path) for path in files]).combine_chunks()
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"is cut short or damaged ({error})") from error

    def array(self, path: Sequence[str | int], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The column that ``path`` leads to, ``[T + 1, *shape]``. Raises KeyError naming a key that is missing."""
        import pyarrow

        column = self._column(path)
        try:
            if pyarrow.types.is_fixed_size_list(column.type):
                return np.asarray(column.flatten()).reshape(len(column), *shape)
            return np.asarray(column.to_numpy(zero_copy_only=False))
        except (pyarrow.ArrowException, ValueError) as error:
            raise ValueError(f"{'/'.join(map(str, path))} does not hold rows of shape {shape}") from error

    def pictures(self, path: Sequence[str | int]) -> list[io.BytesIO]:
        """The pictures of a column as encoded files."""
        return [io.BytesIO(one.as_py()) for one in self._column(path)]

    def _column(self, path: Sequence[str | int]) -> pyarrow.Array:
        name = str(path[0])
        if name not in self._table.column_names:
            raise KeyError(name)
        found = self._table.column(name).combine_chunks()
        for step, key in enumerate(path[1:], start=2):
            names = [field.name for field in found.type] if hasattr(found, "field") else []
            if str(key) not in names:
                raise KeyError("/".join(map(str, path[:step])))
            found = found.field(str(key))
        return found


def _table(path: Path) -> pyarrow.Table:
    import pyarrow

    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path)
    with pyarrow.OSFile(str(path)) as file:
        return pyarrow.ipc.open_file(file).read_all()
