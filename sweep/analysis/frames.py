"""What the analysis asks of its inputs: which columns are measures, which make a configuration."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from search_spaces.trial import TrialConfig
from sweep.errors import UsageError

# Columns of a metrics table that locate a row and measure nothing.
_ROW_COLUMNS = frozenset({"trial_id", "step", "attempt", "wall_time"})

# `dataset` is a name: two names may hold one dataset, so a configuration goes by fingerprint where it is
# known.
CONFIGURATION_FIELDS: tuple[str, ...] = tuple(field for field in TrialConfig.model_fields if field != "seed")


FOREIGN_FIELD: Final = "config."
"""Columns that begin so are hyperparameters too: those of trials that something else than `sweep run` trained."""


class AnalysisError(UsageError):
    """An analysis was asked of tables that cannot carry it; says which column and what it needs."""


def require_columns(frame: pd.DataFrame, columns: Iterable[str], table: str) -> None:
    """Raise `AnalysisError` naming every column that ``frame`` lacks."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise AnalysisError(
            f"the {table} table has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(str, frame.columns))}. Name a column that it has, or add the missing one."
        )


def measure_columns(metrics: pd.DataFrame) -> list[str]:
    """The columns of ``metrics`` that hold a measure: numeric, and not part of a row's place."""
    return [
        str(column)
        for column in metrics.columns
        if column not in _ROW_COLUMNS and pd.api.types.is_numeric_dtype(metrics[column])
    ]


def places_among(ids: pd.Index, column: pd.Series) -> npt.NDArray[np.intp]:
    """Where each cell of ``column``, such as trial_id, stands among ``ids``, ``[T]``; -1 where it does not.

    Of a categorical only the categories are looked up.
    """
    found: npt.NDArray[np.intp]
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = np.append(ids.get_indexer(column.cat.categories.astype(object)), -1)
        return found[column.cat.codes]
    found = ids.get_indexer(pd.Index(column.astype(object)))
    return found


def configuration_codes(trials: pd.DataFrame) -> npt.NDArray[np.int64]:
    """A number for each trial's configuration, the seed left out, ``[T]`` int64.

    Trials of one configuration differ in their seed alone. They are repetitions of one draw from the space,
    so the configuration, not the trial, is the unit of replication in everything that follows.
    """
    columns = configuration_fields(trials)
    if "dataset_fingerprint" in trials.columns and trials["dataset_fingerprint"].notna().all():
        columns = ["dataset_fingerprint", *(column for column in columns if column != "dataset")]
    if not columns:
        raise AnalysisError(
            "the trials table has no configuration column; it needs at least one of "
            f"{', '.join(CONFIGURATION_FIELDS)}, or a column that begins with {FOREIGN_FIELD!r}, "
            "to tell repetitions from new draws."
        )
    # Numbered by content, not by first appearance: the bootstrap's draws must not depend on the rows' order.
    keys = np.full(len(trials), "", dtype=object)
    for column in columns:
        texts, number = contents(trials[column])
        if number > 1:  # what is the same everywhere tells nothing apart and changes no order
            keys = keys + texts + "\x1f"
    return np.unique(keys.astype(str), return_inverse=True)[1].astype(np.int64)


def by_space(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and space it belongs to, by `space_order`: ``space``, a name, takes the place of ``spaces``."""
    require_columns(trials, ("trial_id", "spaces"), "trials")
    exploded = trials.explode("spaces", ignore_index=True).rename(columns={"spaces": "space"})
    exploded = exploded[exploded["space"].notna()]
    ranks = {space: rank for rank, space in enumerate(space_order(trials))}
    order = exploded["space"].map(ranks).argsort(kind="stable")
    return exploded.iloc[order].reset_index(drop=True)


def space_order(trials: pd.DataFrame) -> list[str]:
    """Names of the spaces: `narrow` and `broad` first when they exist, then as the trials bring them."""
    seen: dict[str, None] = {}
    for spaces in trials["spaces"]:
        if spaces is not None and not isinstance(spaces, float):
            seen.update(dict.fromkeys(map(str, spaces)))
    first = [space for space in ("narrow", "broad") if space in seen]
    return first + [space for space in seen if space not in first]


def configuration_fields(trials: pd.DataFrame) -> list[str]:
    """The columns of ``trials`` that are hyperparameters: fields of a trial, the seed aside, then foreign ones."""
    foreign = [str(column) for column in trials.columns if str(column).startswith(FOREIGN_FIELD)]
    return [field for field in CONFIGURATION_FIELDS if field in trials.columns] + foreign


def varying(trials: pd.DataFrame, fields: Sequence[str] | None = None) -> list[str]:
    """Those of ``fields`` (all hyperparameters) that take more than one value among ``trials``."""
    wanted = configuration_fields(trials) if fields is None else [f for f in fields if f in trials.columns]
    return [f for f in wanted if contents(trials[f])[1] > 1]


def contents(column: pd.Series) -> tuple[npt.NDArray[np.object_], int]:
    """`content` of each cell, ``[T]`` of str, and how many different ones there are."""
    texts = in_words(column, content)
    return texts, len(set(texts))


def in_words(column: pd.Series, words: Callable[[object], str]) -> npt.NDArray[np.object_]:
    """``words`` of each cell, ``[T]`` of str, asked once for each distinct value, and of None for nulls."""
    cells: Any = column
    if column.dtype == object and pd.api.types.infer_dtype(column) not in ("string", "boolean", "empty"):
        cells = column.to_numpy()
        if not all(type(cell) is tuple for cell in cells):
            # Lists cannot be told apart by hash, and 1, 1.0 and True have one hash and three texts.
            return np.array([words(cell) for cell in cells], dtype=object)
    codes, distinct = pd.factorize(cells)
    # A null has code -1, which is the last place.
    return np.array([*map(words, distinct), words(None)], dtype=object)[codes]


def content(value: object) -> str:
    """A cell as text that is equal where the cells are: ``64x64`` for layer sizes, "" for a null."""
    if isinstance(value, str):  # most are, and asking pandas of each takes long
        return str(value)
    if isinstance(value, np.ndarray | list | tuple):
        return "x".join(str(part) for part in value)
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]
