"""What something unseen would have to be to explain the adjusted association away."""

import math

import pandas as pd

from sweep.analysis.vocabulary import label, term
from sweep.report.context import Absent, Context
from sweep.report.figures.contour import Seen, contour, reach_of
from sweep.report.page import Block, Download, Gallery, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, Row, note, page_table
from sweep.report.words import (
    DASH,
    count,
    decimals,
    in_words,
    interval_text,
    listed,
    percent,
    short,
    signed,
    why,
)

_NAME, _TITLE = "sensitivity", "Sensitivity to what was not measured"
_MOST_SEEN = 4


def hidden(context: Context) -> Section:
    """Contours of what would be left, with hyperparameters as benchmarks, and the robustness values."""
    try:
        table, verdicts = context.table("sensitivity"), context.verdicts
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["estimate"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    there = places(known)
    outcome, measure = term(context.outcome).inline, term(context.measure).inline
    told = (
        f"The estimate adjusted for all hyperparameters, {outcome} per standard deviation of {measure}, were there "
        "something unseen that explains these shares of what they leave of measure and outcome (Cinelli & Hazlett "
        "2020). A robustness value is the share of both that takes it to zero. Benchmarks: hyperparameters, "
        "and what is as strong as they are."
    )
    plots = []
    for place in there[:MOST_PLACES]:
        said = of_place(verdicts, place)["sensitivity"].iloc[0]
        plots.append(_plot(context, of_place(known, place), place, said if isinstance(said, str) else ""))
    blocks: list[Block] = [
        Paragraph(told + undrawn(len(there))),
        Gallery(tuple(plots)) if len(plots) > 1 else plots[0],
        _table(context, table),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(context: Context, rows: pd.DataFrame, place: Place, said: str) -> Plot:
    first = rows.iloc[0]
    share = float(first["partial_r2"])
    once = rows[(rows["times"] == 1) & rows["share_of_outcome"].notna()]
    seen = [
        Seen(
            term(str(row["benchmark"])).inline, float(row["share_of_measure"]), float(row["share_of_outcome"])
        )
        for row in once.sort_values("times_to_zero", kind="stable").head(_MOST_SEEN).to_dict("records")
    ]
    estimate, reach = float(first["estimate"]), reach_of(float(first["robustness_value"]))
    far = [
        f"{one.name} ({percent(one.of_measure)}, {percent(one.of_outcome)})"
        for one in seen
        if max(one.of_measure, one.of_outcome) > reach
    ]
    panel = contour(
        estimate,
        math.sqrt(share / (1 - share)),
        float(first["robustness_value"]),
        seen,
        decimals(estimate, float(first["low"]), float(first["high"])),
    )
    caption = (
        f"{count(int(first['n_trials']), 'trial')} of {count(int(first['n_configurations']), 'configuration')}. "
        f"Lines: the estimate that would be left, {signed(estimate, decimals(estimate, math.nan, math.nan))} at the "
        "origin; orange: zero, with the robustness value on it. Diamonds: something unseen as strong as "
        f"{'these hyperparameters' if len(seen) > 1 else 'this hyperparameter'}. {in_words(said)}"
    )
    if far:
        caption += f" Beyond the edge: {listed(far)}."
    return Plot(
        title=f"What would be left, {place_words(place)}",
        panels=(panel,),
        caption=caption,
        download=Download.of(rows, context.data.name, *place, "sensitivity"),
        layout="beside",
    )


def _table(context: Context, table: pd.DataFrame) -> Block:
    def left(row: Row) -> str:
        return interval_text(float(row["left"]), float(row["left_low"]), float(row["left_high"]), None)

    def estimate(row: Row) -> str:
        return interval_text(float(row["estimate"]), float(row["low"]), float(row["high"]), None)

    def times(column: str) -> Column:
        heads = {"times_to_zero": "Times as strong to zero", "times_to_bound": "to the interval's bound"}

        def cell(row: Row) -> str:
            value = float(row[column])
            return (
                DASH
                if math.isnan(value)
                else "> 1,000"
                if math.isinf(value)
                else short(float(f"{value:.2g}"))
            )

        return Column(heads[column], cell)

    columns = (
        *PLACE,
        Column(
            "Benchmark",
            lambda row: label(row["benchmark"]) if isinstance(row["benchmark"], str) else "",
            False,
        ),
        Column("Adjusted estimate", estimate),
        Column("Robustness value", lambda row: percent(float(row["robustness_value"]))),
        Column("of its bound", lambda row: percent(float(row["robustness_value_bound"]))),
        Column("Explains of the measure", lambda row: percent(float(row["share_of_measure"]))),
        Column("of the outcome", lambda row: percent(float(row["share_of_outcome"]))),
        Column("Left were it as strong", left),
        times("times_to_zero"),
        times("times_to_bound"),
        note(),
    )
    # Twice and three times as strong are in the download.
    rows = table[(table["times"] == 1) | table["times"].isna()]
    return page_table(rows, columns, "Hyperparameters as benchmarks", context.data.name, "sensitivity")
