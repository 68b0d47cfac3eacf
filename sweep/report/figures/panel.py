"""What a figure is before it is drawn: panels, a legend, and how both look."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes

from sweep.report.figures.palette import Palette

WIDE: Final = (4.4, 3.4)
SMALL: Final = (3.6, 2.7)


@dataclass(frozen=True)
class Series:
    """An entry of a legend: its words, the name of its colour, and its marker's name ("" for a line)."""

    label: str
    color: str
    marker: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture: ``draw(axes, palette)`` puts it on axes, in a look that `style` gives."""

    draw: Callable[[Axes, Palette], None]
    description: str
    """Read out in place of the picture."""
    size: tuple[float, float] = SMALL
    """Inches, of which a page shows 72 points each or fewer."""


@contextmanager
def style(palette: Palette) -> Iterator[None]:
    """The look of every figure; wraps both drawing and saving."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "rankscope",
        # Whole fonts, of which journals ask that they be TrueType.
        "pdf.fonttype": 42,
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9.0,
        "axes.edgecolor": palette["muted"],
        "axes.labelcolor": palette["ink"],
        "axes.titlecolor": palette["ink"],
        "axes.titlelocation": "left",
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.formatter.useoffset": False,
        "grid.color": palette["grid"],
        "grid.linewidth": 0.8,
        "xtick.color": palette["muted"],
        "ytick.color": palette["muted"],
        "xtick.labelcolor": palette["ink"],
        "ytick.labelcolor": palette["ink"],
        "text.color": palette["ink"],
        "legend.frameon": False,
        "figure.facecolor": "none",
        "path.simplify": True,
        "text.parse_math": False,
    }
    with mpl.rc_context(settings):
        yield
