"""High and low values of the measure: the contrast at every threshold, and the dose-response curve beside it."""

import numpy as np
import pandas as pd

from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.bands import Band, banded
from sweep.report.figures.panel import Series
from sweep.report.page import Block, Download, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, Row, chance, interval, note, page_table
from sweep.report.words import DASH, count, equals, percent, short, signed, why

_NAME, _TITLE = "thresholds", "High and low values of the measure"
_ALL = "combined"
_LEGEND = (Series("estimate, 95 % interval", "category-1"), Series("straight line", "category-0"))


def thresholds(context: Context) -> Section:
    """Trials above a threshold against those below, at every threshold, and the outcome all along the measure."""
    measure, outcome = term(context.measure).inline, term(context.outcome).inline
    try:
        printed, curve = context.table("threshold-ate"), context.table("threshold-curve")
        dose, bends = context.table("dose-response"), context.table("dose-response-summary")
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = dose[(dose["type"] == _ALL) & dose["fit"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(dose["note"]) or "No trial has ended yet.")
    there = places(known)
    told = (
        f"Left: mean {outcome} along {measure} between its 2nd and 98th percentile, by a natural cubic spline. Right: "
        f"mean {outcome} of trials above a threshold on {measure} less that of the others, at the quantiles 0.05 to "
        "0.95: no threshold is chosen. Pointwise 95 % intervals, by configuration. Associational: the measure was not "
        "set by anybody." + undrawn(len(there))
    )
    plots = [
        _plot(context, of_place(known, place), of_place(curve[curve["type"] == _ALL], place), bends, place)
        for place in there[:MOST_PLACES]
    ]
    blocks: list[Block] = [Paragraph(told), *plots, _table(context, printed)]
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(
    context: Context, dose: pd.DataFrame, curve: pd.DataFrame, bends: pd.DataFrame, place: Place
) -> Plot:
    measure, outcome = term(context.measure), term(context.outcome)
    fit = Band.of(dose, "at", "fit", "fit_low", "fit_high")
    straight = Band.of(dose, "at", "line", "line", "line", color="category-0", dashes="--")
    panels = [
        banded([fit, straight], ("", measure.axis, outcome.axis), f"{outcome.label} along {measure.inline}")
    ]
    contrast = curve[curve["ate"].notna()]
    if len(contrast):
        labels = ("", f"Quantile of {measure.inline}", f"Difference in {outcome.inline}")
        panels.append(
            banded(
                [Band.of(contrast, "quantile", "ate", "ate_low", "ate_high")],
                labels,
                "Contrast at every threshold",
                null=0.0,
            )
        )
    row = of_place(bends[bends["type"] == _ALL], place).iloc[0]
    caption = (
        f"{count(int(row['n_trials']), 'trial')} of {count(int(row['n_configurations']), 'configuration')}."
    )
    if np.isfinite(row["bend_p"]):
        verb = "bends" if row["bend_p"] < 0.05 else "cannot be told from a straight line"
        caption += f" The curve {verb} (p {equals(row['bend_p'])})."
    if np.isfinite(row["explained_by_line"]):
        caption += (
            f" Of the variance between trials the line explains {percent(row['explained_by_line'])}, the curve "
            f"{percent(row['explained_by_curve'])}."
        )
    return Plot(
        title=f"{outcome.label} along {measure.inline}, {place_words(place)}",
        panels=tuple(panels),
        legend=_LEGEND,
        caption=caption,
        download=Download.of(
            pd.concat([dose, curve], keys=["curve", "contrast"], names=["part"]).reset_index(level="part"),
            context.data.name, *place, "dose-response",
        ),
    )  # fmt: skip


def _table(context: Context, table: pd.DataFrame) -> Block:
    def paper(row: Row) -> str:
        if not np.isfinite(row["paper_ate"]):
            return DASH
        return f"{signed(row['paper_ate'], 3)} \u00b1 {signed(row['paper_half_width'], 3)}"

    columns = (
        *PLACE,
        Column("Trials of", lambda row: "all" if row["type"] == _ALL else str(row["type"]), numeric=False),
        Column("Quantile", lambda row: f"{row['quantile']:.2f}" if np.isfinite(row["quantile"]) else DASH),
        Column("Threshold", lambda row: short(row["tau"])),
        interval("ate", "Difference"),
        chance("ate_p"),
        chance("p_holm", "p (Holm)"),
        Column("As in the paper", paper),
        chance("paper_p", "one-sided p"),
        Column("Trials above / at or below", lambda row: f"{_int(row['n_above'])} / {_int(row['n_below'])}"),
        note(),
    )
    title = (
        "Trials above a threshold against the others; as in Table 1 of Gulcehre et al. (2022), which takes trials as "
        "independent, beside the interval by configuration"
    )
    return page_table(table, columns, title, context.data.name, "threshold-ate")


def _int(value: object) -> str:
    return DASH if pd.isna(value) else f"{value:,}"  # type: ignore[call-overload]
