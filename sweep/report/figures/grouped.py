"""Trials coloured by a hyperparameter, each of its values with a line of its own, and the line over all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sweep.analysis.vocabulary import term
from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import WIDE, Panel, Series
from sweep.report.figures.scatter import limits


def grouped_scatter(
    points: pd.DataFrame, series: Sequence[Series], group: str, measure: str, outcome: str
) -> Panel:
    """``points``: columns ``group`` (words), ``measure``, ``outcome``. Lines are least squares, over all is dashed."""

    def draw(axes: Axes, palette: Palette) -> None:
        for entry in series:
            here = points[points[group] == entry.label]
            color = palette[entry.color]
            axes.scatter(here[measure], here[outcome], s=12, color=color, alpha=0.4, linewidths=0, zorder=2)
        for entry in series:
            here = points[points[group] == entry.label]
            _line(axes, here[measure], here[outcome], palette[entry.color], palette, 2.0, "-")
        _line(axes, points[measure], points[outcome], palette["ink"], palette, 1.6, "--")
        axes.set_ylim(*limits(points[outcome]))
        axes.set_xlabel(term(measure).axis)
        axes.set_ylabel(term(outcome).axis)

    return Panel(
        draw, f"{term(outcome).label} against {term(measure).inline}, with a line for each group", WIDE
    )


def _line(
    axes: Axes, x: pd.Series, y: pd.Series, color: str, palette: Palette, width: float, dashes: str
) -> None:
    places, values = x.to_numpy(float), y.to_numpy(float)
    if len(places) < 3 or np.ptp(places) == 0:
        return
    slope, intercept = np.polyfit(places, values, 1)
    ends = np.array([places.min(), places.max()])
    axes.plot(ends, intercept + slope * ends, color=palette["surface"], linewidth=width + 2, zorder=3)
    axes.plot(ends, intercept + slope * ends, color=color, linewidth=width, linestyle=dashes, zorder=4)
