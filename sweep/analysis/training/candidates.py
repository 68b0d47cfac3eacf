"""Policies to choose from: what each value of a hyperparameter is worth to each seed, and what measures say of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats
from sweep.analysis.samples import Sample
from sweep.analysis.training.choices import Choices
from sweep.analysis.training.lr_evolution import offer
from sweep.analysis.training.series import Series

MINIMUM_CANDIDATES: Final = 3


@dataclass(frozen=True)
class Candidates:
    """The V candidates of a sample, each with a trial (or more, whose mean counts) in some of K seeds."""

    sample: Sample
    offered: Choices
    places: npt.NDArray[np.intp]
    """Of the included trials in the series."""
    seeds: npt.NDArray[np.int64]
    """``[K]``, ascending."""
    values: Floats
    """What a candidate is worth when a seed chooses it, ``[K, V]``; NaN where the seed has no such trial."""
    last: int
    """The last step at which the outcome was measured."""

    @classmethod
    def of(
        cls, sample: Sample, of: str, series: Series, outcome: str, step: float, *, own: bool
    ) -> "Candidates | str":
        """Candidates by their ``outcome`` at ``step``, each seed's ``own`` or its mean over seeds; else why not."""
        offered, refusal = offer(sample, of)
        if offered is None or refusal is not None:
            return refusal or ""
        if len(offered) < MINIMUM_CANDIDATES:
            return f"refused: {len(offered)} candidates, at least {MINIMUM_CANDIDATES} are needed to choose among"
        places = series.places(sample.included["trial_id"])
        seeds = np.unique(sample.included["seed"].to_numpy(np.int64))
        bare = cls(sample, offered, places, seeds, np.empty((0, 0)), 0)
        values = bare.table(series.at(outcome, [step], places)[:, 0])
        if not own:
            values = np.where(np.isnan(values), np.nan, _mean(values))
        last = max(
            (steps[-1] for steps, _ in (series.of(outcome)[i] for i in places) if len(steps)), default=0
        )
        if not np.isfinite(values).any():
            return f"refused: {outcome} was not measured by step {step:g}"
        if np.nanmax(values) == np.nanmin(values):
            return f"refused: {outcome} is {np.nanmax(values):g} of every candidate"
        return cls(sample, offered, places, seeds, values, int(last))

    def __len__(self) -> int:
        return len(self.offered)

    def table(self, y: Floats) -> Floats:
        """Mean of ``y`` ``[T]`` by seed and candidate, ``[K, V]``; NaN where no trial has a finite one."""
        row = np.searchsorted(self.seeds, self.sample.included["seed"].to_numpy(np.int64))
        there = np.isfinite(y)
        sums, counts = np.zeros((2, len(self.seeds), len(self)))
        np.add.at(sums, (row[there], self.offered.code[there]), y[there])
        np.add.at(counts, (row[there], self.offered.code[there]), 1.0)
        with np.errstate(invalid="ignore"):
            return np.where(counts > 0, sums / counts, np.nan)

    def scores(self, series: Series, measure: str, step: float, sign: int) -> Floats:
        """What a measure says of each candidate to each seed at ``step``, the higher the better, ``[K, V]``."""
        return sign * self.table(series.at(measure, [step], self.places)[:, 0])


def median_scores(groups: Sequence[Candidates], series: Series, normalized: str | None) -> dict[str, float]:
    """By label, the median over environments of what each candidate is worth, normalised; -inf where one lacks it.

    ``normalized`` is a measure that says so itself, used where all environments have it; else 0 is the worst
    candidate of an environment and 1 the best.
    """
    worth = [
        _mean(group.table(series.at(normalized, [np.inf], group.places)[:, 0])) if normalized else None
        for group in groups
    ]
    measured = [w for w in worth if w is not None and np.isfinite(w).all()]
    if len(measured) < len(groups):
        means = [_mean(group.values) for group in groups]
        measured = [(m - np.nanmin(m)) / (np.nanmax(m) - np.nanmin(m)) for m in means]
    labels = {label for group in groups for label in group.offered.labels}
    found = {}
    for label in labels:
        each = [
            w[group.offered.labels.index(label)] if label in group.offered.labels else np.nan
            for group, w in zip(groups, measured, strict=True)
        ]
        found[label] = float(np.median(each)) if np.isfinite(each).all() else -np.inf
    return found


def _mean(values: Floats) -> Floats:
    counts = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.nansum(values, axis=0) / counts
    return mean
