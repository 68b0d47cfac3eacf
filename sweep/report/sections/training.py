"""Measures over training, by what tells the curves apart."""

from collections.abc import Sequence

import pandas as pd

from sweep.analysis import curves
from sweep.analysis.frames import by_space
from sweep.analysis.vocabulary import term
from sweep.report.context import Context
from sweep.report.figures.curve import curve
from sweep.report.grouping import factors, grouped
from sweep.report.page import Block, Download, Paragraph, Plot, Section
from sweep.report.sections.phases import phase_blocks
from sweep.report.words import count

CURVE_MEASURES = ("srank", "return_mean", "dead_units")


def training(context: Context) -> Section:
    """Rank, return and dead units over training: a figure per environment, space and varying factor; phases."""
    plots: list[Block] = []
    metrics = context.data.curves
    measures = [m for m in dict.fromkeys((*CURVE_MEASURES, context.measure)) if m in metrics.columns]
    rows = by_space(context.data.traced_trials)
    diverged = rows[rows["status"] == "diverged"].groupby(["env", "space"]).size()
    finished = rows[(rows["status"] == "finished")]
    for env in context.envs:
        for space in context.spaces:
            here = finished[(finished["env"] == env) & (finished["space"] == space)]
            if here.empty:
                continue
            lost = int(diverged.get((env, space), 0))
            chosen: list[str | None] = [*factors(here)]
            plots += [
                _curves_of(context, here, measures, factor, (env, space), lost) for factor in chosen or [None]
            ]
    if not plots:
        return Section("curves", "Over training", (Paragraph("No trial has finished yet."),))
    traced, all_ = len(context.data.traced_trials), len(context.trials)
    if traced < all_:
        told = (
            f"Curves and phases are of {traced:,} of {all_:,} trials: all seeds of some configurations of each "
            "environment and space, drawn at random."
        )
        plots.insert(0, Paragraph(told))
    plots += phase_blocks(context)
    return Section("curves", "Over training", tuple(plots))


def _curves_of(
    context: Context,
    here: pd.DataFrame,
    measures: Sequence[str],
    factor: str | None,
    place: tuple[str, str],
    lost: int,
) -> Plot:
    words, series = grouped(here, factor)
    column = factor or "group"
    of_space = here.drop(columns="space").assign(spaces=here["space"].map(lambda s: [s]), **{column: words})
    table = curves(of_space, context.data.curves, by=[column], measures=measures)
    env, space = place
    apart = f"by {term(factor).inline}" if factor else "all finished trials"
    sizes = table.groupby(column)["n_trials"].max() if len(table) else pd.Series(dtype=int)
    each = f"{sizes.min()} to {sizes.max()}" if len(sizes) and sizes.min() < sizes.max() else f"{sizes.max()}"
    caption = f"Lines: median; bands: middle half of trials, for {count(len(here), 'finished trial')}"
    caption += f", {each} a line." if factor else "."
    if "dead_units" in measures and "activation" in here and set(here["activation"]) - {"relu"}:
        caption += (
            " A dead unit is zero for every probe observation: of the activations, only ReLU has a flat zero."
        )
    if lost:
        caption += f" {count(lost, 'diverged trial')} not shown."
    return Plot(
        title=f"{space.capitalize()} space on {env}, {apart}",
        panels=tuple(curve(table, series, column, measure) for measure in measures),
        legend=tuple(series) if factor else (),
        caption=caption,
        download=Download.of(table, context.data.name, env, space, "curves", column),
    )
