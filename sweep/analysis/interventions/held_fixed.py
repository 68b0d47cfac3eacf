"""Hyperparameters as columns of a regression, to be held fixed while something else varies."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.frames import FOREIGN_FIELD, AnalysisError, configuration_fields
from sweep.analysis.interventions.factorial import levels
from sweep.analysis.samples import Sample

LOG_SCALE: Final = ("learning_rate", f"{FOREIGN_FIELD}learning_rate", f"{FOREIGN_FIELD}lr")
"""Hyperparameters that enter as their decimal logarithm: an effect is then per factor of ten."""

# They may take so many coefficients of the configurations.
_MOST: Final = 1 / 3


def scaled(name: str, values: Floats) -> tuple[Floats, str]:
    """A hyperparameter's ``values`` as they enter a regression, and which scale that is: log10 for `LOG_SCALE`."""
    return (np.log10(values), "log10") if name in LOG_SCALE and (values > 0).all() else (values, "linear")


def held_fixed(
    sample: Sample, names: Sequence[str] | None, besides: Sequence[str]
) -> tuple[Floats, list[str], list[str]]:
    """Columns ``[T, C]`` for hyperparameters ``names`` (None: all that vary), those in them, and those left out.

    A column for each level but one; a number of more levels than there is room for is a column of its own, on its
    scale. ``besides`` are not held fixed. Raises `AnalysisError` for a name that is no column.
    """
    trials = sample.included
    fields = configuration_fields(trials) if names is None else list(names)
    missing = [name for name in fields if name not in trials.columns]
    if missing:
        raise AnalysisError(
            f"adjust={missing[0]}: the trials table has no such column; name hyperparameters, such as activation."
        )
    taken: list[str] = []
    left_out: list[str] = []
    columns = np.empty((len(trials), 0))
    for name in fields:
        words = levels(trials[name])
        found = sorted(set(words))
        if name in besides or len(found) < 2:
            continue
        room = _MOST * sample.clusters - columns.shape[1]
        number = pd.api.types.is_numeric_dtype(trials[name]) and trials[name].notna().all()
        if len(found) - 1 <= room:
            own = (words.to_numpy()[:, None] == np.array(found[1:], dtype=object)).astype(float)
        elif number and room >= 1:
            own = scaled(name, trials[name].to_numpy(float))[0][:, None]
        else:
            left_out.append(name)
            continue
        both = np.column_stack([np.ones(len(trials)), columns, own])
        # What follows from others, as a setting from its switch, adds nothing.
        if np.linalg.matrix_rank(both) > 1 + columns.shape[1]:
            taken.append(name)
            columns = both[:, 1:]
    return columns, taken, left_out
