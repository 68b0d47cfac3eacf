"""By which hyperparameter curves are told apart, and what each group is called."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.frames import varying
from sweep.analysis.vocabulary import label
from sweep.report.figures.palette import CATEGORIES, STEPS
from sweep.report.figures.panel import Series
from sweep.report.words import value_words

FACTORS: Final = ("learning_rate", "activation")
_NEVER: Final = ("dataset", "env", "seed", "train_steps")
MOST_GROUPS: Final = 8


def factors(trials: pd.DataFrame) -> list[str]:
    """The hyperparameters that tell curves apart: learning rate and activation, or else what varies first."""
    others = [field for field in varying(trials) if field not in _NEVER]
    return varying(trials, FACTORS) or others[:1]


def grouped(trials: pd.DataFrame, factor: str | None) -> tuple[pd.Series, list[Series]]:
    """The group of each trial in words, and the legend in order; None puts all trials in one group.

    Numbers keep their order, and with more than `MOST_GROUPS` values are cut at quantiles into ranges.
    """
    if factor is None:
        words = pd.Series("all finished trials", index=trials.index)
        return words, [Series("all finished trials", CATEGORIES[1])]
    values = trials[factor]
    if not pd.api.types.is_numeric_dtype(values):
        words = values.map(value_words)
        names = list(dict.fromkeys(words))
        # The first two colors stand for spaces in the scatter.
        return words, [Series(name, CATEGORIES[2 + i % 6]) for i, name in enumerate(names)]
    if values.nunique() <= MOST_GROUPS:
        in_order = sorted(values.unique())
        names = _apart(in_order)
        words = values.map(dict(zip(in_order, names, strict=True)))
    else:
        edges = np.quantile(values, np.linspace(0, 1, MOST_GROUPS - 1), method="nearest")
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        ranges = [f"{a} to {b}" for a, b in pairwise(_apart(edges))]
        words = pd.Series([ranges[b] for b in bins], index=trials.index)
        names = [r for r in dict.fromkeys(ranges) if r in set(words)]
    last = max(1, len(names) - 1)
    return words, [Series(name, STEPS[round(i * 7 / last)]) for i, name in enumerate(names)]


def described(trials: pd.DataFrame) -> list[tuple[str, str]]:
    """What varies among ``trials`` and over which values, and how many seeds: (words, values)."""
    rows = []
    for field in varying(trials):
        values = trials[field]
        if pd.api.types.is_numeric_dtype(values) and not values.isna().any():
            different = sorted(values.unique())
            words = _apart(different)
            shown = ", ".join(words)
            if len(different) > MOST_GROUPS:
                shown = f"{len(different)} values, {words[0]} to {words[-1]}"
        else:
            different = list(dict.fromkeys(value_words(v) or "none" for v in values))
            shown = ", ".join(different[:12]) + (
                f" and {len(different) - 12} more" if len(different) > 12 else ""
            )
        rows.append((label(field), shown))
    seeds = trials.groupby([trials["seed"]]).size()
    rows.append(
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, sorted(seeds.index)[:12]))}{'…' * (len(seeds) > 12)})")
    )
    return rows


def _apart(numbers: Iterable[float]) -> list[str]:
    """Each number in three figures, or as many as it takes to tell them apart."""
    values = list(numbers)
    words: list[str] = []
    for figures in range(3, 18):
        words = [str(int(v)) if v == int(v) and abs(v) < 1e9 else _short(f"{v:.{figures}g}") for v in values]
        if len(set(words)) == len(set(values)):
            break
    return words


def _short(number: str) -> str:
    """``3.16e-5`` for ``3.16e-05``."""
    return re.sub(r"e([+-])0*", lambda m: "e" + m[1].replace("+", ""), number)
