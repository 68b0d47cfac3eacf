"""Simpson's panel: the association over all trials beside that among trials of one value of a hyperparameter."""

import numpy as np
import pandas as pd

from sweep.analysis.confounding.agreement import WORDS
from sweep.analysis.samples import TOGETHER
from sweep.analysis.vocabulary import label, term
from sweep.report.context import Absent, Context, thinned
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.figures.grouped import grouped_scatter
from sweep.report.figures.panel import Panel, Series
from sweep.report.grouping import grouped
from sweep.report.page import Block, Download, Paragraph, Plot, Section
from sweep.report.sections.places import (
    MOST_PLACES,
    Place,
    of_place,
    place_words,
    places,
    undrawn,
)
from sweep.report.tables import PLACE, Column, chance, interval, note, page_table, whole, words
from sweep.report.words import count, listed, percent, why

_NAME, _TITLE = "simpson", "Within groups: Simpson's paradox"
# Words of an association that is another within groups.
_CHANGES = ("reverses", "vanishes", "shrinks", "appears")


def paradox(context: Context) -> Section:
    """Pooled against within-group slopes for every hyperparameter, and the grouping that changes most."""
    try:
        table = context.table("simpson")
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["within_slope"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    measure, outcome = term(context.measure).inline, term(context.outcome).inline
    there = places(known)
    blocks: list[Block] = [
        Paragraph(
            f"Does {measure} go with {outcome} among trials that share a hyperparameter's value, as it does among all? "
            "Slopes are changes of the outcome per standard deviation of the measure; within groups each value has a "
            "level of its own. Intervals: 95 %, by configuration. Associational." + undrawn(len(there))
        ),
        *(_plot(context, of_place(known, place), place) for place in there[:MOST_PLACES]),
        _table(context, table),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(context: Context, rows: pd.DataFrame, place: Place) -> Plot:
    own = rows[rows["group"] != "env"] if place[0] == TOGETHER and len(rows) > 1 else rows
    records = own.to_dict("records")
    first = records[0]
    estimates = [Estimate.of("over all trials", first, "pooled_slope", color="ink", marker="D")]
    estimates += [
        Estimate.of(f"within {term(str(row['group'])).inline}", row, "within_slope") for row in records
    ]
    unit = "standard deviations" if place[0] == TOGETHER else term(context.outcome).unit or "its units"
    axis = f"{term(context.outcome).label} ({unit}) per standard deviation"
    panels: list[Panel] = [
        forest([Group("", tuple(estimates))], axis, f"Slopes within groups, {place_words(place)}")
    ]
    scatter, series, told = _scatter(context, own, place)
    panels += scatter
    caption = (
        f"{count(int(first['n_trials']), 'trial')} of {count(int(first['n_configurations']), 'configuration')}. "
        f"{_verdicts(own)} Hollow marks: the interval holds zero.{told}"
    )
    return Plot(
        title=f"Over all trials and within groups, {place_words(place)}",
        panels=tuple(panels),
        legend=series,
        caption=caption,
        download=Download.of(rows, context.data.name, *place, "simpson"),
    )


def _verdicts(rows: pd.DataFrame) -> str:
    """``Shrinks within activation; agrees within batch size and dropout.``"""
    parts = []
    for word in WORDS:
        names = [term(str(name)).inline for name in rows.loc[rows["verdict"] == word, "group"]]
        if names:
            parts.append(f"{word} within {listed(names)}")
    told = "; ".join(parts)
    return f"{told[:1].upper()}{told[1:]}." if told else ""


def _scatter(
    context: Context, rows: pd.DataFrame, place: Place
) -> tuple[list[Panel], tuple[Series, ...], str]:
    """The grouping that changes the association most, by its verdict first, where one has another slope for certain."""
    differs = rows[rows["difference_p_holm"] < 0.05]
    if place[0] == TOGETHER or differs.empty:
        return [], (), ""
    changed = differs[differs["verdict"].isin(_CHANGES)]
    differs = changed if len(changed) else differs
    chosen = differs.iloc[int(differs["difference"].abs().to_numpy().argmax())]
    group = str(chosen["group"])
    points = context.ends
    points = points[(points["env"] == place[0]) & (points["space"] == place[1])]
    marks = thinned(points)
    names, series = grouped(points, group)
    marks = marks.assign(**{"\0group": names.loc[marks.index]})
    panel = grouped_scatter(marks, series, "\0group", context.measure, context.outcome)
    named = term(group).inline
    what = f"within which the association {chosen['verdict']}"
    if chosen["verdict"] not in _CHANGES:
        what = "whose slope differs most from that over all"
    told = f" Right: {named}, {what}; a least-squares line for each value, dashed over all trials."
    if np.isfinite(chosen["flip_share"]):
        told += (
            f" Slopes over all and within {named} have opposite signs in {percent(float(chosen['flip_share']))} of "
            "bootstrap draws."
        )
    legend = tuple(
        Series(f"{named} {s.label}" if n == 0 else s.label, s.color, "o") for n, s in enumerate(series)
    )
    return [panel], legend, told


def _table(context: Context, table: pd.DataFrame) -> Block:
    columns = (
        *PLACE,
        Column(
            "Grouped by",
            lambda row: label(row["group"]) if isinstance(row["group"], str) else "",
            numeric=False,
        ),
        words("verdict"),
        interval("pooled_slope", "Slope over all"),
        interval("within_slope", "Slope within"),
        chance("difference_p_holm", "p of their difference (Holm)"),
        interval("pooled_spearman", "Spearman over all", 2),
        interval("within_spearman", "Spearman within", 2),
        Column("Signs differ in", lambda row: percent(float(row["flip_share"]))),
        whole("n_groups"),
        whole("n_trials"),
        note(),
    )
    return page_table(
        table, columns, "Slopes over all trials and within groups", context.data.name, "simpson"
    )
