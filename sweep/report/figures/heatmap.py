"""A map of numbers on a scale with a middle; those that cannot be told from zero are grey."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from sweep.report.figures.palette import Palette, side
from sweep.report.figures.panel import Panel
from sweep.report.words import signed

_CELL = 0.62
"""Inches of a cell's side."""


def heatmap(
    values: npt.NDArray[np.float64],
    told: npt.NDArray[np.bool_],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    described: str,
    *,
    digits: int = 2,
) -> Panel:
    """``values`` ``[R, C]`` (NaN: no cell) in cells coloured where ``told``, grey elsewhere, each with its number."""
    shown = values[np.isfinite(values) & told]
    largest = float(np.abs(shown).max()) if len(shown) else 0.0

    def draw(axes: Axes, palette: Palette) -> None:
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if not np.isfinite(value):
                    continue
                color = palette[side(float(value), largest) if told[i, j] else "faint"]
                axes.add_patch(Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, facecolor=color, edgecolor="none"))
                axes.text(
                    j + 0.5,
                    i + 0.5,
                    signed(float(value), digits),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=palette["ink" if told[i, j] else "muted"],
                )
        axes.set_xlim(0, len(columns))
        axes.set_ylim(len(rows), 0)
        axes.set_aspect("equal")
        axes.set_xticks(
            np.arange(len(columns)) + 0.5, [fill(c, 16) for c in columns], rotation=40, ha="right"
        )
        axes.set_yticks(np.arange(len(rows)) + 0.5, [fill(r, 20) for r in rows])
        axes.tick_params(length=0, labelsize=8)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_title(title)

    return Panel(draw, described, (1.9 + _CELL * len(columns), 1.6 + _CELL * len(rows)))
