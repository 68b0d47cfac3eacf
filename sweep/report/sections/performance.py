"""How good kinds of run are over environments: aggregates, profiles, and how often one beats another."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.figures.palette import CATEGORIES
from sweep.report.figures.panel import Series
from sweep.report.figures.profile import MOST_BANDS, profile
from sweep.report.page import Block, Download, Gallery, Paragraph, Plot, Section
from sweep.report.sections.kinds import factors_of_kinds, kind_words
from sweep.report.sections.places import Place, of_place, place_words, places
from sweep.report.tables import PLACE, Column, chance, interval, note, page_table, whole, words
from sweep.report.words import count, why

_NAME, _TITLE = "performance", "Performance of kinds of run"
_PERIODS = {"final": "final", "average": "average", "final - average": "final less average"}
_MOST_LINES = 8
_MOST_PAIRS = 14


def performance(context: Context) -> Section:
    """Interquartile means at the end and over training, profiles, and probabilities of improvement."""
    factors = factors_of_kinds(context)
    try:
        table, options = _aggregates(context, factors)
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    table = table.assign(kind_of_run=[kind_words(row, factors) for row in table.to_dict("records")])
    known = table[table["iqm"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    names: Mapping[str, str] = dict(zip(table["group"], table["kind_of_run"], strict=True))
    blocks: list[Block] = [
        Paragraph(
            "A kind of run is a combination of hyperparameters of few levels. The interquartile mean leaves out the "
            "lower and the upper quarter of runs; environments count equally. 95 % intervals from "
            f"{context.draws:,} bootstrap draws within each environment. Final: the last evaluation. Average: the mean "
            "over all evaluations after the first step; above the final score where training went on too long."
        )
    ]
    there = places(known)
    blocks.append(Gallery(tuple(_aggregate_plot(context, known, place) for place in there)))
    blocks.append(_table(context, table, factors))
    profiles = context.table("profiles", **options)
    profiles = profiles.assign(kind_of_run=profiles["group"].map(names))
    several = [place for place in there if len(_best(known, place)) > 1]
    shown = [
        _profile_plot(context, known, profiles, place)
        for place in several
        if float(np.ptp(of_place(profiles, place)["tau"].dropna())) > 0
    ]
    pairs = context.table("improvement", **options)
    shown += [plot for place in several if (plot := _pairs_plot(context, known, pairs, names, place))]
    if shown:
        blocks.append(Gallery(tuple(shown)))
    return Section(_NAME, _TITLE, tuple(blocks))


def _aggregates(context: Context, factors: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Environments pooled where they have a common scale, else each by itself; and the options that gave it."""
    options: dict[str, Any] = {"by": factors, "pool": True}
    table = context.table("aggregate", **options)
    if table["iqm"].isna().all() and len(context.envs) > 1:
        options["pool"] = False
        table = context.table("aggregate", **options)
    return table, options


def _aggregate_plot(context: Context, known: pd.DataFrame, place: Place) -> Plot:
    here = of_place(known, place)
    rows = []
    for kind, of_kind in here.groupby("kind_of_run", sort=False):
        by_period = {row["period"]: row for row in of_kind.to_dict("records")}
        for period, color, marker in (("final", "category-1", "o"), ("average", "category-4", "s")):
            row = by_period[period]
            label = str(kind) if period == "final" else ""
            rows.append(Estimate.of(label, row, "iqm", None, color=color, marker=marker))
    score = str(here["score"].iloc[0])
    ends = here[here["period"] == "final"]
    return Plot(
        title=f"Interquartile mean, {place_words(place)}",
        panels=(forest([Group("", tuple(rows))], term(score).axis, "Interquartile means", null=None),),
        legend=(Series("final", "category-1", "o"), Series("average over training", "category-4", "s")),
        caption=(
            f"{term(score).label} of {count(int(ends['n_trials'].sum()), 'run')} of "
            f"{count(int(ends['n_configurations'].sum()), 'configuration')} in "
            f"{count(int(ends['n_environments'].max()), 'environment')}; lines: 95 % intervals."
        ),
        download=Download.of(of_place(known, place), context.data.name, *place, "aggregate"),
    )


def _profile_plot(context: Context, known: pd.DataFrame, profiles: pd.DataFrame, place: Place) -> Plot:
    here = of_place(profiles, place)
    best = _best(known, place)
    drawn = best[:_MOST_LINES]
    series = tuple(Series(kind, CATEGORIES[n]) for n, kind in enumerate(drawn))
    score = str(here["score"].iloc[0])
    caption = f"Share of runs whose final {term(score).inline} is above each value"
    caption += (
        "; bands: pointwise 95 % intervals."
        if len(drawn) <= MOST_BANDS
        else "; intervals are in the download."
    )
    if len(drawn) < len(best):
        caption += f" The {len(drawn)} kinds of the highest interquartile mean, of {len(best)}."
    return Plot(
        title=f"Performance profiles, {place_words(place)}",
        panels=(profile(here, series, "kind_of_run", term(score).axis),),
        legend=series,
        caption=caption,
        download=Download.of(here, context.data.name, *place, "profiles"),
    )


def _pairs_plot(
    context: Context,
    known: pd.DataFrame,
    pairs: pd.DataFrame,
    names: Mapping[str, str],
    place: Place,
) -> Plot | None:
    here = of_place(pairs, place)
    told = here[here["improvement"].notna()]
    if told.empty:
        return None
    best = _best(known, place)[0]
    caption = "How often a run of the first kind scores higher than one of the second, in one environment, ties half"
    records = told.to_dict("records")
    if len(told) > _MOST_PAIRS:
        records = [row for row in records if best in (names[row["first"]], names[row["second"]])][
            :_MOST_PAIRS
        ]
        caption += f"; {count(len(records), 'pair')} of {len(told)}, those with {best}"
    rows = []
    for row in records:
        first, second = names[row["first"]], names[row["second"]]
        value, low, high = row["improvement"], row["improvement_low"], row["improvement_high"]
        if value < 0.5:
            first, second, value, low, high = second, first, 1 - value, 1 - high, 1 - low
        rows.append(Estimate(f"{first} over {second}", value, low, high, faint=bool(low <= 0.5 <= high)))
    significant = int((told["p_holm"] < 0.05).sum())
    caption += (
        f". Hollow: the 95 % interval holds one half. {significant} of {count(len(told), 'pair')} differ at 5 % after "
        "Holm's correction."
    )
    return Plot(
        title=f"Probability of improvement, {place_words(place)}",
        panels=(
            forest(
                [Group("", tuple(rows))], "Probability", "Probabilities of improvement", null=0.5, width=6.4
            ),
        ),
        caption=caption,
        download=Download.of(here, context.data.name, *place, "improvement"),
    )


def _table(context: Context, table: pd.DataFrame, factors: list[str]) -> Block:
    columns = (
        *PLACE,
        words("kind_of_run", "Kind of run"),
        Column("Score", lambda row: _PERIODS[row["period"]], numeric=False),
        interval("iqm", "Interquartile mean"),
        interval("median", "Median"),
        interval("mean", "Mean"),
        *([interval("optimality_gap", "Optimality gap")] if _normalised(table) else []),
        Column(
            "p of the difference",
            lambda row: chance("iqm_p").cell(row) if math.isfinite(row["iqm_p"]) else "",
        ),
        whole("n_trials", "Runs"),
        whole("n_environments", "Environments"),
        note(),
    )
    return page_table(table, columns, "Aggregates of kinds of run", context.data.name, "aggregate")


def _normalised(table: pd.DataFrame) -> bool:
    """The gap to a score of 1 means something for normalised scores alone."""
    return bool(table["score"].astype(str).str.startswith("return_normalized").all())


def _best(known: pd.DataFrame, place: Place) -> list[str]:
    ends = of_place(known, place)
    ends = ends[ends["period"] == "final"].sort_values("iqm", ascending=False, kind="stable")
    return [str(kind) for kind in ends["kind_of_run"]]
