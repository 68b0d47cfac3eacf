"""Numbers and names in the sentences of a verdict."""

import math
from collections.abc import Sequence

from sweep.analysis.vocabulary import term


def number(value: float, digits: int = 3) -> str:
    """Three figures, commas between thousands and a true minus sign: ``0.0312``, ``12,500``."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "\u2212")


def bounded(value: float, low: float, high: float) -> str:
    """``0.62 (0.31 to 0.84)``, as many decimals as show two figures of the width; without one, the value alone."""
    width = high - low
    if not math.isfinite(width) or width <= 0:
        return number(value)
    places = max(0, 1 - math.floor(math.log10(width)))
    texts = [f"{v:,.{places}f}".replace("-", "\u2212") for v in (value, low, high)]
    # A bound of 0.004 shown as 0.00 would leave open on which side of zero it lies.
    texts = [
        text if float(f"{v:.{places}f}") or v == 0 else number(v, 1)
        for text, v in zip(texts, (value, low, high), strict=True)
    ]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def percent(share: float) -> str:
    """``12 %``, ``< 1 %``."""
    return "< 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``, in words for the columns that they are."""
    words = [term(name).inline for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."
