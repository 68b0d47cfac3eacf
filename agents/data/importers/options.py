"""The options of a format, as the user gives them: words that are checked before anything is read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from agents.errors import DatasetError

__all__ = ["check_options", "one_of", "positive", "yes_or_no"]


def check_options(format_name: str, options: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Raises DatasetError for an option that is not in ``known``: what each is, by its name."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            listed = "; ".join(f"{key}: {what}" for key, what in known.items()) or "none"
            raise DatasetError(f"{format_name} has no option {name!r}.{hint} Its options are {listed}.")


def yes_or_no(options: Mapping[str, str], name: str, default: bool = False) -> bool:
    """An option that is ``true`` or ``false``. Raises DatasetError for another word."""
    words = {"true": True, "false": False}
    value = options.get(name, "true" if default else "false").lower()
    if value not in words:
        raise DatasetError(f"option {name} is {options[name]!r}; it must be true or false")
    return words[value]


def one_of(options: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    """An option that is one of ``values``, the first where it is not given. Raises DatasetError for another."""
    value = options.get(name, values[0])
    if value not in values:
        raise DatasetError(f"option {name} is {value!r}; it must be one of {', '.join(values)}")
    return value


def positive(options: Mapping[str, str], name: str) -> int | None:
    """An option that is a whole number from 1 on; None where it is not given. Raises DatasetError otherwise."""
    if name not in options:
        return None
    try:
        value = int(options[name])
    except ValueError:
        value = 0
    if value < 1:
        raise DatasetError(f"option {name} is {options[name]!r}; it must be a whole number from 1 on")
    return value
