"""The colours of a figure by what they mean: ``ink``, ``category-2``, ``step-5`` ...

The page's style sheet has a variable of each name, one value for light and one for dark. A figure for the page is
drawn in stand-ins, which `svg` replaces by the variables; one for paper in the colours themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Final

Palette = Mapping[str, str]
"""Name to ``#rrggbb``."""

CATEGORIES: Final = tuple(f"category-{n}" for n in range(8))
"""Kinds without an order (activations, spaces)."""
STEPS: Final = tuple(f"step-{n}" for n in range(8))
"""An ordered scale (learning rates), low to high."""
SIDES: Final = tuple(f"side-{n}" for n in range(8))
"""A scale with a middle (effects): four below zero, the strongest first, and four above, the strongest last."""
_OTHERS: Final = ("ink", "muted", "grid", "surface", "faint")

PAGE: Final[Palette] = {
    **{name: f"#0{n}0{n}0{n}" for n, name in enumerate(_OTHERS, 1)},
    **{name: f"#1{n}1{n}1{n}" for n, name in enumerate(CATEGORIES)},
    **{name: f"#2{n}2{n}2{n}" for n, name in enumerate(STEPS)},
    **{name: f"#3{n}3{n}3{n}" for n, name in enumerate(SIDES)},
}
"""Stand-ins: no figure uses these for themselves."""


def _named(names: Sequence[str], colors: str) -> dict[str, str]:
    return dict(zip(names, colors.split(), strict=True))


PAPER: Final[Palette] = {
    "ink": "#000000",
    "muted": "#4d5660",
    "grid": "#e4e7ea",
    "surface": "#ffffff",
    "faint": "#f1f3f5",
    **_named(CATEGORIES, "#c94a0c #2b73b5 #2f8a4b #8250bf #a17900 #0c8599 #c2255c #5c6670"),
    **_named(STEPS, "#e3a02c #e5853f #de6a55 #cb4f6c #ad3a80 #892b8d #5f2590 #2f2083"),
    **_named(SIDES, "#4f94cd #86b6de #b9d5ec #e0ecf6 #fbe6da #f6c6a6 #ee9d6a #dd7a3f"),
}
"""For print on white."""


def side(value: float, largest: float) -> str:
    """The name of the colour of ``value`` on the scale with a middle that reaches to ``largest``."""
    share = min(1.0, abs(value) / largest) if largest > 0 else 0.0
    strength = min(3, int(share * 4))
    return SIDES[3 - strength] if value < 0 else SIDES[4 + strength]


def css(name: str) -> str:
    """The colour in the page, such as ``var(--category-0)``."""
    return f"var(--{name})"
