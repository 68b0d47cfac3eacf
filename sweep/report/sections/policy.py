"""Choosing a policy without running it: regret by measure, the best value as training goes on, the rank at each."""

import numpy as np
import pandas as pd

from sweep.analysis.samples import TOGETHER
from sweep.analysis.vocabulary import label, term
from sweep.report.context import Absent, Context
from sweep.report.figures.bands import Band, banded
from sweep.report.figures.evolution import evolution
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.figures.panel import Panel, Series
from sweep.report.page import Block, Download, Gallery, Heading, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, Row, interval, note, page_table
from sweep.report.words import DASH, count, percent, short, signed, value_words, why

_NAME, _TITLE = "policy", "Choosing a policy without running it"
_OF = "learning_rate"
_WORDS = {"max": "highest", "min": "lowest"}


def policy(context: Context) -> Section:
    """Regret of choosing the learning rate by a measure, which was best when, and the measure at each."""
    if _OF not in context.trials.columns:
        return Section(_NAME, _TITLE, absent="The trials have no learning rate to choose.")
    try:
        # The choice is made at the end, for which last values are all that is needed.
        table = context.table("policy-selection", last=True)
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["regret"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    outcome = term(context.outcome).inline
    there = places(known)
    told = (
        f"Each seed chooses a {label(_OF).lower()} by a measure at the end of training, without looking at the "
        f"{outcome}. Regret (Konyushkova et al. 2021): 0 where the choice is the candidate with the best {outcome} on "
        "average over seeds, 1 where it is the worst. Intervals: 95 %, over seeds; none where none is looked at."
    )
    blocks: list[Block] = [
        Paragraph(told + undrawn(len(there))),
        Gallery(tuple(_regret(context, of_place(known, place), place) for place in there[:MOST_PLACES])),
        _table(context, table),
        *_evolution(context),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def _regret(context: Context, rows: pd.DataFrame, place: Place) -> Plot:
    estimates = []
    for row in rows.to_dict("records"):
        own = row["selector"].startswith(("online", "random"))
        estimates.append(
            Estimate(
                _selector(row["selector"]), row["regret"], row["regret_low"], row["regret_high"],
                "muted" if own else "category-1", "D" if own else "o",
            )
        )  # fmt: skip
    first = rows.iloc[0]
    seeds = f" and {count(int(first['n_seeds']), 'seed')}" if pd.notna(first["n_seeds"]) else ""
    return Plot(
        title=f"Regret of the choice, {place_words(place)}",
        panels=(
            forest([Group("", tuple(estimates))], "Regret (0 best, 1 worst)", "Regret of each way to choose"),
        ),
        legend=(Series("by a measure", "category-1", "o"), Series("for comparison", "muted", "D")),
        caption=(
            f"{count(int(first['n_candidates']), 'candidate')}{seeds}, {count(int(first['n_trials']), 'trial')}."
            if pd.notna(first["n_candidates"])
            else f"Mean over environments, {count(int(first['n_trials']), 'trial')}."
        ),
        download=Download.of(rows, context.data.name, *place, "policy-selection"),
    )


def _selector(name: str) -> str:
    """``highest effective rank`` for ``srank:max``."""
    measure, colon, direction = name.partition(":")
    if not colon:
        return name
    counted = direction == "min" and measure.endswith("_units")
    return f"{'fewest' if counted else _WORDS[direction]} {term(measure).inline}"


def _table(context: Context, table: pd.DataFrame) -> Block:
    def sets(row: Row) -> str:
        if not np.isfinite(row["sets_mean"]):
            return DASH
        return f"{signed(row['sets_mean'])} [{signed(row['sets_low'])}, {signed(row['sets_high'])}]"

    def gain(row: Row) -> str:
        if not np.isfinite(row["gain"]):
            return DASH
        error = f" \u00b1 {signed(row['gain_se'], 1)}" if np.isfinite(row["gain_se"]) else ""
        return f"{signed(row['gain'], 1)} %{error}"

    columns = (
        *PLACE,
        Column(
            "Chosen by",
            lambda row: _selector(row["selector"]) if _there(row["selector"]) else "",
            numeric=False,
        ),
        Column("Choice", lambda row: value_words(row["chosen"]) if _there(row["chosen"]) else DASH),
        Column("Of the seeds", lambda row: percent(row["chosen_share"])),
        interval("regret", "Regret", 2),
        Column("Over sets of candidates", sets),
        Column("Gain over the median choice", gain),
        note(),
    )
    title = "Regret of each way to choose; over sets of candidates: mean and quantiles of bootstrap draws"
    return page_table(table, columns, title, context.data.name, "policy-selection")


def _there(value: object) -> bool:
    return value is not None and value is not pd.NA and value == value


def _evolution(context: Context) -> list[Block]:
    try:
        best = context.table("lr-evolution", traced=True)
        ranks = context.table("rank-by-lr", traced=True)
    except Absent:
        return []
    known = best[best["best"].notna() & (best["n_values"] > 1)]
    plots = []
    for place in places(known)[:MOST_PLACES]:
        if place[0] != TOGETHER:
            plots.append(_of_training(context, of_place(known, place), of_place(ranks, place), place))
    if not plots:
        return []
    told = (
        f"The {label(_OF).lower()} with the highest mean {term(context.outcome).inline} at each step; pale: those that "
        f"cannot be told from it at 95 % there. Right: mean {term(context.measure).inline} at each, early and late."
    )
    return [Heading(f"The best {label(_OF).lower()} as training goes on"), Paragraph(told), *plots]


def _of_training(context: Context, best: pd.DataFrame, ranks: pd.DataFrame, place: Place) -> Plot:
    steps = best["step"].to_numpy(float)
    values = best["best"].to_numpy(float)
    alike = [
        [float(one) for one in str(text).split(", ")] if isinstance(text, str) else [value]
        for text, value in zip(best["not_distinguishable"], values, strict=True)
    ]
    panels: list[Panel] = [evolution(steps, values, alike, label(_OF))]
    legend = [Series("best", "category-1", "o"), Series("cannot be told from it", "muted", "s")]
    taken = ranks[ranks["mean"].notna()]
    bands = []
    if len(set(taken["value"])) > 1:
        for step, color in zip(sorted(taken["step"].unique()), ("category-4", "category-3"), strict=False):
            here = taken[taken["step"] == step].sort_values("value")
            bands.append(Band.of(here, "value", "mean", "low", "high", color=color, marker="o"))
            legend.append(Series(f"at step {short(float(step))}", color))
        measure = term(context.measure)
        panels.append(
            banded(
                bands, ("", label(_OF), measure.axis), f"{measure.label} by learning rate", logarithmic=True
            )
        )
    row = best.iloc[-1]
    caption = f"{count(int(row['n_trials']), 'trial')}. At step {short(steps[-1])} "
    caption += f"the best is {value_words(values[-1])}"
    if np.isfinite(row["share"]):
        caption += f", in {percent(float(row['share']))} of bootstrap draws"
    caption += f"; {row['n_not_distinguishable']} of {row['n_values']} values cannot be told from it"
    caption += f" (repeated by {row['repeated_by']}, {row['n_repeats']} or more of each)."
    return Plot(
        title=f"Best {label(_OF).lower()} over training, {place_words(place)}",
        panels=tuple(panels),
        legend=tuple(legend),
        caption=caption,
        download=Download.of(best, context.data.name, *place, "lr-evolution"),
    )
