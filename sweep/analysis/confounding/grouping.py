"""Trials in groups of one hyperparameter: the strata within which an association is looked at again."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.frames import content, varying

MOST_LEVELS: Final = 12
"""A number that takes more values than this was drawn from a range: it is cut into bins."""
_BINS: Final = 5
# Fewer configurations than this cannot fill five bins with five each.
_ENOUGH_FOR_BINS: Final = 25
_FEW_BINS: Final = 3
_FEWEST_DRAWN: Final = 6
_OF_AN_ENVIRONMENT: Final = ("env", "dataset")


@dataclass(frozen=True)
class Grouping:
    """Trials by the value of ``name``, or by quantile bins of it."""

    name: str
    codes: npt.NDArray[np.int64]
    """``[T]``, from 0."""
    labels: tuple[str, ...]
    """Of each code."""
    bins: int | None = None
    """Quantile bins, each with about as many configurations; None where every value is a group."""
    together: tuple[str, ...] = ()
    """Other hyperparameters that change exactly where this one does, and so have the same groups."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Trials in each group."""
        return np.bincount(self.codes, minlength=len(self.labels)).astype(np.int64)


def groupings(trials: pd.DataFrame, names: Sequence[str] | None = None) -> list[Grouping]:
    """One for each of ``names`` (all hyperparameters, the environment included) that varies among ``trials``.

    ``trials`` has ``configuration``. Of hyperparameters that change together the first stands for all, unless they
    were named. A number that was drawn from a range is cut at quantiles of its configurations, into five bins, or three
    below 25 configurations: one of more than `MOST_LEVELS` values, or of nearly as many as there are configurations
    while other hyperparameters vary too. (Alone, as in a sweep of learning rates, each value is a group of seeds.)
    """
    found: list[Grouping] = []
    whole = {name: grouping_of(trials, name) for name in varying(trials)}
    for name in varying(trials, names):
        grouping = whole.get(name) or grouping_of(trials, name)
        if _drawn(grouping, trials, [g for g in whole.values() if g.name not in _OF_AN_ENVIRONMENT]):
            grouping = _binned(name, trials[name].astype(float), trials["configuration"])
        twin = next((i for i, other in enumerate(found) if _same(other.codes, grouping.codes)), None)
        if twin is None or names is not None:
            found.append(grouping)
        else:
            known = found[twin]
            together = (*known.together, name)
            found[twin] = Grouping(known.name, known.codes, known.labels, known.bins, together)
    return found


def grouping_of(trials: pd.DataFrame, name: str) -> Grouping:
    """The groups of one hyperparameter: see `groupings`."""
    column = trials[name]
    if is_number(column) and column.nunique() > MOST_LEVELS:
        return _binned(name, column.astype(float), trials["configuration"])
    if is_number(column):
        values, codes = np.unique(column.to_numpy(float), return_inverse=True)
        return Grouping(name, codes.astype(np.int64), tuple(f"{value:g}" for value in values))
    labels, codes = np.unique(column.map(content).to_numpy(str), return_inverse=True)
    return Grouping(name, codes.astype(np.int64), tuple(label or "none" for label in labels))


def is_number(column: pd.Series) -> bool:
    """Whether a hyperparameter is a number in every trial; flags and what is off (null) in some are not."""
    return bool(
        pd.api.types.is_numeric_dtype(column)
        and not pd.api.types.is_bool_dtype(column)
        and column.notna().all()
    )


def _drawn(grouping: Grouping, trials: pd.DataFrame, all_of_them: Sequence[Grouping]) -> bool:
    levels = len(grouping.labels)
    if grouping.bins is not None or not is_number(trials[grouping.name]) or levels < _FEWEST_DRAWN:
        return False
    crowded = levels > trials["configuration"].nunique() / 2
    return crowded and any(not _same(other.codes, grouping.codes) for other in all_of_them)


def _binned(name: str, column: pd.Series, configuration: pd.Series) -> Grouping:
    per_configuration = column.groupby(configuration.to_numpy()).first()
    bins = _BINS if len(per_configuration) >= _ENOUGH_FOR_BINS else _FEW_BINS
    edges = np.unique(np.quantile(per_configuration, np.linspace(0, 1, bins + 1)))
    codes = np.clip(np.searchsorted(edges, column.to_numpy(), side="right") - 1, 0, len(edges) - 2)
    labels = tuple(f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges))
    return Grouping(name, codes.astype(np.int64), labels, bins)


def _same(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return bool(pairs == a.max() + 1 == b.max() + 1)
