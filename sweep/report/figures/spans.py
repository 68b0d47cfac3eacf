"""Phases of training: as bars for groups of trials, and on the curve of one trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.analysis.vocabulary import term
from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import Panel
from sweep.report.figures.ticks import ROUND, over_steps
from sweep.report.words import percent

PHASES: Final[Mapping[int, str]] = {1: "category-5", 2: "category-2", 3: "category-0"}
"""The colour of each phase."""


@dataclass(frozen=True)
class Span:
    """A phase in a group: median steps of its begin and end, and the share of the trials that have it."""

    phase: int
    begin: float
    end: float
    share: float


def spans(rows: Sequence[tuple[str, Sequence[Span]]], last: float) -> Panel:
    """A bar for each phase of each group, as strong as the phase is common; ``last`` is the end of training."""

    def draw(axes: Axes, palette: Palette) -> None:
        for at, (_, found) in enumerate(rows):
            for span in found:
                # A phase of one measurement is a place, and still has to be seen.
                width = max(span.end - span.begin, 0.008 * last)
                place = at + 0.27 * (span.phase - 2)
                axes.barh(
                    place,
                    width,
                    left=span.begin,
                    height=0.25,
                    color=palette[PHASES[span.phase]],
                    alpha=0.25 + 0.75 * span.share,
                    linewidth=0,
                )
                inside = width > 0.16 * last
                axes.annotate(
                    percent(span.share),
                    (span.begin + width, place),
                    (-3 if inside else 3, 0),
                    textcoords="offset points",
                    ha="right" if inside else "left",
                    va="center",
                    fontsize=7,
                    color=palette["surface" if inside and span.share > 0.6 else "ink"],
                )
        axes.set_yticks(range(len(rows)), [words for words, _ in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(term("step").label)
        over_steps(axes)
        axes.set_xlim(0, 1.02 * last)

    return Panel(draw, "Phases of training by group", (5.0, 0.8 + 0.5 * max(2, len(rows))))


def marked_curve(
    steps: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    found: Sequence[tuple[int, float, float]],
    measure: str,
    title: str,
) -> Panel:
    """The curve of one trial ``[S]`` with its phases (number, begin, end) behind it."""

    def draw(axes: Axes, palette: Palette) -> None:
        for phase, begin, end in found:
            color = palette[PHASES[phase]]
            axes.axvspan(begin, end, color=color, alpha=0.16, linewidth=0)
            axes.annotate(
                str(phase),
                ((begin + end) / 2, 1),
                (0, -2),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                va="top",
                color=color,
                fontweight="bold",
            )
        axes.plot(steps, values, color=palette["ink"], linewidth=1.4)
        axes.set_title(title)
        axes.set_xlabel(term("step").label)
        axes.set_ylabel(term(measure).axis)
        over_steps(axes)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=term(measure).whole, steps=ROUND))
        low, high = float(values.min()), float(values.max())
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.16 * (high - low or 1))

    return Panel(draw, f"{term(measure).label} of one trial with its phases")
