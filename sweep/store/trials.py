"""The table of trials: what was planned, as the driver wrote it, and how each trial does, from its pack."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.errors import CorruptSegmentError, StoreError, UsageError
from sweep.store import files, lock
from sweep.store.layout import Layout
from sweep.store.schema import STATUSES, TRIALS, arrow_schema
from sweep.store.standings import Standing, read_side_by_side, standings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gather_seconds", "read_statuses", "read_trials", "seconds_spent", "write_trials"]

_OUTCOME_FIELDS = ("status", "final_step", "diverged_step", "error", "wall_seconds")
_LOOKED_AT = ("trial_id", "pack_id", "attempts", *_OUTCOME_FIELDS)
_ENDED = ("finished", "diverged")


def write_trials(layout: Layout, trials: pd.DataFrame | Mapping[str, Sequence[Any]]) -> None:
    """Replace the table. Only for the owner of the sweep. Raises UsageError for columns that do not fit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    missing = [name for name in ("trial_id", "pack_id", "status") if name not in trials]
    if missing:
        raise UsageError(
            f"trials: column {missing[0]!r} is missing; a row needs trial_id, pack_id and status."
        )
    count = len(trials["trial_id"])
    if len(set(trials["trial_id"])) < count:
        repeated = Counter(trials["trial_id"]).most_common(1)[0][0]
        raise UsageError(f"trials: trial_id {repeated!r} is there twice; give one row a trial.")
    wrong = sorted(set(trials["status"]) - set(STATUSES))
    if wrong:
        raise UsageError(f"trials: status {wrong[0]!r}: it must be one of {', '.join(STATUSES)}.")
    arrays, names = [], []
    for field in arrow_schema("trials"):
        column: Any = trials.get(field.name)
        try:
            if column is None:
                given = layout.name if field.name == "sweep" else None
                arrays.append(pa.array([given] * count, field.type))
            else:
                arrays.append(_arrow(column, field.type))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(f"trials: column {field.name!r}: {error}; it must be {field.type}.") from error
        names.append(field.name)
    for name in map(str, trials):
        if name not in names:  # a hyperparameter of a version to come
            arrays.append(pa.array(list(trials[name]), from_pandas=True))
            names.append(name)
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=names), sink, compression="zstd", write_page_checksum=True)
    files.make_folder(layout.trials.parent)
    files.replace(layout.trials, sink.getvalue())


def read_trials(
    layout: Layout, columns: Collection[str] | None = None, packs: Mapping[str, Standing] | None = None
) -> pd.DataFrame:
    """The table, or some of its columns, with status, steps, errors and attempts as they are now.

    `packs` are the standings, where they are known already.

    `spaces` holds lists of str and `hidden_sizes` tuples of int, which can be grouped by. What the table says of
    trials that are done is taken from it; only packs that finished since it was written are looked into.
    """
    import pandas as pd

    found = _read(layout, columns)
    if found is None:
        return _typed(pd.DataFrame({name: [] for name in (TRIALS if columns is None else columns)}))
    now = _now(layout, found, standings(layout) if packs is None else packs)
    names = found.column_names if columns is None else list(columns)
    return _typed(pd.DataFrame({name: now.get(name, _values(found, name)) for name in names}))


def read_statuses(
    layout: Layout, packs: Mapping[str, Standing] | None = None
) -> tuple[list[list[str]], list[str]]:
    """Each trial's spaces and its status as it is now: of `read_trials`, without loading pandas."""
    found = _read(layout, ["spaces"])
    if found is None:
        return [], []
    now = _now(layout, found, standings(layout) if packs is None else packs)
    return [spaces or [] for spaces in found.column("spaces").to_pylist()], now["status"]


def seconds_spent(layout: Layout, packs: Mapping[str, Standing] | None = None) -> dict[str, dict[str, float]]:
    """What each pack that is done spent its time on; `packs` are the standings where they are known already."""
    try:
        known: dict[str, dict[str, float]] = files.read_json(layout.pack_seconds)
    except (FileNotFoundError, CorruptSegmentError):  # it can be made again
        known = {}
    packs = standings(layout) if packs is None else packs
    done = [pack_id for pack_id, standing in packs.items() if standing.done]
    news = [pack_id for pack_id in done if pack_id not in known]
    results = read_side_by_side([layout.pack(pack_id) / "result.json" for pack_id in news])
    fresh = {
        pack_id: (result or {}).get("seconds", {}) for pack_id, result in zip(news, results, strict=True)
    }
    return {pack_id: known.get(pack_id, fresh.get(pack_id, {})) for pack_id in done}


def gather_seconds(layout: Layout) -> None:
    """Write down what `seconds_spent` found, so that it need not open those results again. For the sweep's owner."""
    files.make_folder(layout.pack_seconds.parent)
    files.replace_json(layout.pack_seconds, seconds_spent(layout))


def _read(layout: Layout, columns: Collection[str] | None) -> Any:
    """The table as it was written (`pyarrow.Table`), None before that; with the columns that `_now` looks at."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = None if columns is None else [*dict.fromkeys([*columns, *_LOOKED_AT])]
    try:
        data = files.read_bytes(layout.trials)
    except FileNotFoundError:
        return None
    try:
        # Not read_table, which loads pyarrow's datasets, and these pandas: half a second for who asks for a status.
        return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(wanted)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{layout.trials}: damaged ({error}); run the sweep again, which writes it anew from the plan."
        ) from error


def _now(layout: Layout, found: Any, known: Mapping[str, Standing]) -> dict[str, list[Any]]:
    """The columns that the packs know better than the plan."""
    table: dict[str, list[Any]] = {name: found.column(name).to_pylist() for name in _LOOKED_AT}
    rows: dict[str, list[int]] = {}
    for row, pack_id in enumerate(table["pack_id"]):
        rows.setdefault(pack_id, []).append(row)
    packs = {pack_id: one for pack_id, one in known.items() if pack_id in rows}
    ended = {
        pack_id
        for pack_id, one in packs.items()
        if one.done
        and all(
            table["status"][row] in _ENDED and table["attempts"][row] == len(one.attempts)
            for row in rows[pack_id]
        )
    }
    news = _read_news(layout, {pack_id: one for pack_id, one in packs.items() if pack_id not in ended})
    running = lock.owner(layout.lock) is not None
    for pack_id, one in packs.items():
        told = news.get(pack_id)
        for row in rows[pack_id]:
            table["attempts"][row] = len(one.attempts)
            if pack_id in ended:
                continue
            if one.done and told:
                outcome = told["trials"].get(table["trial_id"][row], {})
                for name in _OUTCOME_FIELDS:
                    if outcome.get(name) is not None:
                        table[name][row] = outcome[name]
            elif one.failed and told:
                table["status"][row], table["error"][row] = "failed", str(told["reason"])
            elif one.attempts:
                # Attempts without an owner of the sweep are those of a driver that was killed: to be gone on with.
                table["status"][row], table["error"][row] = "running" if running else "planned", None
    return table


def _read_news(layout: Layout, packs: Mapping[str, Standing]) -> dict[str, Any]:
    """What is said of the packs that are done or stand still: their result, or the newest failure."""
    paths = {
        pack_id: layout.pack(pack_id) / ("result.json" if one.done else one.failures[max(one.failures)])
        for pack_id, one in packs.items()
        if one.done or one.failed
    }
    return dict(zip(paths, read_side_by_side(list(paths.values())), strict=True))


def _values(table: Any, name: str) -> Any:
    """A column for a DataFrame: missing integers as a nullable type, lists as they are."""
    import pandas as pd
    import pyarrow as pa

    column = table.column(name)
    if pa.types.is_integer(column.type) and column.null_count:
        return column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if pa.types.is_list(column.type):
        return column.to_pylist()
    return column.to_pandas()


def _typed(trials: pd.DataFrame) -> pd.DataFrame:
    """Integer columns as nullable integers where values are missing, not as floats."""
    import pandas as pd

    for name, kind in TRIALS.items():
        if name not in trials.columns:
            continue
        if kind == "int64":
            trials[name] = trials[name].astype("Int64" if trials[name].isna().any() else "int64")
        elif kind == "double":
            trials[name] = trials[name].astype("float64")
        elif kind == "string":
            trials[name] = trials[name].astype("str" if not len(trials) else trials[name].dtype)
    if "hidden_sizes" in trials.columns:
        sizes = [None if v is None else tuple(v) for v in trials["hidden_sizes"]]
        trials["hidden_sizes"] = pd.Series(sizes, trials.index, dtype=object)
    return trials


def _arrow(column: Any, kind: Any) -> Any:
    """A column as an array of that type; None, NaN and NA are null. Raises what pyarrow raises for other types."""
    import numpy as np
    import pyarrow as pa

    dtype = getattr(column, "dtype", None)
    numeric = isinstance(dtype, np.dtype) and dtype.kind in "if"
    if numeric and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return pa.array(column.to_numpy(), from_pandas=True).cast(kind)
    values = column if dtype is None else column.tolist()
    if pa.types.is_integer(kind):
        # By way of what they are: an array of that type at once would cut 0.5 down to 0.
        return pa.array(values, from_pandas=True).cast(kind)
    return pa.array(values, kind, from_pandas=True)
