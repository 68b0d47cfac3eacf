"""Parallel coordinates: a line a trial through every hyperparameter that varies and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from sweep.report.figures.palette import STEPS, Palette
from sweep.report.figures.panel import Panel


@dataclass(frozen=True)
class Coordinate:
    """An upright axis: the trials' places on it ``[T]``, and its ticks as (place, words)."""

    label: str
    values: npt.NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...]
    low: float
    high: float


def parallel(coordinates: Sequence[Coordinate], classes: npt.NDArray[np.int64], described: str) -> Panel:
    """A line for each trial; ``classes`` ``[T]`` from 0 to 7 choose its colour on the ordered scale."""

    def draw(axes: Axes, palette: Palette) -> None:
        places = np.stack([(c.values - c.low) / (c.high - c.low) for c in coordinates], axis=1)
        across = np.arange(len(coordinates))
        for number, color in enumerate(STEPS):
            lines = [np.column_stack([across, row]) for row in places[classes == number]]
            axes.add_collection(
                LineCollection(lines, colors=palette[color], linewidths=0.8, alpha=0.55, zorder=2)
            )
        for x, coordinate in enumerate(coordinates):
            axes.axvline(x, color=palette["muted"], linewidth=1, zorder=3)
            for value, words in coordinate.ticks:
                y = (value - coordinate.low) / (coordinate.high - coordinate.low)
                axes.annotate(
                    words,
                    (x, y),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7.5,
                    zorder=5,
                    bbox={"facecolor": palette["surface"], "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
                )
        axes.set_xticks(across, [fill(c.label, 14) for c in coordinates])
        axes.tick_params(axis="x", length=0)
        axes.set_yticks([])
        axes.set_xlim(-0.1, len(coordinates) - 1 + 0.6)
        axes.set_ylim(-0.04, 1.04)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    return Panel(draw, described, (max(4.4, 1.15 * len(coordinates)), 3.4))
