"""The report's pictures: small panels that a page can set side by side or one under the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from sweep.analysis.vocabulary import term
from sweep.report import svg

WIDE = (4.4, 3.4)
SMALL = (3.6, 2.7)
_ROUND = (1, 2, 2.5, 5, 10)
_MARKERS = ("o", "^", "s", "D", "v", "P")


@dataclass(frozen=True)
class Series:
    """A legend entry: its words and its stand-in color."""

    label: str
    color: str
    marker: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture, ready for the page."""

    svg: str
    legend: tuple[Series, ...] = ()


def scatter(
    points: pd.DataFrame, lines: pd.DataFrame, spaces: Sequence[str], measure: str, outcome: str, name: str
) -> Panel:
    """Trials of each space with its regression line and band.

    ``points``: columns space, ``measure``, ``outcome``; ``lines``: space, x, fit, low, high (no rows for a
    space without a line). ``spaces`` are all of the
    sweep's, so that each keeps its color, and drawn from last to first: a small first one stays on top.
    """
    with svg.style():
        figure = Figure(figsize=WIDE if len(lines) else SMALL, layout="constrained")
        axes = figure.add_subplot()
        series = []
        drawn = [(index, space) for index, space in enumerate(spaces) if (points["space"] == space).any()]
        for index, space in reversed(drawn):
            color, marker = svg.CATEGORIES[index % 8], _MARKERS[index % len(_MARKERS)]
            here = points[points["space"] == space]
            # Effective ranks are whole numbers: without an outline, trials on one spot would look like one.
            axes.scatter(
                here[measure],
                here[outcome],
                s=18,
                marker=marker,
                color=color,
                alpha=0.65,
                edgecolors=svg.SURFACE,
                linewidths=0.5,
                zorder=3,
            )
            series.append(Series(f"{space} ({_count(len(here), 'trial')})", color, marker))
        bottom, top = _limits(points[outcome])
        for index, space in reversed(drawn):
            line = lines[lines["space"] == space]
            color = svg.CATEGORIES[index % 8]
            axes.fill_between(
                line["x"], line["low"], line["high"], color=color, alpha=0.16, linewidth=0, zorder=2
            )
            axes.plot(line["x"], line["fit"], color=svg.SURFACE, linewidth=4, zorder=4)
            axes.plot(line["x"], line["fit"], color=color, linewidth=2, zorder=5)
        # A band of few configurations may be wider than all data; the trials set the scale.
        axes.set_ylim(bottom, top)
        axes.set_xlabel(term(measure).axis)
        axes.set_ylabel(term(outcome).axis)
        described = f"{term(outcome).label} against {term(measure).inline}, by space"
        return Panel(svg.to_svg(figure, name, described), tuple(reversed(series)))


def curve(table: pd.DataFrame, series: Sequence[Series], group: str, measure: str, name: str) -> str:
    """Median of ``measure`` over training for each value of ``group``, with the band between the quartiles.

    ``table``: rows of `sweep.analysis.curves` for one environment and space; ``series`` in the order of the
    values' first appearance under ``group`` (a column of words).
    """
    with svg.style():
        figure = Figure(figsize=SMALL, layout="constrained")
        axes = figure.add_subplot()
        here = table[table["measure"] == measure]
        # Thinner from line to line: curves that coincide, such as no dead units, all stay visible.
        widths = np.linspace(2.4, 1.4, max(2, len(series)))
        # Many bands on one spot add up to one dark block.
        shade = 0.16 if len(series) <= 3 else 0.09
        for entry, width in zip(series, widths, strict=False):
            line = here[here[group] == entry.label].sort_values("step")
            if (line["n_trials"] > 1).any():
                axes.fill_between(
                    line["step"], line["q25"], line["q75"], color=entry.color, alpha=shade, linewidth=0
                )
            marker = "o" if len(line) < 3 else ""
            axes.plot(
                line["step"], line["median"], color=entry.color, linewidth=width, marker=marker, markersize=3
            )
        if here.empty:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=svg.MUTED)
        axes.set_title(term(measure).axis)
        axes.set_xlabel(term("step").label)
        _steps(axes, whole=term(measure).whole)
        return svg.to_svg(figure, name, f"{term(measure).label} over training")


def _steps(axes: Axes, *, whole: bool) -> None:
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=whole, steps=_ROUND))
    axes.set_xlim(left=0)


def _limits(values: pd.Series) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
