"""Performance profiles: how many runs of a kind are above each score."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import WIDE, Panel, Series

MOST_BANDS = 3
"""With more lines than this their bands would be one grey block."""


def profile(table: pd.DataFrame, series: Sequence[Series], group: str, axis: str) -> Panel:
    """A line for each of ``series`` with its band: columns ``group`` (words), tau, share, share_low, share_high."""

    def draw(axes: Axes, palette: Palette) -> None:
        for entry in series:
            line = table[table[group] == entry.label].sort_values("tau")
            color = palette[entry.color]
            if len(series) <= MOST_BANDS:
                axes.fill_between(
                    line["tau"], line["share_low"], line["share_high"], color=color, alpha=0.14, linewidth=0
                )
            axes.step(line["tau"], line["share"], where="post", color=color, linewidth=1.8)
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel(axis)
        axes.set_ylabel("Runs above")

    return Panel(draw, "Share of runs above each score", WIDE)
