"""The linear model of a factorial: main effects, two-factor interactions, blocks.

A factor is coded -1 (control) and +1 (treatment), so that its main effect is twice its coefficient (Box, Hunter and
Hunter, Statistics for Experimenters, 2nd ed., chapters 5 and 6).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.interventions.factorial import Factors, levels
from sweep.analysis.interventions.least_squares import LeastSquares, rank
from sweep.analysis.samples import Sample

# Blocks may take so many coefficients of the configurations: a column with more levels, which has most of them once,
# was drawn and not crossed.
_MOST_LEVELS: Final = 1 / 2
# Two-factor interactions join the model of their own accord where it then has a coefficient for at most so many of
# the configurations: half of them are left to tell the error from.
_MOST_COEFFICIENTS: Final = 1 / 2


@dataclass(frozen=True)
class FactorialModel:
    """The linear model of a sample: intercept, factors, perhaps all their products by two, and blocks."""

    factors: Factors
    signs: Floats
    """``[T, K]``"""
    varying: tuple[int, ...]
    """The factors that still have both levels: those in the model."""
    products: tuple[tuple[int, int], ...]
    """Which two factors each interaction is of; none where there are main effects only."""
    blocks: tuple[str, ...]
    """Columns with a coefficient for every level but one."""
    left_out: tuple[str, ...]
    """Columns that vary and are not in the model."""
    squares: LeastSquares = field(repr=False)

    @property
    def words(self) -> str:
        """What is in it, for a column of a table."""
        parts = [
            f"{count} {what}{'' if count == 1 else 's'}"
            for count, what in (
                (len(self.varying), "main effect"),
                (len(self.products), "interaction"),
            )
            if count
        ]
        parts += [f"blocks: {', '.join(self.blocks)}"] if self.blocks else []
        return ", ".join(parts)

    @property
    def no_spread(self) -> str:
        """Why there is no interval."""
        return (
            f"{self.coefficients} coefficients ({self.words}) leave {self.squares.clusters} configurations no spread "
            "to tell an error from"
        )

    def main_effect(self, k: int) -> Floats:
        """The combination of coefficients that is the effect of factor ``k``, averaged over the others' levels."""
        combination = np.zeros(self.squares.x.shape[1])
        combination[1 + self.varying.index(k)] = 2.0
        return combination

    def interaction(self, i: int) -> Floats:
        """Difference of the first factor's effect between the second's levels: four times the coefficient."""
        combination = np.zeros(self.squares.x.shape[1])
        combination[1 + len(self.varying) + i] = 4.0
        return combination

    def from_control(self, changed: Sequence[int]) -> Floats:
        """Effect of setting the factors ``changed`` to treatment where all others are at control."""
        before = -np.ones(self.signs.shape[1])
        after = before.copy()
        after[list(changed)] = 1.0
        combination = np.zeros(self.squares.x.shape[1])
        terms = [after[k] - before[k] for k in self.varying]
        terms += [after[a] * after[b] - before[a] * before[b] for a, b in self.products]
        combination[1 : 1 + len(terms)] = terms
        return combination

    @cached_property
    def by_trial(self) -> LeastSquares:
        """The same model as if every trial were a configuration of its own."""
        return LeastSquares(self.squares.x, np.arange(len(self.squares.x)))

    @cached_property
    def coefficients(self) -> int:
        """How many can be told apart."""
        return rank(self.squares.x)


def factorial_model(sample: Sample, factors: Factors, interactions: bool | None) -> FactorialModel:
    """The model of the included trials; ``interactions`` None puts them in where the design carries them."""
    signs = factors.cells(sample.included)
    varying = tuple(int(k) for k in np.flatnonzero((signs != signs[:1]).any(axis=0)))
    base = np.column_stack([np.ones(len(signs)), signs[:, varying]])
    blocks, dummies, left_out = _blocks(sample, factors, base)
    x, pairs = model_columns(signs[:, varying], dummies, sample.clusters, interactions)
    products = tuple((varying[a], varying[b]) for a, b in pairs)
    squares = LeastSquares(x, sample.configuration)
    return FactorialModel(factors, signs, varying, products, blocks, left_out, squares)


def model_columns(
    signs: Floats, dummies: Floats, configurations: int, interactions: bool | None
) -> tuple[Floats, tuple[tuple[int, int], ...]]:
    """Intercept, ``signs`` ``[T, K]``, perhaps products of every two, and ``dummies``; and which two were taken.

    ``interactions`` None takes them where all can be told apart and half of the configurations are left.
    """
    base = np.column_stack([np.ones(len(signs)), signs])
    pairs = tuple(itertools.combinations(range(signs.shape[1]), 2))
    if interactions is False or not pairs:
        return np.column_stack([base, dummies]), ()
    products = np.column_stack([signs[:, a] * signs[:, b] for a, b in pairs])
    x = np.column_stack([base, products, dummies])
    if interactions is None and (
        base.shape[1] + len(pairs) > _MOST_COEFFICIENTS * configurations
        or np.linalg.matrix_rank(x) < x.shape[1]
    ):
        return np.column_stack([base, dummies]), ()
    return x, pairs


def _blocks(
    sample: Sample, factors: Factors, base: Floats
) -> tuple[tuple[str, ...], Floats, tuple[str, ...]]:
    """Columns to block on, their coding, and those that vary but cannot be blocked on.

    A block stays out where factors could no longer be told apart from it, or its levels are nearly as many as there
    are configurations (as of a number drawn at random).
    """
    trials, room = sample.included, _MOST_LEVELS * sample.clusters
    taken, left_out, dummies = [], [], np.empty((len(trials), 0))
    # A dataset is of one environment: the finer block is tried first.
    candidates = sorted((*factors.others, "seed"), key=lambda name: name != "dataset")
    for name in candidates:
        if name not in trials.columns or (name == "env" and "dataset" in taken):
            continue
        codes, found = pd.factorize(levels(trials[name]), sort=True)
        if len(found) < 2:
            continue
        crowded = (
            len(found) > len(trials) / 2 if name == "seed" else dummies.shape[1] + len(found) - 1 >= room
        )
        if not crowded:
            own = (codes[:, None] == np.arange(1, len(found))).astype(np.float64)
            trial = np.column_stack([dummies, own])
        if crowded or _estimable(base, trial) < _estimable(base, dummies):
            left_out.append(name)
            continue
        taken.append(name)
        dummies = trial
    return tuple(taken), dummies, tuple(left_out)


def _estimable(base: Floats, blocks: Floats) -> int:
    """How many of the factors' coefficients the blocks leave."""
    x = np.column_stack([base, blocks])
    return rank(x) - rank(np.column_stack([base[:, :1], blocks]))
