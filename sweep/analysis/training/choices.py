"""What a hyperparameter offers to choose from, in the trials of one sample."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.frames import content, require_columns, varying

CONFIGURATION: Final = "configuration"
"""Stands for whole configurations, everything but the seed."""


@dataclass(frozen=True)
class Choices:
    """Values of a hyperparameter, ascending, and which of them each trial has, ``code`` ``[T]`` int64."""

    values: tuple[Any, ...]
    labels: tuple[str, ...]
    code: npt.NDArray[np.int64]
    unlike: tuple[str, ...]
    """Other hyperparameters that do not take the same levels at every value, so that values are not alike but for
    themselves."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def kind(self) -> str:
        """Whether the design set the values apart from all else: "randomised", else "associational"."""
        return "associational" if self.unlike else "randomised"


def choices(included: pd.DataFrame, of: str) -> Choices:
    """The values of ``of`` (a column of trials, or `CONFIGURATION`) among trials with the columns of `classify`.

    A configuration goes by the hyperparameters that vary. Raises `AnalysisError` for a column that is not there.
    """
    if of == CONFIGURATION:
        fields = varying(included)
        names = included[fields].apply(lambda column: column.map(lambda v: f"{column.name}={_short(v)}"))
        label = names.agg(", ".join, axis=1) if fields else pd.Series("the only one", included.index)
        numbers = pd.factorize(included["configuration"], sort=True)[0].astype(np.int64)
        first = label.groupby(numbers).first()
        return Choices(tuple(first), tuple(first), numbers, ())
    require_columns(included, (of,), "trials")
    cells: dict[str, Hashable] = {content(value): value for value in included[of]}
    ordered = sorted(cells, key=lambda text: (_number(cells[text]), text))
    place = {text: i for i, text in enumerate(ordered)}
    code = np.array([place[text] for text in included[of].map(content)], dtype=np.int64)
    others = [field for field in varying(included) if field != of]
    unlike = [field for field in others if _levels_differ(included[field], code)]
    return Choices(
        tuple(cells[text] for text in ordered),
        tuple(_short(cells[text]) for text in ordered),
        code,
        tuple(unlike),
    )


def _levels_differ(column: pd.Series, code: npt.NDArray[np.int64]) -> bool:
    return len(set(column.map(content).groupby(code).agg(frozenset))) > 1


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.number) else np.inf


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else content(value)
