"""The outcome against the measure, trial by trial: every environment, every space, with the lines of Figure 1."""

import numpy as np
import pandas as pd

from sweep.analysis import regression_line
from sweep.analysis.frames import varying
from sweep.analysis.vocabulary import label, term
from sweep.report.context import Context, thinned
from sweep.report.figures.panel import Series
from sweep.report.figures.scatter import limits, scatter
from sweep.report.live import numbers
from sweep.report.page import Block, Download, Gallery, Heading, Live, Paragraph, Plot, Section
from sweep.report.sections.parallel import parallel_plots
from sweep.report.tables import correlation_table
from sweep.report.words import count


def scatters(context: Context) -> Section:
    """A scatter for each environment, parallel coordinates, and the table of correlations."""
    measure, outcome = term(context.measure), term(context.outcome)
    plots = [plot for env in context.envs if (plot := _scatter(context, env)) is not None]
    lines = len(plots) == 1
    blocks: list[Block] = []
    if plots:
        blocks.append(plots[0] if lines else Gallery(tuple(plots)))
    else:
        blocks.append(Paragraph("No finished trial has both measures yet."))
    blocks += parallel_plots(context)
    blocks += [
        Heading("Correlations"),
        Paragraph(
            f"Estimate [95 % interval] per environment and space. Intervals: {context.draws:,} bootstrap draws of "
            "configurations with all their seeds, Student's t with one degree of freedom less than configurations; "
            "correlations on Fisher's scale. p: two-sided, for Spearman, uncorrected. Slope: "
            f"{outcome.inline} per unit of {measure.inline}. Associational."
        ),
        correlation_table(context.table("correlation"), context.data.name),
    ]
    return Section("scatter", f"{outcome.label} against {measure.inline}", tuple(blocks))


def _scatter(context: Context, env: str) -> Plot | None:
    measure, outcome = context.measure, context.outcome
    points = context.ends[context.ends["env"] == env]
    if points.empty:
        return None
    table = context.table("correlation")
    known = table[(table["env"] == env) & table["slope"].notna()]
    lines = [pd.DataFrame(columns=["space", "x", "fit", "low", "high"], dtype=float)]
    for space in known["space"]:
        here = points[points["space"] == space]
        x, y = here[measure].to_numpy(float), here[outcome].to_numpy(float)
        at = np.linspace(x.min(), x.max(), 41)
        line = regression_line(
            x, y, here["configuration"].to_numpy(), at, draws=context.draws, seed=context.seed
        )
        lines.append(line.assign(space=space))
    drawn = pd.concat([line for line in lines if len(line)] or lines, ignore_index=True)
    marks = thinned(points)
    panel, legend = scatter(marks, drawn, context.spaces, measure, outcome)
    columns = ["space", "trial_id", "configuration", *varying(points), "seed", measure, outcome]
    kept = [name for name in dict.fromkeys(columns) if name in points.columns]
    return Plot(
        title=f"{label(outcome)} against {term(measure).inline} on {env}",
        panels=(panel,),
        legend=legend,
        caption=_caption(context, points, marks, list(known["space"])),
        download=Download.of(points[kept], context.data.name, env, measure, "against", outcome),
        layout="beside",
        live=Live("scatter", _live(context, marks, drawn, legend)),
    )


def _live(
    context: Context, marks: pd.DataFrame, lines: pd.DataFrame, legend: tuple[Series, ...]
) -> dict[str, object]:
    """The same marks and lines for the script, the last space first, as in the picture."""
    spaces = [space for space in context.spaces if (marks["space"] == space).any()]
    traces = []
    for space, entry in reversed(list(zip(spaces, legend, strict=True))):
        here = marks[marks["space"] == space]
        traces.append(
            {
                "name": space,
                "color": entry.color,
                "marker": entry.marker,
                "x": numbers(here[context.measure]),
                "y": numbers(here[context.outcome]),
                "trial": [context.numbering[str(trial)] for trial in here["trial_id"]],
                "line": {
                    name: numbers(lines.loc[lines["space"] == space, name])
                    for name in ("x", "fit", "low", "high")
                },
            }
        )
    return {
        "x": {"title": term(context.measure).axis, "name": label(context.measure)},
        "y": {
            "title": term(context.outcome).axis,
            "name": label(context.outcome),
            "range": numbers(limits(marks[context.outcome])),
        },
        "traces": traces,
    }


def _caption(context: Context, points: pd.DataFrame, marks: pd.DataFrame, lined: list[str]) -> str:
    parts, without = [], []
    for space in context.spaces:
        here = points[points["space"] == space]
        if here.empty:
            continue
        configurations = int(here["configuration"].nunique())
        parts.append(f"{space} {count(len(here), 'trial')} of {count(configurations, 'configuration')}")
        if space not in lined:
            without.append(space)
    caption = f"Each mark is a trial at the end of training: {'; '.join(parts)}."
    if len(marks) < len(points):
        caption += (
            f" {len(marks):,} marks of {len(points):,} are drawn, spread evenly; lines are of all trials."
        )
    shared = int(points.loc[points["trial_id"].duplicated(), "trial_id"].nunique())
    if shared:
        caption += f" {count(shared, 'trial')} in more than one space, drawn in each."
    if lined:
        caption += (
            " Lines: least squares; bands: pointwise 95 % intervals from a bootstrap over configurations, "
            "cut at the range of the trials."
        )
    if without:
        caption += f" No line for {', '.join(without)}: see the notes in the table of correlations."
    return caption
