"""Means of the values of a hyperparameter, over what repeats them: configurations, or seeds where there is only one.

A value with several configurations (other hyperparameters vary too) is repeated by its configurations, with all their
seeds. Where no value has more than one, seeds repeat them, and a seed is drawn for all values at once: it brings the
same initial weights and minibatches to each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats
from sweep.analysis.intervals import cluster_draws

# Doubles held at once when drawing: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Replicates:
    """Outcomes ``y`` ``[T, S]`` (NaN: not measured) of trials with value ``code`` ``[T]`` of ``values`` many; ``unit``
    ``[T]`` is the number of what repeats it, and ``shared`` whether a unit is one draw for all values."""

    y: Floats
    code: npt.NDArray[np.int64]
    values: int
    unit: npt.NDArray[np.int64]
    shared: bool

    @classmethod
    def of(
        cls,
        y: Floats,
        code: npt.NDArray[np.int64],
        values: int,
        configuration: npt.NDArray[np.int64],
        seed: npt.NDArray[np.int64],
    ) -> "Replicates":
        """From the configuration and the seed ``[T]`` of each trial."""
        pairs = np.unique(np.stack([code, configuration]), axis=1)
        shared = bool((np.bincount(pairs[0], minlength=values) <= 1).all())
        unit = np.unique(seed if shared else configuration, return_inverse=True)[1].astype(np.int64)
        return cls(y, code, values, unit, shared)

    @property
    def word(self) -> str:
        """What repeats a value: "seeds" or "configurations"."""
        return "seeds" if self.shared else "configurations"

    def sizes(self) -> Floats:
        """How many units each value has at each step, ``[V, S]``."""
        return np.stack([(counts > 0).sum(axis=0) for _, counts in self._sums]).astype(float)

    def means(self) -> Floats:
        """Mean outcome of each value, ``[V, S]``; NaN where nothing was measured."""
        return np.stack([_ratio(sums.sum(axis=0), counts.sum(axis=0)) for sums, counts in self._sums])

    def drawn(self, draws: int, rng: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
        """Slices of the steps with the means of each value in each draw, ``[V, D, steps]``."""
        units = int(self.unit.max()) + 1
        if self.shared:
            weights = [cluster_draws(units, draws, rng)] * self.values
        else:
            weights = [cluster_draws(len(counts), draws, rng) for _, counts in self._sums]
        step = max(1, _CHUNK // (self.values * draws))
        for start in range(0, self.y.shape[1], step):
            part = slice(start, start + step)
            yield (
                part,
                np.stack(
                    [
                        _ratio(w @ total[:, part], w @ counts[:, part])
                        for w, (total, counts) in zip(weights, self._sums, strict=True)
                    ]
                ),
            )

    def errors(self) -> Floats:
        """Standard error of each value's mean, leaving out a unit at a time (CRV3), ``[V, S]``; NaN under 2 units."""
        return np.stack([_spread(left) for left in self._left_out()])

    def errors_from(self, best: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Standard error of the mean of value ``best`` ``[S]`` less each value's, and degrees of freedom, ``[V, S]``.

        Shared units are left out of both at once; else the two are independent, with the freedom of the smaller.
        """
        sizes = self.sizes()
        steps = np.arange(self.y.shape[1])
        freedom = np.minimum(sizes, sizes[best, steps]) - 1
        if not self.shared:
            errors = self.errors()
            return np.hypot(errors, errors[best, steps]), freedom
        left = np.stack(self._left_out())
        return np.stack([_spread(left[best, :, steps].T - one) for one in left]), freedom

    def _left_out(self) -> list[Floats]:
        """Mean of each value without each of its units, ``[units, S]``; NaN for a unit that it does not have."""
        return [
            np.where(counts > 0, _ratio(sums.sum(axis=0) - sums, counts.sum(axis=0) - counts), np.nan)
            for sums, counts in self._sums
        ]

    @cached_property
    def _sums(self) -> list[tuple[Floats, Floats]]:
        """Of each value, sums and counts by unit, ``[units, S]``."""
        there = np.isfinite(self.y)
        filled = np.where(there, self.y, 0.0)
        units = int(self.unit.max()) + 1
        out = []
        for value in range(self.values):
            mine = self.code == value
            unit = self.unit[mine]
            if not self.shared:
                unit = np.unique(unit, return_inverse=True)[1]
            rows = units if self.shared else int(unit.max()) + 1
            sums, counts = np.zeros((2, rows, self.y.shape[1]))
            np.add.at(sums, unit, filled[mine])
            np.add.at(counts, unit, there[mine].astype(float))
            out.append((sums, counts))
        return out


def _ratio(sums: Floats, counts: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, sums / counts, np.nan)


def _spread(left: Floats) -> Floats:
    """Jackknife standard error of statistics ``left`` ``[units, S]``; NaN where fewer than 2 are there."""
    there = np.isfinite(left)
    units = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.where(there, left, 0.0).sum(axis=0) / units
        square = (np.where(there, left - middle, 0.0) ** 2).sum(axis=0)
        return np.where(units > 1, np.sqrt((units - 1) / units * square), np.nan)
