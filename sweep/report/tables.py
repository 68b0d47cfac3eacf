"""DataFrames as the page's tables: words in the head, numbers to read, the exact ones in a download."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import REASONS
from sweep.analysis.samples import TOGETHER
from sweep.analysis.vocabulary import term
from sweep.report.page import Download, PageTable
from sweep.report.words import DASH, in_words, interval_text, p_text, sentence

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Column:
    """A head in words, and how a row's cell reads."""

    head: str
    cell: Callable[[Row], str]
    numeric: bool = True


MOST_ROWS = 60
NOTE = "Note"
# A note that is longer goes under the table, where it has room and is said once.
_INLINE = 40


def page_table(frame: pd.DataFrame, columns: Sequence[Column], title: str, *file_name: str) -> PageTable:
    """A row for each of ``frame``, with its exact numbers to download; columns without any text are left out.

    Of more than `MOST_ROWS` the first are shown.
    """
    records = frame.head(MOST_ROWS).to_dict("records")
    cells = [[column.cell(row) for row in records] for column in columns]
    notes: list[str] = []
    for column, texts in zip(columns, cells, strict=True):
        if column.head == NOTE and any(len(text) > _INLINE for text in texts):
            notes = list(dict.fromkeys(filter(None, texts)))
            texts[:] = [str(notes.index(text) + 1) if text else "" for text in texts]
    shown = [number for number, texts in enumerate(cells) if any(texts) or not records]
    return PageTable(
        tuple(columns[number].head for number in shown),
        tuple(zip(*(cells[number] for number in shown), strict=True)),
        tuple(columns[number].numeric for number in shown),
        Download.of(frame, *file_name),
        title,
        tuple(notes),
        len(frame) - len(records),
    )


def words(column: str, head: str | None = None) -> Column:
    """A column of names."""
    return Column(head or term(column).label, lambda row: text(row[column]), numeric=False)


def whole(column: str, head: str | None = None) -> Column:
    """A column of counts."""

    def cell(row: Row) -> str:
        return DASH if pd.isna(row[column]) else f"{int(row[column]):,}"

    return Column(head or term(column).label, cell)


def interval(column: str, head: str | None = None, digits: int | None = None) -> Column:
    """An estimate with its ``_low`` and ``_high`` in brackets."""

    def cell(row: Row) -> str:
        value, low, high = (float(row[column + end]) for end in ("", "_low", "_high"))
        return interval_text(value, low, high, digits)

    return Column(head or term(column).label, cell)


def chance(column: str, head: str = "p") -> Column:
    """A p-value."""
    return Column(head, lambda row: p_text(float(row[column])))


def note(column: str = "note") -> Column:
    """What is said of the row."""

    def cell(row: Row) -> str:
        return sentence(in_words(row[column])) if isinstance(row[column], str) else ""

    return Column(NOTE, cell, numeric=False)


PLACE = (Column("Environment", lambda row: _environment(row["env"]), numeric=False), words("space"))
COUNTS = (whole("n_trials"), whole("n_configurations"))


def correlation_table(frame: pd.DataFrame, sweep: str) -> PageTable:
    """Correlations with their intervals in brackets."""
    columns = (
        *PLACE,
        interval("spearman", "Spearman", 2),
        chance("spearman_p"),
        interval("pearson", "Pearson", 2),
        interval("slope"),
        *COUNTS,
        note(),
    )
    return page_table(frame, columns, "Correlations", sweep, "correlation")


def summary_table(frame: pd.DataFrame, measures: Sequence[str], by: Sequence[str], sweep: str) -> PageTable:
    """Median and quartiles of final measures per environment, space and ``by``."""
    # Returns of one environment are in units, of another in hundreds: each has decimals of its own.
    digits = {
        (env, measure): _digits(here, measure) for env, here in frame.groupby("env") for measure in measures
    }

    def quartiles(measure: str) -> Column:
        def cell(row: Row) -> str:
            value, low, high = (float(row[measure + end]) for end in ("", "_q25", "_q75"))
            return interval_text(value, low, high, digits[row["env"], measure])

        return Column(term(measure).label, cell)

    columns = (
        *PLACE,
        *(words(name) for name in by),
        Column("Finished", lambda row: f"{row['n_trials']} of {row['n_planned']}"),
        whole("n_configurations"),
        whole("n_diverged"),
        *(quartiles(measure) for measure in measures),
    )
    return page_table(frame, columns, "Final measures", sweep, "final-summary")


def exclusions_table(frame: pd.DataFrame, sweep: str) -> PageTable:
    """Trials in and out of the analysis, by reason; reasons that no trial has are left out."""
    reasons = [f"n_{reason}" for reason in REASONS if frame[f"n_{reason}"].any()]
    columns = (
        *PLACE,
        whole("n_planned"),
        whole("n_trials", "In the analysis"),
        *(whole(name) for name in ("n_configurations", "n_excluded", *reasons)),
    )
    return page_table(frame, columns, "Trials in and out of the analysis", sweep, "exclusions")


def text(value: object) -> str:
    """A name as it is, a list by ``×``, nothing for a null."""
    if isinstance(value, list | tuple | np.ndarray):
        return "×".join(str(part) for part in value)
    return "" if value is None or value is pd.NA or value != value else str(value)


def _environment(env: object) -> str:
    return "all environments" if env == TOGETHER else text(env)


def _digits(frame: pd.DataFrame, measure: str) -> int:
    """Decimals for a measure: none for whole numbers, else three figures of the largest."""
    values = frame[[measure, f"{measure}_q25", f"{measure}_q75"]].to_numpy(float).ravel()
    values = values[np.isfinite(values)]
    if not len(values) or (values == np.round(values)).all():
        return 0
    return max(0, min(6, 2 - int(np.floor(np.log10(max(np.abs(values).max(), 1e-9))))))
