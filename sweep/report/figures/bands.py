"""Curves with a band: an estimate along something, such as a threshold or a value of the measure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from numpy import float64

from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import SMALL, Panel
from sweep.report.figures.ticks import powers

Floats = npt.NDArray[float64]


@dataclass(frozen=True)
class Band:
    """A line ``[N]`` with its interval; ``marker`` where points and not a curve were estimated."""

    x: Floats
    value: Floats
    low: Floats
    high: Floats
    color: str = "category-1"
    marker: str = ""
    dashes: str = "-"

    @classmethod
    def of(cls, table: pd.DataFrame, x: str, value: str, low: str, high: str, **look: str) -> "Band":
        """From columns of ``table``."""
        return cls(*(table[name].to_numpy(float) for name in (x, value, low, high)), **look)  # type: ignore[arg-type]


def banded(
    bands: Sequence[Band],
    labels: tuple[str, str, str],
    described: str,
    *,
    null: float | None = None,
    logarithmic: bool = False,
    size: tuple[float, float] = SMALL,
) -> Panel:
    """The bands on one pair of axes; ``labels`` are the title and the words of the two axes."""

    def draw(axes: Axes, palette: Palette) -> None:
        if logarithmic:
            axes.set_xscale("log")
        if null is not None:
            axes.axhline(null, color=palette["muted"], linewidth=1, zorder=1)
        for band in bands:
            color = palette[band.color]
            if band.marker:
                axes.vlines(band.x, band.low, band.high, color=color, linewidth=1.6, zorder=2)
            else:
                axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.16, linewidth=0)
            axes.plot(
                band.x,
                band.value,
                color=color,
                linewidth=1.2 if band.marker else 1.8,
                linestyle=band.dashes,
                marker=band.marker or None,
                markersize=5,
                zorder=3,
            )
        if logarithmic:
            powers(axes.xaxis)
        title, across, up = labels
        axes.set_title(title)
        axes.set_xlabel(across)
        axes.set_ylabel(up)

    return Panel(draw, described, size)
