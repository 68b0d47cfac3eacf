"""The two sides of a measure's median in an audit: doubly robust, and as they are.

The unadjusted difference is that of `threshold_ate` at the quantile 0.5, whose draws have medians of their own.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from sweep.analysis.confounding.aipw import OVERLAP, doubly_robust
from sweep.analysis.confounding.audit_rows import DOUBLY_ROBUST, MEDIAN, Audit, Row
from sweep.analysis.confounding.covariates import covariates
from sweep.analysis.confounding.sensitivity import e_values_of_difference
from sweep.analysis.intervals import Interval, cluster_draws
from sweep.analysis.thresholds.side_contrast import MINIMUM_SIDE, contrasts, refusal
from sweep.analysis.thresholds.split import Split

# A propensity has a coefficient for at most a quarter of the configurations: half of them are on either side.
_MOST_OF_A_SIDE: Final = 1 / 4
_WHAT: Final = "mean outcome of trials above the measure's median less that of the others"


def side_rows(made: Audit) -> Iterator[Row]:
    """`DOUBLY_ROBUST` and `MEDIAN`; of several environments each has its median."""
    x = made.points.x - made.points.frame["env"].map(_medians(made)).to_numpy(float)
    yield _doubly_robust(made, x > 0)
    yield _as_they_are(made, x)


def _medians(made: Audit) -> dict[object, float]:
    env = made.points.frame["env"].to_numpy()
    return {name: float(np.median(made.points.x[env == name])) for name in set(env)}


def _doubly_robust(made: Audit, above: np.ndarray) -> Row:
    points = made.points
    row = made.row(DOUBLY_ROBUST, None, f"{_WHAT}, among trials alike in all hyperparameters")
    given = covariates(points.frame, made.groupings, most=_MOST_OF_A_SIDE)
    if not given.blocks:
        return row | {"note": "refused: no hyperparameter varies"}
    found = doubly_robust(
        points.y,
        above,
        given.main(seeds=False)[:, 1:],
        points.cluster,
        draws=made.draws,
        confidence=made.confidence,
        rng=made.rng,
    )
    row["outside"] = found.outside
    if found.refusal is not None or not found.interval.exists:
        return row | {"note": found.refusal or "refused: in many draws one side is empty"}
    kept = (
        f"{found.kept.sum()} of {len(points.x)} trials with a propensity of {OVERLAP[0]:g} to {OVERLAP[1]:g}"
    )
    row |= _numbers(made, found.estimate, found.interval) | {"n_used": int(found.kept.sum())}
    return row | {"note": f"about the {kept}; {found.draws} draws"}


def _as_they_are(made: Audit, x: np.ndarray) -> Row:
    row = made.row(MEDIAN, None, _WHAT)
    split = Split.of(x, made.points.y, made.points.cluster)
    (found,) = contrasts(split, [0.5], cluster_draws(split.clusters, made.draws, made.rng))
    refused = refusal(found, made.measure, made.outcome, MINIMUM_SIDE)
    if refused is not None:
        return row | {"note": refused}
    row |= _numbers(made, found.estimate, found.interval(made.confidence))
    return row | {"freedom": found.freedom, "note": f"{found.trials[0]} of {len(x)} trials above"}


def _numbers(made: Audit, difference: float, interval: Interval) -> Row:
    """``difference`` in standard deviations of the outcome, and its E-values."""
    value, bound = e_values_of_difference(difference, interval.low, interval.high)
    return made.numbers(difference, interval) | {"e_value": value, "e_value_bound": bound}
