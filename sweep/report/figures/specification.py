"""A specification curve: estimates from low to high, and under each the choices that it is of."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import Panel

_ROW = 0.17
"""Inches of a choice."""


def specification(
    table: pd.DataFrame, choices: Sequence[tuple[str, str, npt.NDArray[np.bool_]]], axis: str, described: str
) -> Panel:
    """``table``: columns place, estimate, estimate_low, estimate_high, significant. ``choices``: what is chosen, the
    choice in words, and which rows ``[N]`` made it.
    """

    def draw(axes: Axes, palette: Palette) -> None:
        figure, spec = axes.figure, axes.get_subplotspec()
        assert spec is not None
        axes.remove()
        parts = spec.subgridspec(2, 1, height_ratios=(1.9, _ROW * (len(choices) + 1)), hspace=0.02)
        top = figure.add_subplot(parts[0])
        bottom = figure.add_subplot(parts[1], sharex=top)
        for told, color in ((False, "muted"), (True, "category-1")):
            here = table[table["significant"] == told]
            _bars(top, here, palette[color])
            top.scatter(here["place"], here["estimate"], s=5, color=palette[color], linewidths=0, zorder=3)
        top.axhline(0, color=palette["ink"], linewidth=0.8, zorder=1)
        top.set_ylabel(axis)
        top.tick_params(axis="x", labelbottom=False, length=0)
        top.grid(visible=False, axis="x")
        of, names = "", []
        for row, (kind, words, made) in enumerate(choices):
            if kind != of:
                of, words = kind, f"{kind}: {words}"
                if row:
                    bottom.axhline(row - 0.5, color=palette["grid"], linewidth=0.8, zorder=0)
            names.append(words)
            _ticks(bottom, table.loc[made, "place"].to_numpy(float), row, palette["ink"])
        bottom.set_yticks(range(len(choices)), names, fontsize=7.5)
        bottom.set_ylim(len(choices) - 0.4, -0.6)
        bottom.tick_params(length=0)
        bottom.grid(visible=False)
        bottom.spines[:].set_visible(False)
        bottom.set_xlabel("Specifications, by their estimate")

    return Panel(draw, described, (8.6, 2.7 + _ROW * (len(choices) + 1)))


def _bars(axes: Axes, here: pd.DataFrame, color: str) -> None:
    """Every interval in one path, which is a fraction of the size of a path each."""
    gap = np.full(len(here), np.nan)
    x = np.stack([here["place"], here["place"], gap], axis=1).ravel()
    y = np.stack([here["estimate_low"], here["estimate_high"], gap], axis=1).ravel()
    axes.plot(x, y, color=color, alpha=0.35, linewidth=1.0, zorder=2)


def _ticks(axes: Axes, places: npt.NDArray[np.float64], row: int, color: str) -> None:
    gap = np.full(len(places), np.nan)
    x = np.stack([places, places, gap], axis=1).ravel()
    y = np.stack([np.full(len(places), row - 0.3), np.full(len(places), row + 0.3), gap], axis=1).ravel()
    axes.plot(x, y, color=color, linewidth=0.8)
