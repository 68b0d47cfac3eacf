"""The one error of this package: a specification that is refused, with every problem in it."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

PathPart = str | int


class _NoValue:
    def __repr__(self) -> str:
        return "NO_VALUE"

    def __reduce__(self) -> str:
        return "NO_VALUE"


NO_VALUE: Final = _NoValue()
"""Stands in a `Problem` for a value that is absent, because `None` is a value."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands in the specification, what was given, what is allowed."""

    path: tuple[PathPart, ...]
    message: str
    value: object = NO_VALUE

    def under(self, *prefix: PathPart) -> Problem:
        """The same problem seen from a specification that holds this one at `prefix`."""
        return replace(self, path=(*prefix, *self.path))

    def __str__(self) -> str:
        shown = () if self.value is NO_VALUE else (show_value(self.value),)
        return ": ".join((*filter(None, (format_path(self.path),)), *shown, self.message))


class SpecificationError(ValueError):
    """A study, space, axis, design, protocol or trial that cannot be run as it is written.

    `problems` holds all that was found, `source` the file (or, from Python, the class) they were found in.
    `str()` gives a line per problem: ``file: path inside it: value: what is allowed and what to do``.
    """

    def __init__(self, problems: Sequence[Problem], source: str | None = None) -> None:
        super().__init__(problems, source)
        self.problems = tuple(problems)
        self.source = source

    def __str__(self) -> str:
        prefix = f"{self.source}: " if self.source else ""
        return "\n".join(f"{prefix}{problem}" for problem in self.problems)


def refusal(path: tuple[PathPart, ...], message: str, value: object = NO_VALUE) -> SpecificationError:
    """The error for a single problem."""
    return SpecificationError([Problem(path, message, value)])


def format_path(path: Iterable[PathPart]) -> str:
    """`spaces[1].axes.learning_rate.low` for `("spaces", 1, "axes", "learning_rate", "low")`."""
    text = ""
    for part in path:
        if isinstance(part, int) or not re.fullmatch(r"[\w-]+", part):
            text += f"[{part!r}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """`"; did you mean 'relu'?"` when something allowed is near to `word`, else the empty string."""
    near = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(kind: str, word: object, allowed: Iterable[str]) -> str:
    """The message for a `word` that is none of the `allowed`."""
    allowed = list(allowed)
    return f"unknown {kind}{did_you_mean(word, allowed) or '.'} Allowed: {', '.join(allowed)}"


def show_value(value: object) -> str:
    """`repr`, cut to a length and depth that fit on a line, however large or nested the value."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    short.maxlist = short.maxtuple = short.maxdict = 8
    return short.repr(value)
