"""DataFrames as the page's tables: words in the head, numbers to read, the exact ones in a download."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import REASONS
from sweep.analysis.vocabulary import term
from sweep.formats import to_csv
from sweep.report.verdict import interval_text


@dataclass(frozen=True)
class Download:
    """The numbers behind a table or a figure: a file inside the page."""

    file_name: str
    href: str

    @classmethod
    def of(cls, frame: pd.DataFrame, *name: str) -> "Download":
        """``frame`` at full precision as a CSV data URI."""
        stem = "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name)
        data = base64.b64encode(to_csv(frame)).decode()
        return cls(f"{stem}.csv", f"data:text/csv;charset=utf-8;base64,{data}")


@dataclass(frozen=True)
class PageTable:
    """Head and rows of text; ``numeric`` columns are aligned to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    download: Download


def correlation_table(frame: pd.DataFrame, sweep: str) -> PageTable:
    """Correlations with their intervals in brackets."""
    head = ("Environment", "Space", "Spearman", "p", "Pearson", "Slope", "Trials", "Configurations", "Note")
    rows = [
        (
            str(row["env"]),
            str(row["space"]),
            interval_text(row["spearman"], row["spearman_low"], row["spearman_high"]),
            p_text(row["spearman_p"]),
            interval_text(row["pearson"], row["pearson_low"], row["pearson_high"]),
            _slope(row),
            str(row["n_trials"]),
            str(row["n_configurations"]),
            _note(row["note"]),
        )
        for row in frame.to_dict("records")
    ]
    numeric = (False, False, *(True,) * 6, False)
    return PageTable(head, tuple(rows), numeric, Download.of(frame, sweep, "correlation"))


def summary_table(frame: pd.DataFrame, measures: Sequence[str], sweep: str) -> PageTable:
    """Median and quartiles of final measures per environment, space and activation."""
    fixed = ("Environment", "Space", "Activation", "Finished", "Configurations", "Diverged")
    # Returns of one environment are in units, of another in hundreds: each has decimals of its own.
    digits = {
        (env, measure): _digits(here, measure) for env, here in frame.groupby("env") for measure in measures
    }
    rows = []
    for row in frame.to_dict("records"):
        values = tuple(_quartiles(row, measure, digits[row["env"], measure]) for measure in measures)
        finished = f"{row['n_trials']} of {row['n_planned']}"
        counts = (finished, str(row["n_configurations"]), str(row["n_diverged"]))
        rows.append((str(row["env"]), str(row["space"]), str(row["activation"]), *counts, *values))
    head = (*fixed, *(term(measure).label for measure in measures))
    numeric = (False, False, False, *(True,) * (len(head) - 3))
    return PageTable(head, tuple(rows), numeric, Download.of(frame, sweep, "final-summary"))


def exclusions_table(frame: pd.DataFrame, sweep: str) -> PageTable:
    """Trials in and out of the analysis, by reason; reasons that no trial has are left out."""
    reasons = [f"n_{reason}" for reason in REASONS if frame[f"n_{reason}"].any()]
    columns = ["n_planned", "n_trials", "n_configurations", "n_excluded", *reasons]
    heads = {"n_trials": "In the analysis"}
    head = ("Environment", "Space", *(heads.get(c, term(c).label) for c in columns))
    rows = tuple(
        (str(row["env"]), str(row["space"]), *(str(row[c]) for c in columns))
        for row in frame.to_dict("records")
    )
    return PageTable(
        head, rows, (False, False, *(True,) * len(columns)), Download.of(frame, sweep, "exclusions")
    )


def p_text(p: float) -> str:
    """``0.03``, ``< 0.001``, or a dash."""
    if not math.isfinite(p):
        return "\u2013"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _slope(row: Mapping[object, object]) -> str:
    value, low, high = (float(str(row[c])) for c in ("slope", "slope_low", "slope_high"))
    if not math.isfinite(value):
        return "\u2013"
    # Enough decimals that the interval has two figures.
    digits = max(0, min(8, 1 - math.floor(math.log10(max(high - low, 1e-12)))))
    return interval_text(value, low, high, digits)


def _quartiles(row: Mapping[object, object], measure: str, digits: int) -> str:
    value, low, high = (float(str(row[c])) for c in (measure, f"{measure}_q25", f"{measure}_q75"))
    return interval_text(value, low, high, digits)


def _digits(frame: pd.DataFrame, measure: str) -> int:
    """Decimals for a measure: none for whole numbers, else three figures of the largest."""
    values = frame[[measure, f"{measure}_q25", f"{measure}_q75"]].to_numpy(float).ravel()
    values = values[np.isfinite(values)]
    if not len(values) or (values == np.round(values)).all():
        return 0
    return max(0, min(6, 2 - math.floor(math.log10(max(np.abs(values).max(), 1e-9)))))


def _note(note: object) -> str:
    if not isinstance(note, str):
        return ""
    note = note.replace("refused: ", "not given: ", 1)
    return note[:1].upper() + note[1:]
