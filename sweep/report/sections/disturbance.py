"""What is kept of the return when observations are disturbed (Figures 21 and 22)."""

import pandas as pd

from sweep.analysis.performance.robustness import AREA, DIFFERENCE, KEPT
from sweep.report.context import Absent, Context
from sweep.report.figures.bands import Band, banded
from sweep.report.figures.palette import CATEGORIES
from sweep.report.figures.panel import WIDE, Series
from sweep.report.page import Block, Download, Gallery, Paragraph, Plot, Section
from sweep.report.sections.kinds import factors_of_kinds, kind_words
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, chance, interval, note, page_table, words
from sweep.report.words import count, in_words, sentence, why

_NAME, _TITLE = "robustness", "Disturbed observations"
_AXES = {"shift": "Shift (pixels)", "scale": "Scaling (share)", "noise": "Noise (standard deviation)"}
_MOST_LINES = 6


def disturbance(context: Context) -> Section:
    """The share of the return kept at each amount, and the areas under these curves."""
    factors = factors_of_kinds(context)
    try:
        table = context.table("robustness", by=factors)
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    table = table.assign(kind_of_run=[kind_words(row, factors) for row in table.to_dict("records")])
    kept = table[(table["statistic"] == KEPT) & table["value"].notna()]
    if kept.empty:
        reasons = dict.fromkeys(sentence(in_words(text)) for text in table["note"].dropna())
        return Section(
            _NAME, _TITLE, absent=" ".join(reasons) or "No trial was evaluated under disturbances."
        )
    there = places(kept)
    areas = table[table["statistic"].isin([AREA, DIFFERENCE])]
    names = dict(zip(table["group"], table["kind_of_run"], strict=True))
    columns = (
        *PLACE,
        words("perturbation", "Disturbance"),
        Column("Statistic", lambda row: str(row["statistic"]), numeric=False),
        Column("Kind of run", lambda row: row["kind_of_run"], numeric=False),
        Column(
            "Less",
            lambda row: names.get(row["against"], "") if row["statistic"] == DIFFERENCE else "",
            numeric=False,
        ),
        interval("value", "Value"),
        chance("p_holm", "p (Holm)"),
        note(),
    )
    blocks: list[Block] = [
        Paragraph(
            "Mean return with disturbed observations over mean return without, in the same episodes; 1: nothing is "
            "lost. 95 % intervals over configurations, or seeds where a kind of run is one configuration."
            + undrawn(len(there))
        ),
        Gallery(tuple(plot for place in there[:MOST_PLACES] for plot in _plots(context, kept, place))),
        page_table(
            areas, columns, "Areas under the curves and their differences", context.data.name, "robustness"
        ),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def _plots(context: Context, kept: pd.DataFrame, place: Place) -> list[Plot]:
    here = of_place(kept, place)
    plots = []
    for kind, rows in here.groupby("perturbation", sort=False):
        bands, legend = [], []
        groups = list(rows.groupby("kind_of_run", sort=False))
        for (name, of_kind), color in zip(groups[:_MOST_LINES], CATEGORIES, strict=False):
            of_kind = of_kind.sort_values("amount")
            bands.append(
                Band.of(of_kind, "amount", "value", "value_low", "value_high", color=color, marker="o")
            )
            legend.append(Series(str(name), color))
        told = f" The first {_MOST_LINES} of {len(groups)} kinds of run." if len(groups) > _MOST_LINES else ""
        runs = int(rows.groupby("kind_of_run")["n_trials"].max().sum())
        axis = _AXES.get(str(kind), str(kind).capitalize())
        plots.append(
            Plot(
                title=f"{axis.partition(' (')[0]}, {place_words(place)}",
                panels=(
                    banded(bands, ("", axis, "Share of the return kept"), "Return kept", null=1.0, size=WIDE),
                ),
                legend=tuple(legend),
                caption=f"{count(runs, 'run')}; bars: 95 % intervals.{told}",
                download=Download.of(rows, context.data.name, *place, "robustness", str(kind)),
            )
        )
    return plots
