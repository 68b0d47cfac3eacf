"""Measures over training: a line for each group, with the band of the middle half of its trials."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.analysis.vocabulary import term
from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import Panel, Series
from sweep.report.figures.ticks import ROUND, over_steps


def curve(table: pd.DataFrame, series: Sequence[Series], group: str, measure: str) -> Panel:
    """Median of ``measure`` over training for each value of ``group``, with the band between the quartiles.

    ``table``: rows of `sweep.analysis.curves` for one environment and space; ``series`` in the order of the
    values' first appearance under ``group`` (a column of words).
    """
    here = table[table["measure"] == measure]

    def draw(axes: Axes, palette: Palette) -> None:
        # Thinner from line to line: curves that coincide, such as no dead units, all stay visible.
        widths = np.linspace(2.4, 1.4, max(2, len(series)))
        # Many bands on one spot add up to one dark block.
        shade = 0.16 if len(series) <= 3 else 0.09
        for entry, width in zip(series, widths, strict=False):
            color = palette[entry.color]
            line = here[here[group] == entry.label].sort_values("step")
            if (line["n_trials"] > 1).any():
                axes.fill_between(
                    line["step"], line["q25"], line["q75"], color=color, alpha=shade, linewidth=0
                )
            marker = "o" if len(line) < 3 else ""
            axes.plot(line["step"], line["median"], color=color, linewidth=width, marker=marker, markersize=3)
        if here.empty:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=palette["muted"])
        axes.set_title(term(measure).axis)
        axes.set_xlabel(term("step").label)
        over_steps(axes)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=term(measure).whole, steps=ROUND))

    return Panel(draw, f"{term(measure).label} over training")
