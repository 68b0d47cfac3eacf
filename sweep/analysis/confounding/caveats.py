"""What to know of the trials that estimates stand on: which diverged, whose seeds are missing, what is rare."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.confounding.grouping import Grouping, groupings
from sweep.analysis.exclusions import DIVERGED
from sweep.analysis.samples import FEW_CONFIGURATIONS, Sample

RARE: Final = 0.2
"""A group with less than this share of the trials that an even split would give it is called rare."""
_LEVEL: Final = 0.05


def caveats(sample: Sample) -> list[str]:
    """Sentences, without a full stop, for each that applies; numbers in all of them."""
    if sample.included.empty:
        return divergence(sample.planned)
    return [*_few(sample), *divergence(sample.planned), *missing_seeds(sample), *unbalanced(sample)]


def divergence(planned: pd.DataFrame) -> list[str]:
    """How many trials diverged, and where they did so more than elsewhere.

    By groups of each hyperparameter; the group with the smallest p of Fisher's exact test against all others is named
    where that is below 5 % divided by the number of groups tried. What is left out depends on the outcome then.
    """
    diverged = (planned["reason"] == DIVERGED).to_numpy()
    if not diverged.any():
        return []
    total = f"{diverged.sum()} of {len(diverged)} trials diverged and are left out"
    cells = [
        (grouping, code, grouping.codes == code)
        for grouping in groupings(planned)
        for code in range(len(grouping.labels))
    ]
    tests = [_more_inside(diverged, inside) for _, _, inside in cells]
    if not tests or min(tests) >= _LEVEL / len(tests):
        return [total]
    grouping, code, inside = cells[int(np.argmin(tests))]
    return [
        f"{total}: {diverged[inside].sum()} of {inside.sum()} with {_named(grouping, code)}, "
        f"{diverged[~inside].sum()} of the other {(~inside).sum()}; estimates are about trials that ended"
    ]


def missing_seeds(sample: Sample) -> list[str]:
    """How many configurations have fewer trials left than the fullest one was given."""
    left = sample.included.groupby("configuration").size()
    full = int(sample.planned.groupby("configuration").size().max())
    short = int((left < full).sum())
    gone = int(sample.planned["configuration"].nunique()) - len(left)
    if not short and not gone:
        return []
    parts = [f"{short} of {len(left)} configurations have fewer than {full} seeds"] if short else []
    parts += [f"of {gone} of {gone + len(left)} configurations no trial is left"] if gone else []
    return ["; ".join(parts)]


def unbalanced(sample: Sample) -> list[str]:
    """The rarest group of any hyperparameter with up to a handful of values, where it is rare."""
    found = []
    for grouping in groupings(sample.included):
        sizes, even = grouping.sizes, len(sample.included) / len(grouping.labels)
        if grouping.bins is None and sizes.min() < RARE * even:
            code = int(sizes.argmin())
            found.append(
                (sizes.min() / even, f"{_named(grouping, code)} has {sizes.min()} of {sizes.sum()} trials")
            )
    return [f"unbalanced: {min(found)[1]}"] if found else []


def _few(sample: Sample) -> Iterator[str]:
    if sample.clusters < FEW_CONFIGURATIONS:
        yield f"few configurations ({sample.clusters}): intervals are wide and lean on their model"


def _more_inside(diverged: np.ndarray, inside: np.ndarray) -> float:
    table = np.array([[(diverged & here).sum(), (~diverged & here).sum()] for here in (inside, ~inside)])
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def _named(grouping: Grouping, code: int) -> str:
    return f"{grouping.name} {grouping.labels[code]}"
