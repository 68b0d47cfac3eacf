"""The table of trials: what was planned, as the driver wrote it, and how each trial does, from its pack."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from sweep.errors import StoreError, UsageError
from sweep.store import files, lock
from sweep.store.layout import Layout
from sweep.store.packs import Packs
from sweep.store.schema import STATUSES, TRIALS, arrow_schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_trials", "write_trials"]

_OUTCOME_FIELDS = ("status", "final_step", "diverged_step", "error", "wall_seconds")


def write_trials(layout: Layout, trials: pd.DataFrame) -> None:
    """Replace the table. Only for the owner of the sweep. Raises UsageError for columns that do not fit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    missing = [name for name in ("trial_id", "pack_id", "status") if name not in trials.columns]
    if missing:
        raise UsageError(
            f"trials: column {missing[0]!r} is missing; a row needs trial_id, pack_id and status."
        )
    repeated = trials["trial_id"][trials["trial_id"].duplicated()]
    if len(repeated):
        raise UsageError(f"trials: trial_id {repeated.iloc[0]!r} is there twice; give one row a trial.")
    wrong = sorted(set(trials["status"]) - set(STATUSES))
    if wrong:
        raise UsageError(f"trials: status {wrong[0]!r}: it must be one of {', '.join(STATUSES)}.")
    arrays, names = [], []
    for field in arrow_schema("trials"):
        values = _plain(trials[field.name]) if field.name in trials.columns else [None] * len(trials)
        if field.name == "sweep" and "sweep" not in trials.columns:
            values = [layout.name] * len(trials)
        try:
            # Integers by way of what they are: pa.array alone would cut 0.5 down to 0.
            whole = pa.types.is_integer(field.type)
            arrays.append(pa.array(values).cast(field.type) if whole else pa.array(values, field.type))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(f"trials: column {field.name!r}: {error}; it must be {field.type}.") from error
        names.append(field.name)
    for name in trials.columns:
        if name not in names:  # a hyperparameter of a version to come
            arrays.append(pa.array(_plain(trials[name])))
            names.append(str(name))
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=names), sink, compression="zstd", write_page_checksum=True)
    files.make_folder(layout.trials.parent)
    files.replace(layout.trials, sink.getvalue())


def read_trials(layout: Layout) -> pd.DataFrame:
    """The table, with status, steps, errors and attempts as they are now.

    `spaces` holds lists of str and `hidden_sizes` tuples of int, which can be grouped by.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = files.read_bytes(layout.trials)
    except FileNotFoundError:
        return _typed(pd.DataFrame({name: [] for name in TRIALS}))
    try:
        columns = pq.read_table(pa.BufferReader(data), page_checksum_verification=True).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{layout.trials}: damaged ({error}); run the sweep again, which writes it anew from the plan."
        ) from error
    packs = Packs(layout)
    states = {pack_id: _pack_state(packs, pack_id) for pack_id in packs.known()}
    running = lock.owner(layout.lock) is not None
    for row, (trial_id, pack_id) in enumerate(zip(columns["trial_id"], columns["pack_id"], strict=True)):
        state = states.get(pack_id)
        now = {} if state is None else _now(trial_id, state, running)
        for name in now.keys() & columns.keys():
            columns[name][row] = now[name]
    return _typed(pd.DataFrame(columns))


def _pack_state(packs: Packs, pack_id: str) -> dict[str, Any]:
    numbers = packs.attempt_numbers(pack_id)
    result = packs.result(pack_id)
    return {
        "attempts": len(numbers),
        "result": result,
        "failure": None if result else packs.failure(pack_id),
    }


def _now(trial_id: str, state: dict[str, Any], running: bool) -> dict[str, Any]:
    """The fields of a trial's row that its pack knows better than the plan."""
    found: dict[str, Any] = {"attempts": state["attempts"]}
    if state["result"]:
        outcome = state["result"]["trials"].get(trial_id, {})
        found.update({name: outcome[name] for name in _OUTCOME_FIELDS if outcome.get(name) is not None})
    elif state["failure"]:
        found.update(status="failed", error=str(state["failure"]["reason"]))
    elif state["attempts"]:
        # Attempts without an owner of the sweep are those of a driver that was killed: to be gone on with.
        found.update(status="running" if running else "planned", error=None)
    return found


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


def _plain(column: pd.Series[Any]) -> list[Any]:
    """Python values with None for what is missing, lists and tuples as they are."""
    return [
        value if isinstance(value, (list, tuple)) else None if _missing(value) else value
        for value in column.tolist()
    ]


def _missing(value: Any) -> bool:
    # NA is neither equal nor unequal to itself, NaN is unequal.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
