"""The figures of the report with their captions, legends and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sweep.analysis import classify, curves, regression_line
from sweep.analysis.exclusions import INCLUDED
from sweep.analysis.final import value_column
from sweep.analysis.frames import by_space, space_order
from sweep.analysis.vocabulary import label, term
from sweep.report import figures, svg
from sweep.report.grouping import factors, grouped
from sweep.report.tables import Download
from sweep.report.verdict import count

CURVE_MEASURES = ("srank", "return_mean", "dead_units")


@dataclass(frozen=True)
class LegendEntry:
    """Words, a CSS color, and the marker's name in matplotlib ("" for a line)."""

    label: str
    color: str
    marker: str


@dataclass(frozen=True)
class Figure:
    """Panels under one title, with a legend, a caption from the numbers, and the numbers."""

    title: str
    panels: tuple[str, ...]
    legend: tuple[LegendEntry, ...]
    caption: str
    download: Download
    lined: bool = True
    """False for a scatter without a line, which is shown small."""


def scatters(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    correlations: pd.DataFrame,
    measure: str,
    outcome: str,
    sweep: str,
) -> list[Figure]:
    """One figure per environment: every space's trials, and the lines that `correlation` did not refuse."""
    rows = by_space(classify(trials, metrics, [measure, outcome]))
    rows = rows[rows["reason"] == INCLUDED]
    rows = rows.rename(columns={value_column(trials, name): name for name in (measure, outcome)})
    found = []
    for number, env in enumerate(dict.fromkeys(trials["env"])):
        points = rows[rows["env"] == env]
        if points.empty:
            continue
        order = space_order(trials)
        spaces = [space for space in order if (points["space"] == space).any()]
        lines = [pd.DataFrame(columns=["space", "x", "fit", "low", "high"], dtype=float)]
        known = correlations[(correlations["env"] == env) & correlations["slope"].notna()]
        for space in known["space"]:
            here = points[points["space"] == space]
            x, y = here[measure].to_numpy(float), here[outcome].to_numpy(float)
            at = np.linspace(x.min(), x.max(), 41)
            line = regression_line(x, y, here["configuration"].to_numpy(), at)
            lines.append(line.assign(space=space))
        drawn = pd.concat([line for line in lines if len(line)] or lines, ignore_index=True)
        panel = figures.scatter(points, drawn, order, measure, outcome, f"scatter{number}")
        numbers = points[
            ["space", "trial_id", "configuration", "activation", "learning_rate", measure, outcome]
        ]
        found.append(
            Figure(
                title=f"{label(outcome)} against {term(measure).inline} on {env}",
                panels=(panel.svg,),
                legend=_legend(panel.legend),
                caption=_scatter_caption(points, spaces, list(known["space"])),
                download=Download.of(numbers, sweep, env, measure, "against", outcome),
                lined=len(drawn) > 0,
            )
        )
    return found


def training_curves(trials: pd.DataFrame, metrics: pd.DataFrame, sweep: str) -> list[Figure]:
    """Rank, return and dead units over training: a figure per environment, space and varying factor."""
    found: list[Figure] = []
    measures = [measure for measure in CURVE_MEASURES if measure in metrics.columns]
    rows = by_space(trials)
    diverged = rows[rows["status"] == "diverged"].groupby(["env", "space"]).size()
    finished = rows[rows["status"] == "finished"]
    order = space_order(trials)
    for env in dict.fromkeys(trials["env"]):
        for space in order:
            here = finished[(finished["env"] == env) & (finished["space"] == space)]
            if here.empty:
                continue
            chosen: list[str | None] = [*factors(here)]
            for factor in chosen or [None]:
                drawn = _curves_of(
                    here, metrics, measures, factor, f"curve{len(found)}", (sweep, str(env), space)
                )
                lost = int(diverged.get((env, space), 0))
                if lost:
                    told = f"{drawn.caption} {count(lost, 'diverged trial')} not shown."
                    drawn = replace(drawn, caption=told)
                found.append(drawn)
    return found


def _curves_of(
    here: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str],
    factor: str | None,
    name: str,
    place: tuple[str, str, str],
) -> Figure:
    words, series = grouped(here, factor)
    column = factor or "group"
    of_space = here.drop(columns="space").assign(spaces=here["space"].map(lambda s: [s]), **{column: words})
    table = curves(of_space, metrics, by=[column], measures=measures)
    panels = tuple(figures.curve(table, series, column, measure, f"{name}{measure}") for measure in measures)
    _, env, space = place
    apart = f"by {term(factor).inline}" if factor else "all finished trials"
    sizes = table.groupby(column)["n_trials"].max() if len(table) else pd.Series(dtype=int)
    each = f"{sizes.min()} to {sizes.max()}" if len(sizes) and sizes.min() < sizes.max() else f"{sizes.max()}"
    caption = f"Lines: median; bands: middle half of trials, for {count(len(here), 'finished trial')}"
    caption += f", {each} a line." if factor else "."
    if "dead_units" in measures and set(here["activation"]) - {"relu"}:
        caption += (
            " A dead unit is zero for every probe observation: of the activations, only ReLU has a flat zero."
        )
    return Figure(
        title=f"{space.capitalize()} space on {env}, {apart}",
        panels=panels,
        legend=_legend(series) if factor else (),
        caption=caption,
        download=Download.of(table, *place, "curves", column),
    )


def _scatter_caption(points: pd.DataFrame, spaces: Sequence[str], lined: Sequence[str]) -> str:
    parts = []
    for space in spaces:
        here = points[points["space"] == space]
        configurations = here["configuration"].nunique()
        parts.append(f"{space} {count(len(here), 'trial')} of {count(configurations, 'configuration')}")
    caption = f"Each mark is a trial at the end of training: {'; '.join(parts)}."
    shared = int(points.loc[points["trial_id"].duplicated(), "trial_id"].nunique())
    if shared:
        caption += f" {count(shared, 'trial')} in more than one space, drawn in each."
    if lined:
        caption += (
            " Lines: least squares; bands: pointwise 95 % intervals from a bootstrap over configurations, "
            "cut at the range of the trials."
        )
    without = [space for space in spaces if space not in lined]
    if without:
        caption += f" No line for {', '.join(without)}: see the notes in the table of correlations."
    return caption


def _legend(series: Sequence[figures.Series]) -> tuple[LegendEntry, ...]:
    return tuple(LegendEntry(entry.label, svg.css_variable(entry.color), entry.marker) for entry in series)


__all__ = ["CURVE_MEASURES", "Figure", "LegendEntry", "scatters", "term", "training_curves"]
