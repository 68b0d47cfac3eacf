"""The confound audit: one association by every approach side by side, as a forest and as a table."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from sweep.analysis.confounding import audit_rows as rows_of
from sweep.analysis.samples import TOGETHER
from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.page import Block, Download, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, Row, chance, note, page_table, words
from sweep.report.words import in_words, interval_text, level_words, why

_NAME, _TITLE = "effects", "The association, approach by approach"
_SLOPES = (
    rows_of.NAIVE,
    rows_of.POOLED,
    rows_of.ENVIRONMENT,
    rows_of.STRATIFIED,
    rows_of.ADJUSTED,
    rows_of.INTERACTIONS,
)
_SIDES = (rows_of.MEDIAN, rows_of.DOUBLY_ROBUST)


def effects(context: Context) -> Section:
    """Pooled, within, adjusted and factorial estimates in standard deviations of the outcome."""
    try:
        table, verdicts = context.table("audit"), context.verdicts
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["estimate"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    there = places(known)
    measure, outcome = term(context.measure).inline, term(context.outcome).inline
    told = (
        f"From what a scatter shows to what is left among trials that are alike in all hyperparameters, and what the "
        f"design's own factors do to {outcome}: all in standard deviations of {outcome}, with 95 % intervals by "
        f"configuration. Slopes are per standard deviation of {measure}. Estimates of {measure} are associational, "
        "whatever is held fixed; an effect is what a randomised factor has."
    )
    blocks: list[Block] = [Paragraph(told + undrawn(len(there)))]
    for place in there[:MOST_PLACES]:
        said = of_place(verdicts, place)
        blocks.append(_plot(context, of_place(known, place), place, said.iloc[0].to_dict()))
    blocks.append(_table(context, table))
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(context: Context, rows: pd.DataFrame, place: Place, said: Mapping[Hashable, Any]) -> Plot:
    records = rows.to_dict("records")
    slopes = [_estimate(row, "standardised") for row in records if row["approach"] in _SLOPES]
    sides = [_estimate(row, "standardised") for row in records if row["approach"] in _SIDES]
    factors = [_factor(row, place) for row in records if row["approach"] == rows_of.FACTOR]
    measure = term(context.measure).inline
    groups = [
        Group(f"Per standard deviation of {measure}", tuple(slopes)),
        Group(f"Above the median of {measure} less the others", tuple(sides)),
        Group("Two-level factors, treatment less control", tuple(factors)),
    ]
    kinds = {row["kind"] for row in records if row["approach"] == rows_of.FACTOR}
    colors = (
        " Green: set by the design, an effect."
        if kinds == {"randomised"}
        else " Violet: factors whose levels the trials do not cross evenly, associational."
        if kinds
        else ""
    )
    text = " ".join(str(said[name]) for name in ("text", "randomised") if isinstance(said.get(name), str))
    return Plot(
        title=f"Side by side, {place_words(place)}",
        panels=(
            forest(
                [group for group in groups if group.rows],
                f"Standard deviations of {term(context.outcome).inline}",
                f"Estimates by approach, {place_words(place)}",
            ),
        ),
        caption=(
            f"{in_words(text)} Hollow marks: the interval holds zero. Grey: seeds counted as independent, not to be "
            f"used.{colors}"
        ),
        download=Download.of(rows, context.data.name, *place, "audit"),
        layout="beside",
    )


def _estimate(row: Mapping[Any, Any], column: str) -> Estimate:
    color = {rows_of.NAIVE: "category-7", rows_of.POOLED: "ink"}.get(row["approach"], "category-1")
    marker = "D" if row["approach"] in (rows_of.NAIVE, rows_of.POOLED) else "o"
    return Estimate.of(_approach(row), row, column, color=color, marker=marker)


def _factor(row: Mapping[Any, Any], place: Place) -> Estimate:
    """In standard deviations of the outcome, which a row of one environment is not in yet."""
    unit = 1.0 if place[0] == TOGETHER else float(row["outcome_sd"])
    scaled = {"x": row["estimate"] / unit, "x_low": row["low"] / unit, "x_high": row["high"] / unit}
    color = "category-2" if row["kind"] == "randomised" else "category-3"
    return Estimate.of(_approach(row), scaled, "x", color=color, marker="s")


def _approach(row: Mapping[Any, Any]) -> str:
    """The approach, and of what."""
    approach, variable = str(row["approach"]), row["variable"]
    if approach == rows_of.STRATIFIED:
        return f"within {term(variable).inline}"
    if approach == rows_of.FACTOR:
        what = str(row["estimand"]).removeprefix("effect of ").removesuffix(" on the outcome")
        name, _, levels = what.partition(" ")
        treatment, _, control = levels.partition(" instead of ")
        return f"{term(name).inline}: {level_words(control)} \u2192 {level_words(treatment)}"
    return approach


def _table(context: Context, table: pd.DataFrame) -> Block:
    rows = table[table["approach"] != rows_of.HIDDEN]

    def bounded(prefix: str, low: str, high: str) -> Any:
        def cell(row: Row) -> str:
            return interval_text(float(row[prefix]), float(row[low]), float(row[high]), None)

        return cell

    def compared(row: Row) -> str:
        return str(row["word"]) if isinstance(row["word"], str) else ""

    columns = (
        *PLACE,
        Column(
            "Approach", lambda row: _approach(row) if isinstance(row["approach"], str) else "", numeric=False
        ),
        Column("Estimate", bounded("estimate", "low", "high")),
        Column("In standard deviations", bounded("standardised", "standardised_low", "standardised_high")),
        chance("p"),
        chance("p_holm", "p (Holm)"),
        Column("Against pooled", compared, numeric=False),
        chance("change_p_holm", "p of the change (Holm)"),
        Column("Effect on the measure", lambda row: _if_any(row, "measure_effect")),
        words("kind"),
        note(),
    )
    return page_table(rows, columns, "The association, approach by approach", context.data.name, "audit")


def _if_any(row: Row, column: str) -> str:
    value, low, high = (float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    return interval_text(value, low, high, None) if math.isfinite(value) else ""
