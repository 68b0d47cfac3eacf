"""What the mirror reads of a sweep's store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sweep.mirror.series import Column, milliseconds
from sweep.store import MEASURES, Store, SweepStore, TailBatch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


class TrialRows(NamedTuple):
    """The rows of one trial in a table, steps ascending and each once."""

    trial_id: str
    steps: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    """Milliseconds since the epoch."""
    measures: Mapping[str, Column]


class Source:
    """The trials and committed rows of one sweep."""

    def __init__(self, root: str | Path, name: str, *, skip_corrupt: bool = False) -> None:
        self._sweep: SweepStore = Store(root).sweep(name)
        self.name = name
        self.skip_corrupt = skip_corrupt
        self.root: Path = self._sweep.layout.root.resolve()
        self.folder: Path = self._sweep.layout.folder

    def record(self) -> dict[str, Any]:
        """The sweep's record: provenance and the study's text."""
        return self._sweep.sweep_record() or {}

    def trials(self) -> list[dict[str, Any]]:
        """Every planned trial with its status now, as plain values, None where there is none."""
        rows = self._sweep.trials().to_dict("records")
        return [{str(name): _plain(value) for name, value in row.items()} for row in rows]

    def new_batches(self, cursors: Mapping[str, tuple[int, int]]) -> Iterator[TailBatch]:
        """What was committed after `cursors`, pack by pack, oldest first."""
        return self._sweep.tail(cursors, skip_corrupt=self.skip_corrupt)

    def rows_of(self, trial_ids: Sequence[str]) -> Iterator[TrialRows]:
        """Every committed row of some trials."""
        table, _ = self._sweep.table(
            filters=[("trial_id", "in", list(trial_ids))], skip_corrupt=self.skip_corrupt
        )
        yield from by_trial(table)


def by_trial(table: pa.Table) -> Iterator[TrialRows]:
    """The rows of a table of metrics, trial by trial.

    Two rows of one step are attempts at the same computation; the newest attempt's row is taken.
    """
    import numpy as np
    import pyarrow as pa

    if not table.num_rows:
        return
    ids = table.column("trial_id").combine_chunks()
    if not pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_encode()
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.unify_dictionaries().combine_chunks()
    names = ids.dictionary.to_pylist()
    codes = ids.indices.to_numpy()
    steps = table.column("step").to_numpy()
    attempts = table.column("attempt").to_numpy()
    order = np.lexsort((attempts, steps, codes))
    codes, steps = codes[order], steps[order]
    superseded = (codes[:-1] == codes[1:]) & (steps[:-1] == steps[1:])
    newest = np.append(~superseded, True)
    order, codes, steps = order[newest], codes[newest], steps[newest]
    timestamps = milliseconds(table.column("wall_time").to_numpy()[order])
    measures = {}
    for key in MEASURES:
        if key not in table.column_names:
            continue
        values = table.column(key)
        measures[key] = Column(
            # Null and NaN are different things: not measured, and measured to be no number.
            values.to_numpy().astype(np.float64, copy=False)[order],
            values.is_valid().to_numpy()[order],
        )
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        rows = slice(int(start), int(end))
        yield TrialRows(
            names[codes[start]],
            steps[rows],
            timestamps[rows],
            {key: Column(values[rows], measured[rows]) for key, (values, measured) in measures.items()},
        )


def _plain(value: Any) -> Any:
    """A cell as a plain Python value, None where it is missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        return None
    return value
