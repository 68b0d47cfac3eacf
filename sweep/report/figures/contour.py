"""What would be left of an estimate, by how strong something unseen is: the contours of Cinelli & Hazlett (2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from sweep.report.figures.palette import Palette
from sweep.report.figures.panel import WIDE, Panel
from sweep.report.words import signed

_GRID = 121
_LEVELS = (0.5, 0.0, -0.5, -1.0)


@dataclass(frozen=True)
class Seen:
    """Something as strong as a hyperparameter: its name and the shares of measure and outcome that it explains."""

    name: str
    of_measure: float
    of_outcome: float


def reach_of(value: float) -> float:
    """How far the axes go for a robustness ``value``."""
    return min(max(2.4 * value, 0.04), 0.95)


def contour(estimate: float, strength: float, value: float, seen: Sequence[Seen], digits: int) -> Panel:
    """Lines of one remaining estimate; ``strength`` is the partial f of the measure, ``value`` its robustness value.

    Equation 14 of the paper: the estimate shrinks by its share sqrt(R2_Y R2_D / (1 - R2_D)) / f.
    """
    reach = reach_of(value)
    near = [one for one in seen if max(one.of_measure, one.of_outcome) <= reach]

    def draw(axes: Axes, palette: Palette) -> None:
        shares = np.linspace(0, reach, _GRID)
        for level in _LEVELS:
            # Where the line of this level crosses: of_outcome = ((1 - level) f)^2 (1 - of_measure) / of_measure.
            inside = shares[shares > 0]
            line = ((1 - level) * strength) ** 2 * (1 - inside) / inside
            there = line <= reach
            if not there.any():
                continue
            zero = level == 0
            axes.plot(
                inside[there],
                line[there],
                color=palette["category-0" if zero else "muted"],
                linewidth=1.8 if zero else 1.0,
                linestyle="-" if zero else "--",
                zorder=3 if zero else 2,
            )
            _label(
                axes,
                palette,
                inside[there],
                line[there],
                "0" if zero else signed(level * estimate, digits),
                zero,
            )
        axes.plot([value], [value], marker="o", markersize=5, color=palette["category-0"], zorder=5)
        for one in near:
            axes.plot(
                [one.of_measure],
                [one.of_outcome],
                marker="D",
                markersize=5,
                color=palette["category-1"],
                zorder=5,
            )
            right = one.of_measure < 0.6 * reach
            axes.annotate(
                one.name,
                (one.of_measure, one.of_outcome),
                (6 if right else -6, 3),
                textcoords="offset points",
                ha="left" if right else "right",
                fontsize=8,
                zorder=6,
                bbox={"facecolor": palette["surface"], "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
            )
        axes.set_xlim(0, reach)
        axes.set_ylim(0, reach)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("Of what is left of the measure")
        axes.set_ylabel("Of what is left of the outcome")
        axes.grid(visible=False)

    return Panel(draw, "What would be left of the adjusted estimate", WIDE)


def _label(axes: Axes, palette: Palette, x: np.ndarray, y: np.ndarray, words: str, zero: bool) -> None:
    """The estimate that is left, where the line is nearest to the diagonal."""
    at = int(np.argmin(np.abs(x - y)))
    axes.annotate(
        words,
        (float(x[at]), float(y[at])),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        color=palette["category-0" if zero else "muted"],
        fontweight="bold" if zero else "normal",
        zorder=4,
        bbox={"facecolor": palette["surface"], "edgecolor": "none", "alpha": 0.9, "pad": 1.0},
    )
