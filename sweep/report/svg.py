"""Matplotlib figures as SVG that lives inside a page: its colours follow the page, its ids do not clash.

A figure is drawn once in stand-in colours; the page's style sheet gives each its value, one for light and one
for dark. Text stays text, so that it can be searched and copied, set in DejaVu Sans or a face of the same
widths.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
SURFACE: Final = "#040404"
CATEGORIES: Final = tuple(f"#1{n}1{n}1{n}" for n in range(8))
"""Stand-ins for kinds without an order (activations, spaces)."""
STEPS: Final = tuple(f"#2{n}2{n}2{n}" for n in range(8))
"""Stand-ins for an ordered scale (learning rates), low to high."""

_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    **{color: f"--category-{n}" for n, color in enumerate(CATEGORIES)},
    **{color: f"--step-{n}" for n, color in enumerate(STEPS)},
}

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rankscope",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "path.simplify": True,
    "text.parse_math": False,
}


def css_variable(color: str) -> str:
    """The style sheet's name of a stand-in color, such as ``var(--category-0)``."""
    return f"var({_VARIABLES[color]})"


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure; wraps both drawing and `to_svg`."""
    with mpl.rc_context(_STYLE):
        yield


def to_svg(figure: Figure, name: str, description: str) -> str:
    """``figure`` as an inline ``<svg>``: the same bytes for the same numbers, on any day.

    ``name`` makes its ids unique in the page; ``description`` is read out in place of the picture.
    """
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    text = re.sub(r"<svg\b", f'<svg role="img" aria-label="{label}"', text, count=1)
    return re.sub(r">\s+<", "><", text).strip()
