"""How far the claim depends on choices: every specification, sorted, against outcomes that are permuted."""

from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.specifications.rank_definitions import RANKS
from sweep.analysis.specifications.specification_choices import OUTCOMES
from sweep.analysis.vocabulary import label, term
from sweep.report.context import Absent, Context
from sweep.report.figures.panel import Series
from sweep.report.figures.specification import specification
from sweep.report.page import Block, Download, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, chance, note, page_table, whole, words
from sweep.report.words import count, equals, percent, signed, why

_NAME, _TITLE = "specification", "Specification curve"
_MOST = 500
"""Specifications that a figure draws."""
_CHOICES = ("measure", "layer", "delta", "outcome", "window", "threshold", "adjust")
_HEADS = {"delta": "\u03b4", "adjust": "Held fixed", "window": "Averaged over", "threshold": "Estimate"}
_LEGEND = (Series("p < 0.05 by itself", "category-1", "o"), Series("otherwise", "muted", "o"))


def specifications(context: Context) -> Section:
    """The curve of every environment and space, and the curve as a whole against chance."""
    try:
        asked = choices(context.measure, context.outcome)
        table = context.table("specification-curve", traced=True, **asked)
        summary = context.table("specification-summary", traced=True, **asked)
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["estimate"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    there = places(known)
    told = (
        "The association of a rank with a return could have been estimated in many ways. Each mark is one: standard "
        "deviations of the outcome per standard deviation of the measure, or between trials above and below a "
        "quantile, with its 95 % interval; the rows under it show what was chosen. p-values of the whole are from "
        f"{int(summary['permutations'].iloc[0]):,} permutations of the outcome among configurations. Associational."
    )
    blocks: list[Block] = [
        Paragraph(told + _of_traced(context) + undrawn(len(there))),
        *(
            _plot(context, of_place(known, place), of_place(summary, place), place)
            for place in there[:MOST_PLACES]
        ),
        _table(context, summary),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def choices(measure: str, outcome: str) -> dict[str, Any]:
    """Other ranks beside a rank and other returns beside a return; any other measure and outcome by themselves."""
    asked: dict[str, Any] = {} if measure in RANKS else {"measures": [measure]}
    return asked if outcome in OUTCOMES else asked | {"outcomes": [outcome]}


def _of_traced(context: Context) -> str:
    traced = len(context.data.traced_trials)
    return f" Of {traced:,} of {len(context.trials):,} trials." if traced < len(context.trials) else ""


def _plot(context: Context, rows: pd.DataFrame, summary: pd.DataFrame, place: Place) -> Plot:
    drawn = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).round().astype(int))]
    drawn = drawn.reset_index(drop=True).assign(place=np.arange(len(drawn)))
    chosen = []
    partitions = set()
    for name in _CHOICES:
        words_ = drawn[name].map(lambda value, name=name: _choice(name, value))
        kinds = list(dict.fromkeys(words_.iloc[drawn[name].map(_order).argsort(kind="stable")]))
        # A choice that goes with one above, such as the threshold of the only rank that has one, is not shown again.
        partition = tuple(pd.factorize(words_)[0])
        if len(kinds) > 1 and partition not in partitions:
            partitions.add(partition)
            head = _HEADS.get(name, label(name))
            chosen += [(head, kind, (words_ == kind).to_numpy()) for kind in kinds]
    row = summary.iloc[0]
    caption = (
        f"{count(len(rows), 'specification')} on {count(int(row['n_trials']), 'trial')} of "
        f"{count(int(row['n_configurations']), 'configuration')}. Median {signed(row['median'])} (p "
        f"{equals(row['median_p'])} by permutation); {percent(row['share_of_sign'])} are {row['sign']}, and "
        f"{percent(row['share_significant'])} are so with p < 0.05 by themselves (p "
        f"{equals(row['share_significant_p'])})."
    )
    fixed = [
        f"{_HEADS.get(n, label(n)).lower()} {_choice(n, drawn[n].iloc[0])}"
        for n in _CHOICES
        if _one(drawn[n])
    ]
    if fixed:
        caption += f" The same in all: {'; '.join(fixed)}."
    if len(drawn) < len(rows):
        caption += f" {len(drawn)} are drawn, spread evenly."
    return Plot(
        title=f"Specifications, {place_words(place)}",
        panels=(
            specification(drawn, chosen, "Standard deviations", f"Specification curve, {place_words(place)}"),
        ),
        legend=_LEGEND,
        caption=caption,
        download=Download.of(rows, context.data.name, *place, "specification-curve"),
        layout="full",
    )


def _one(values: pd.Series) -> bool:
    """Whether a choice was no choice, and there is something to say of it."""
    different = values.astype(object).unique()
    return len(different) == 1 and not (different[0] is None or different[0] != different[0])


def _order(value: Any) -> tuple[int, float, str]:
    """Nulls first, numbers by size, the rest by name."""
    if value is None or value != value:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _choice(name: str, value: Any) -> str:
    """A choice in words."""
    missing = value is None or value != value
    if name == "window":
        return "the last value" if value == 0 else f"the last {100 * value:g} %"
    if name == "threshold":
        return "slope" if missing else f"split at quantile {value:g}"
    if name == "delta":
        return "none" if missing else f"{value:g}"
    if name == "adjust":
        return {"none": "nothing", "env": "environment", "all": "all hyperparameters"}.get(
            str(value), term(str(value)).inline
        )
    if name in ("measure", "outcome"):
        return term(str(value)).inline
    return "" if missing else str(value)


def _table(context: Context, summary: pd.DataFrame) -> Block:
    def number(name: str, head: str) -> Column:
        return Column(head, lambda row: signed(row[name]) if np.isfinite(row[name]) else "\u2013")

    def share(name: str, head: str) -> Column:
        return Column(head, lambda row: percent(float(row[name])))

    columns = (
        *PLACE,
        whole("n_run", "Specifications"),
        number("median", "Median"),
        chance("median_p"),
        number("lowest", "Lowest"),
        number("highest", "Highest"),
        words("sign", "Most are"),
        share("share_of_sign", "Share"),
        share("share_significant", "With p < 0.05"),
        chance("share_significant_p"),
        whole("n_trials"),
        whole("n_configurations"),
        note(),
    )
    title = "The specification curves as a whole (p by permutation)"
    return page_table(summary, columns, title, context.data.name, "specification-summary")
