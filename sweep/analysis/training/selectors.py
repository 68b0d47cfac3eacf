"""Choosing among candidates by a measure, or by what running them online would tell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError
from sweep.analysis.training.candidates import Candidates
from sweep.analysis.training.regret import candidate_sets, chosen_value, regret, regret_of_sets
from sweep.analysis.training.series import Series

BEST: Final = "online best"
MEDIAN: Final = "online median"
RANDOM: Final = "random"


def rule_of(selector: str) -> tuple[str, int]:
    """Measure and sign of a selector such as "srank:max". Raises `AnalysisError` for one without a direction."""
    measure, colon, way = selector.rpartition(":")
    if not colon or way not in ("max", "min") or not measure:
        raise AnalysisError(
            f"selectors={selector}: not a measure with a direction; write it as srank:max or dead_units:min."
        )
    return measure, 1 if way == "max" else -1


@dataclass(frozen=True)
class Judged:
    """What came of a selector: per seed ``[K]`` the label and value of its choice and the regret; over sets ``[D]``."""

    selector: str
    chosen: tuple[str, ...]
    values: Floats
    regrets: Floats
    sets: Floats
    missing: int
    """The most candidates that a selector knows nothing of while it chooses."""
    ties: int
    """The most candidates that share a choice."""


def judged(
    group: Candidates,
    selectors: Sequence[str],
    median: Mapping[str, float],
    series: Series,
    step: float,
    draws: int,
    seed: int,
) -> Iterator[Judged]:
    """What comes of each of ``selectors`` at ``step``, behind the best, the choice by ``median`` score, and chance.

    All meet the same ``draws`` sets of candidates.
    """
    present = candidate_sets(len(group), draws, group.sample.stream(seed))
    everywhere = np.array([median[label] for label in group.offered.labels])
    rules: dict[str, Floats | None] = {
        BEST: group.values,
        MEDIAN: np.broadcast_to(everywhere, group.values.shape),
        RANDOM: None,
    }
    for selector in selectors:
        measure, sign = rule_of(selector)
        rules[selector] = group.scores(series, measure, step, sign)
    for selector, scores in rules.items():
        yield _judge(selector, scores, group, present)


def _judge(selector: str, scores: Floats | None, group: Candidates, present: npt.NDArray[np.bool_]) -> Judged:
    values, regrets, sets, chosen = [], [], [], []
    ties = missing = 0
    for k, worth in enumerate(group.values):
        mine = None if scores is None else scores[k]
        value = float(np.nanmean(worth)) if mine is None else chosen_value(mine, worth)
        values.append(value)
        regrets.append(float(regret(value, worth)))
        sets.append(regret_of_sets(mine, worth, present))
        if mine is not None and np.isfinite(value):
            known = np.where(np.isfinite(mine) & np.isfinite(worth), mine, -np.inf)
            chosen.append(group.offered.labels[int(known.argmax())])
            ties = max(ties, int((known == known.max()).sum()))
            missing = max(missing, int((~np.isfinite(mine) & np.isfinite(worth)).sum()))
    drawn = _mean_of_rows(np.array(sets))
    return Judged(selector, tuple(chosen), np.array(values), np.array(regrets), drawn, missing, ties)


def _mean_of_rows(rows: Floats) -> Floats:
    there = np.isfinite(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(there, rows, 0.0).sum(axis=0) / there.sum(axis=0)
    return mean
