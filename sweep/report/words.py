"""Numbers as a reader meets them in sentences and tables."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from sweep.analysis.frames import CONFIGURATION_FIELDS, FOREIGN_FIELD, content
from sweep.analysis.vocabulary import term
from sweep.store.schema import MEASURES

DASH = "\u2013"
"""Where there is no number."""


def signed(value: float, digits: int = 2) -> str:
    """Fixed decimals and a true minus sign; more decimals where a small number would read as zero.

    A bound of -0.002 shown as 0.00 would leave open on which side of zero it lies.
    """
    while 0 < digits < 4 and value != 0 and not float(f"{value:.{digits}f}"):
        digits += 1
    text = f"{value:.{digits}f}"
    return text.replace("-", "\u2212") if float(text) else text.lstrip("-")


def interval_text(value: float, low: float, high: float, digits: int | None = 2) -> str:
    """``0.62 [0.31, 0.84]`` with true minus signs; a dash where there is no number.

    Without ``digits``, as many decimals as show two figures of the interval's width.
    """
    if not math.isfinite(value):
        return DASH
    if digits is None:
        digits = decimals(value, low, high)
    if not math.isfinite(high - low):
        return f"{signed(value, digits)} [no interval]"
    return f"{signed(value, digits)} [{signed(low, digits)}, {signed(high, digits)}]"


def decimals(value: float, low: float, high: float) -> int:
    """As many as show two figures of the interval's width, or of the value where there is no interval."""
    width = high - low if math.isfinite(high - low) and high > low else abs(value)
    if not math.isfinite(width) or width <= 0:
        return 2
    return max(0, min(8, 1 - math.floor(math.log10(width))))


def p_text(p: float) -> str:
    """``0.03``, ``< 0.001``, or a dash."""
    if not math.isfinite(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def equals(p: float) -> str:
    """``= 0.03`` or ``< 0.001``, to follow a p."""
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def short(value: float) -> str:
    """Three figures: ``3.16e-5``, ``12,500``, ``0.25``."""
    if not math.isfinite(value):
        return DASH
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "\u2212")
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    text = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return text.replace("-", "\u2212", 1) if value < 0 else text


def value_words(value: object) -> str:
    """A hyperparameter's value: ``0.0003``, ``relu``, ``64×64``, ``16 layers of 64``; nothing for a null."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_):
        return short(float(value)) if value == value else ""
    if isinstance(value, bool | np.bool_):
        return "on" if value else "off"
    parts = content(value).split("x")
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        return content(value)
    alike = len(parts) > 3 and len(set(parts)) == 1
    return f"{len(parts)} layers of {parts[0]}" if alike else "\u00d7".join(parts)


def level_words(level: object) -> str:
    """A level as tables of factors have it, in text: ``on`` for ``True``, ``3e-5``, ``relu``; nothing for a null."""
    if not isinstance(level, str):
        return ""
    try:
        return {"True": "on", "False": "off"}.get(level) or short(float(level))
    except ValueError:
        return value_words(level)


def setting(field: str, value: object) -> str:
    """``learning rate 0.0003``, or ``relu`` where the value speaks for itself; nothing for a null."""
    words = value_words(value)
    if not words or field in _BARE:
        return words
    return words if field == "hidden_sizes" and "layers" in words else f"{term(field).inline} {words}"


def percent(share: float) -> str:
    """``12 %``; ``< 1 %`` and ``> 99 %`` rather than a false 0 or 100."""
    if not math.isfinite(share):
        return DASH
    if 0 < share < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def count(number: int, noun: str) -> str:
    """``1 trial``, ``24 trials``, ``1,000 trials``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


# Fields whose values speak for themselves.
_BARE: Final = frozenset({"env", "algorithm", "network", "activation", "optimizer", "dataset"})
_MOST_REASONS: Final = 3
# Names that are no words; `seed` and `dropout` read as what they are.
_NAMES: Final = frozenset(name for name in (*CONFIGURATION_FIELDS, *MEASURES) if "_" in name) | {
    "srank",
    "env",
}


def in_words(text: str) -> str:
    """``text`` with the names of columns replaced by what they are called."""

    def said(found: re.Match[str]) -> str:
        name = found[0]
        if name in ("True", "False"):
            return level_words(name)
        return term(name).inline if name in _NAMES or name.startswith(FOREIGN_FIELD) else name

    return re.sub(rf"(?<![\w/])(?:{re.escape(FOREIGN_FIELD)})?[a-zTF][a-z0-9_]*(?![\w/])", said, text)


def why(notes: Iterable[object]) -> str:
    """The different reasons among ``notes`` for which there is nothing to show, in sentences; "" for none."""
    told = [note for note in notes if isinstance(note, str)]
    reasons = list(dict.fromkeys(sentence(in_words(text.removeprefix("refused: "))) for text in told))
    more = len(reasons) - _MOST_REASONS
    return " ".join(reasons[:_MOST_REASONS]) + (f" {more} more reasons of the kind." if more > 0 else "")


def sentence(text: str) -> str:
    """A note as a sentence: a capital letter, a full stop, and "not given" for "refused"."""
    text = text.strip().replace("refused: ", "not given: ", 1)
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else text + "."
