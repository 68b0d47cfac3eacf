"""Hyperparameters as columns of a regression: what an association is adjusted for.

A name, a flag and a number of up to `MOST_AS_LEVELS` values are levels, one column each. A number of more values is a
cubic spline with a knot at its median, of its logarithm where it spans a factor of 10; where that would take a
coefficient for more than half of the configurations, a line and a square; where that still does, a line. Seeds that
most configurations share are a block: one column each.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from scipy.interpolate import BSpline

from sweep.analysis.association import Floats
from sweep.analysis.confounding.clustered_slope import independent
from sweep.analysis.confounding.grouping import Grouping, grouping_of, groupings, is_number

MOST_AS_LEVELS: Final = 6
MOST_COEFFICIENTS: Final = 1 / 2
"""Of the configurations: the others are left to tell the error from."""
_MOST_COLUMNS: Final = 2000

Form = Literal["spline", "square", "line"]
_FORMS: Final[tuple[Form, ...]] = ("spline", "square", "line")
_WORDS: Final[Mapping[Form, str]] = {"spline": "a spline", "square": "a line and a square", "line": "a line"}


@dataclass(frozen=True)
class Covariates:
    """Columns by hyperparameter, ``blocks`` of ``[T, K]``; ``words`` on how each enters."""

    blocks: Mapping[str, Floats]
    words: Mapping[str, str]
    seeds: Floats
    """``[T, S]`` one-hot, or ``[T, 0]`` where seeds are not crossed with configurations."""
    configurations: int

    @property
    def constant(self) -> Floats:
        """``[T, 1]`` of ones."""
        return np.ones((len(self.seeds), 1))

    def main(self, *, without: str | None = None, seeds: bool = True) -> Floats:
        """The constant and all hyperparameters, ``without`` one, and the seeds: ``[T, P]``, maybe redundant."""
        kept = [block for name, block in self.blocks.items() if name != without]
        return np.hstack([self.constant, *kept, *([self.seeds] if seeds else [])])

    def with_interactions(self) -> Floats | str:
        """`main` and the products of every two hyperparameters' columns, or why there are too many.

        They join where all together have a coefficient for at most half of the configurations.
        """
        pairs = list(itertools.combinations(self.blocks.values(), 2))
        if not pairs:
            return "refused: one hyperparameter varies, which has nothing to interact with"
        columns = sum(a.shape[1] * b.shape[1] for a, b in pairs)
        most = int(MOST_COEFFICIENTS * self.configurations)
        # Counted before they are made: ten hyperparameters of many levels would be a very large matrix.
        rank = columns if columns > _MOST_COLUMNS else None
        if rank is None:
            products = [(a[:, :, None] * b[:, None, :]).reshape(len(a), -1) for a, b in pairs]
            all_of_them = np.hstack([self.main(seeds=False), *products])
            rank = independent(all_of_them).shape[1]
            if rank <= most:
                return np.hstack([all_of_them, self.seeds])
        return (
            f"refused: with two-factor interactions {rank} coefficients, more than half of the "
            f"{self.configurations} configurations"
        )


def covariates(
    frame: pd.DataFrame, found: Sequence[Grouping] | None = None, *, most: float = MOST_COEFFICIENTS
) -> Covariates:
    """The hyperparameters that vary among trials ``frame``, which has ``configuration``.

    In the richest form that takes at most ``most`` coefficients a configuration, else as lines. ``found``: their
    `groupings`, where they are there already.
    """
    found = groupings(frame) if found is None else found
    clusters = int(frame["configuration"].nunique())
    chosen = Covariates({}, {}, _seed_block(frame), clusters)
    for form in _FORMS:
        blocks, words = {}, {}
        for grouping in found:
            blocks[grouping.name], words[grouping.name] = _columns(frame, grouping, form)
        chosen = Covariates(blocks, words, chosen.seeds, clusters)
        rank = independent(chosen.main(seeds=False)).shape[1]
        if rank <= most * clusters:
            break
    return chosen


def _columns(frame: pd.DataFrame, grouping: Grouping, form: Form) -> tuple[Floats, str]:
    column = frame[grouping.name]
    values = column.nunique() if is_number(column) else 0
    many = values > MOST_AS_LEVELS
    # A few values of a number are levels as long as there is room for them.
    if not is_number(column) or (not many and (form == "spline" or values <= 2)):
        whole = grouping_of(frame, grouping.name)
        levels = whole.codes[:, None] == np.arange(1, len(whole.labels))
        return levels.astype(np.float64), f"{len(whole.labels)} levels"
    x = _scaled(column.to_numpy(float))
    if form == "spline":
        return _spline(x), _WORDS[form]
    powers = np.column_stack([x, x * x]) if form == "square" else x[:, None]
    return powers, _WORDS[form]


def _scaled(values: Floats) -> Floats:
    """Of mean 0 and variance 1, on a logarithmic scale where a positive number spans a factor of 10."""
    if values.min() > 0 and values.max() / values.min() >= 10:
        values = np.log(values)
    return np.asarray((values - values.mean()) / values.std())


def _spline(x: Floats) -> Floats:
    low, middle, high = x.min(), np.median(x), x.max()
    inner = [middle] if low < middle < high else []
    knots = np.r_[[low] * 4, inner, [high] * 4]
    # Its columns sum to one: the constant is there already.
    return np.asarray(BSpline.design_matrix(x, knots, 3).toarray()[:, 1:])


def _seed_block(frame: pd.DataFrame) -> Floats:
    if "seed" not in frame.columns:
        return np.empty((len(frame), 0))
    spread = frame.groupby("seed")["configuration"].nunique()
    if len(spread) < 2 or (spread < frame["configuration"].nunique() / 2).any():
        return np.empty((len(frame), 0))
    return np.asarray(frame["seed"].to_numpy()[:, None] == spread.index.to_numpy()[1:], dtype=np.float64)
