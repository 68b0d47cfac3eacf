"""Which value is best as training goes on, and which cannot be told from it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from sweep.analysis.vocabulary import term
from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import Panel
from sweep.report.figures.ticks import over_steps, powers


def evolution(
    steps: npt.NDArray[np.float64],
    best: npt.NDArray[np.float64],
    alike: Sequence[Sequence[float]],
    words: str,
) -> Panel:
    """The ``best`` value ``[S]`` at each of ``steps`` ``[S]``, and the values that are ``alike``, on a log scale."""
    values = sorted({value for some in alike for value in some} | set(best))
    logarithmic = values[0] > 0

    def draw(axes: Axes, palette: Palette) -> None:
        if logarithmic:
            axes.set_yscale("log")
        x = [step for step, some in zip(steps, alike, strict=True) for _ in some]
        y = [value for some in alike for value in some]
        axes.scatter(x, y, s=14, marker="s", color=palette["muted"], alpha=0.25, linewidths=0, zorder=2)
        axes.plot(steps, best, color=palette["category-1"], linewidth=1, alpha=0.5, zorder=3)
        axes.scatter(steps, best, s=16, color=palette["category-1"], linewidths=0, zorder=4)
        if logarithmic:
            powers(axes.yaxis)
        axes.set_xlabel(term("step").label)
        axes.set_ylabel(words)
        over_steps(axes)

    return Panel(draw, f"Best {words} over training")
