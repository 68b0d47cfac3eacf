"""Trials as marks, with a line and a band for each space."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sweep.analysis.vocabulary import term
from sweep.report.figures.palette import CATEGORIES, Palette
from sweep.report.figures.panel import SMALL, WIDE, Panel, Series
from sweep.report.words import count

MARKERS = ("o", "^", "s", "D", "v", "P")


def scatter(
    points: pd.DataFrame, lines: pd.DataFrame, spaces: Sequence[str], measure: str, outcome: str
) -> tuple[Panel, tuple[Series, ...]]:
    """Trials of each space with its regression line and band, and the legend.

    ``points``: columns space, ``measure``, ``outcome``; ``lines``: space, x, fit, low, high (no rows for a space
    without a line). ``spaces`` are all of the sweep's, so that each keeps its colour, and drawn from last to first:
    a small first one stays on top.
    """
    drawn = [
        (space, CATEGORIES[index % 8], MARKERS[index % len(MARKERS)])
        for index, space in enumerate(spaces)
        if (points["space"] == space).any()
    ]

    def draw(axes: Axes, palette: Palette) -> None:
        for space, color, marker in reversed(drawn):
            here = points[points["space"] == space]
            # Effective ranks are whole numbers: without an outline, trials on one spot would look like one.
            axes.scatter(
                here[measure],
                here[outcome],
                s=18,
                marker=marker,
                color=palette[color],
                alpha=0.65,
                edgecolors=palette["surface"],
                linewidths=0.5,
                zorder=3,
            )
        bottom, top = limits(points[outcome])
        for space, color, _ in reversed(drawn):
            line = lines[lines["space"] == space]
            axes.fill_between(
                line["x"], line["low"], line["high"], color=palette[color], alpha=0.16, linewidth=0, zorder=2
            )
            axes.plot(line["x"], line["fit"], color=palette["surface"], linewidth=4, zorder=4)
            axes.plot(line["x"], line["fit"], color=palette[color], linewidth=2, zorder=5)
        # A band of few configurations may be wider than all data; the trials set the scale.
        axes.set_ylim(bottom, top)
        axes.set_xlabel(term(measure).axis)
        axes.set_ylabel(term(outcome).axis)

    described = f"{term(outcome).label} against {term(measure).inline}, by space"
    legend = tuple(
        Series(f"{space} ({count(int((points['space'] == space).sum()), 'trial')})", color, marker)
        for space, color, marker in drawn
    )
    return Panel(draw, described, WIDE if len(lines) else SMALL), legend


def limits(values: pd.Series) -> tuple[float, float]:
    """The range of ``values`` with a margin."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
