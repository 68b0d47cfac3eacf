"""The tables that can be exported, by name. A new table is a row here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.analysis.correlation import correlation
from sweep.analysis.curves import curves
from sweep.analysis.final import final
from sweep.analysis.summary import final_summary


@dataclass(frozen=True)
class Table:
    """A result table: what it is, and how it is made of a sweep's ``trials`` and ``metrics``."""

    name: str
    description: str
    build: Callable[..., pd.DataFrame]
    """``build(trials, metrics, **options)``; ``metrics`` has the columns ``needs(options)`` at least."""
    needs: Callable[[dict[str, Any]], list[str] | None]
    """The measures to read, given the options: None for all of them, [] for no metrics at all."""
    options: tuple[str, ...] = ()


def _pair(options: dict[str, Any]) -> list[str]:
    return [options.get("measure", "srank"), options.get("outcome", "return_mean")]


SUMMARY_MEASURES = ("return_mean", "srank", "dead_units")


def _summary(
    trials: pd.DataFrame, metrics: pd.DataFrame, measures: Sequence[str] = SUMMARY_MEASURES, **options: Any
) -> pd.DataFrame:
    return final_summary(trials, metrics, measures, **options)


def _trials(trials: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    return trials


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "trials", "one row per trial: configuration, status, where it ran", _trials, lambda options: []
        ),
        Table(
            "final",
            "one row per trial: configuration and the last value of each measure",
            final,
            lambda options: options.get("measures"),
            ("measures", "steps"),
        ),
        Table(
            "summary",
            "median and quartiles of final measures per environment, space and activation",
            _summary,
            lambda options: list(options.get("measures", SUMMARY_MEASURES)),
            ("by", "measures"),
        ),
        Table(
            "curves",
            "median and quartiles of each measure over training, by hyperparameter",
            curves,
            lambda options: options.get("measures"),
            ("by", "measures", "statuses"),
        ),
        Table(
            "correlation",
            "a measure against an outcome per environment and space, with bootstrap intervals",
            correlation,
            _pair,
            (
                *("measure", "outcome", "within", "draws", "seed", "confidence", "allow_pruned"),
                "min_configurations",
            ),
        ),
    )
}
