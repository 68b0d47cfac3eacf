"""Estimates with their intervals, one under the other, beside the value that means nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill, wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import Panel

_ROW = 0.25
"""Inches of a row."""
_LETTERS = 34
"""Of a line of a label."""


@dataclass(frozen=True)
class Estimate:
    """A row: words, a number with its interval (NaN: a row without), and how it looks.

    One without words belongs to the row above, which it is set close to.
    """

    label: str
    value: float
    low: float
    high: float
    color: str = "category-1"
    marker: str = "o"
    faint: bool = False
    """Drawn weakly: its interval holds the null, or it is not to be leant on."""

    @classmethod
    def of(
        cls, label: str, row: Mapping[Any, Any], column: str, null: float | None = 0.0, **look: str
    ) -> "Estimate":
        """From a row's ``column`` and its bounds; faint where they hold ``null``."""
        value, low, high = (float(row[column + end]) for end in ("", "_low", "_high"))
        return cls(label, value, low, high, faint=null is not None and low <= null <= high, **look)


@dataclass(frozen=True)
class Group:
    """Rows under a heading ("" for none)."""

    heading: str
    rows: tuple[Estimate, ...]


def forest(
    groups: Sequence[Group], axis: str, described: str, *, null: float | None = 0.0, width: float = 5.4
) -> Panel:
    """The rows of each group from top to bottom; ``null`` is the upright line, ``axis`` the words under it."""
    places, heads, end = _places(groups)

    def draw(axes: Axes, palette: Palette) -> None:
        named = []
        for row, at in places:
            if row.label:
                named.append((at, fill(row.label, _LETTERS)))
            _row(axes, palette, row, at)
        if null is not None:
            axes.axvline(null, color=palette["muted"], linewidth=1, zorder=1)
        lines = sorted([*named, *((at, fill(words, _LETTERS)) for words, at in heads)])
        axes.set_yticks([at for at, _ in lines], [words for _, words in lines])
        heading = {at for _, at in heads}
        for (at, _), label in zip(lines, axes.get_yticklabels(), strict=True):
            label.set_fontweight("bold" if at in heading else "normal")
        axes.set_ylim(end, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis)
        _limit(axes, groups, null)

    return Panel(draw, described, (width, 0.75 + _ROW * max(2.0, end + 0.6)))


def _places(groups: Sequence[Group]) -> tuple[list[tuple[Estimate, float]], list[tuple[str, float]], float]:
    """How far down each row and each heading is, in rows, and where the last ends."""
    rows: list[tuple[Estimate, float]] = []
    heads: list[tuple[str, float]] = []
    end = -0.5
    for group in groups:
        if group.heading:
            height = max(1.0, 0.15 + 0.6 * len(wrap(group.heading, _LETTERS)))
            heads.append((group.heading, end + height / 2))
            end += height
        for row in group.rows:
            if not row.label and rows:
                rows.append((row, rows[-1][1] + 0.45))
                end = max(end, rows[-1][1] + 0.5)
                continue
            height = max(1.0, 0.15 + 0.6 * len(wrap(row.label, _LETTERS)))
            rows.append((row, end + height / 2))
            end += height
    return rows, heads, end


def _row(axes: Axes, palette: Palette, row: Estimate, at: float) -> None:
    if not np.isfinite(row.value):
        axes.text(
            0.01,
            at,
            "not given",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=palette["muted"],
        )
        return
    color, alpha = palette[row.color], 0.4 if row.faint else 1.0
    if np.isfinite(row.low) and np.isfinite(row.high):
        axes.plot([row.low, row.high], [at, at], color=color, alpha=alpha, linewidth=2, zorder=3)
    axes.plot(
        [row.value],
        [at],
        marker=row.marker,
        markersize=6,
        color=palette["surface"] if row.faint else color,
        markeredgecolor=color,
        alpha=1.0,
        zorder=4,
    )


def _limit(axes: Axes, groups: Sequence[Group], null: float | None) -> None:
    """The range of the estimates sets the scale where one interval is far wider than all others."""
    rows = [row for group in groups for row in group.rows if np.isfinite(row.value)]
    if not rows:
        axes.set_xlim(-1, 1)
        return
    values = np.array([row.value for row in rows] + ([null] if null is not None else []))
    ends = np.array([(row.low, row.high) for row in rows]).ravel()
    ends = ends[np.isfinite(ends)]
    low, high = min([*values, *ends]), max([*values, *ends])
    widths = np.array([row.high - row.low for row in rows])
    widths = widths[np.isfinite(widths)]
    reach = max(float(np.ptp(values)), 4 * float(np.median(widths)) if len(widths) else 0.0)
    if reach > 0:
        low, high = max(low, values.min() - reach), min(high, values.max() + reach)
    margin = 0.05 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
