"""Kinds of run, told apart by the hyperparameters that a table groups by: their words and their colours."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sweep.analysis.frames import by_space, content, varying
from sweep.analysis.performance.scores import MOST_LEVELS
from sweep.report.context import Context
from sweep.report.words import setting

MOST_KINDS = 12
_PLACE = ("env", "dataset", "train_steps")


def factors_of_kinds(context: Context) -> list[str]:
    """The hyperparameters that make kinds of run here: of few levels, varied within an environment of a space, as
    many as make at most `MOST_KINDS` in every space; those of fewest levels first.
    """
    rows = by_space(context.trials)
    groups = [group for _, group in rows.groupby(["env", "space"], sort=False)]
    varied = dict.fromkeys(field for group in groups for field in varying(group) if field not in _PLACE)
    text = pd.DataFrame({field: rows[field].map(content) for field in varied}, index=rows.index)
    levels = {field: int(text[field].nunique()) for field in varied}
    chosen: list[str] = []
    for field in sorted((f for f in varied if levels[f] <= MOST_LEVELS), key=lambda f: levels[f]):
        wider = [*chosen, field]
        made = text[wider].drop_duplicates().groupby(rows["space"]).size()
        if made.max() <= MOST_KINDS:
            chosen = wider
    return [field for field in varied if field in chosen]


def kind_words(row: Mapping[Any, Any], factors: Sequence[str]) -> str:
    """Such as ``relu, batch size 32``; "all runs" where nothing tells kinds apart."""
    return ", ".join(filter(None, (setting(factor, row[factor]) for factor in factors))) or "all runs"
