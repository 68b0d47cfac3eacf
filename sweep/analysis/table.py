"""What a result table is: its name, what it reads of a sweep, and the options it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from sweep.analysis.frames import AnalysisError

if TYPE_CHECKING:
    from sweep.store import SweepStore

Reads = Literal["nothing", "last", "series", "spectra"]
"""What a table needs beside the trials: no measurements; the last value of each measure; whole series; long vectors."""

Kind = Literal["text", "names", "number", "numbers", "whole", "flag"]


@dataclass(frozen=True)
class Option:
    """An option of a table: how its text on a command line is read, and a sentence on what it does."""

    kind: Kind
    words: str

    def parse(self, name: str, text: str) -> Any:
        """The value that ``text`` stands for; lists go by commas. Raises `AnalysisError` for what cannot be read."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        try:
            if self.kind in ("number", "whole"):
                return float(text) if self.kind == "number" else int(text)
            if self.kind == "numbers":
                return [float(part) for part in parts]
            if self.kind == "flag":
                return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}[
                    text.lower()
                ]
        except (KeyError, ValueError):
            raise AnalysisError(f"{name}={text}: not {_WANTED[self.kind]}.") from None
        return parts if self.kind == "names" else text


_WANTED: Final[Mapping[str, str]] = {
    "number": "a number, such as 0.95",
    "whole": "a whole number, such as 2000",
    "numbers": "numbers by commas, such as 0.25,0.5",
    "flag": "yes or no",
}


@dataclass(frozen=True)
class Table:
    """A result table of a sweep."""

    name: str
    description: str
    build: Callable[..., pd.DataFrame]
    """``build(trials, frame, **options)``; ``frame`` is what ``reads`` says: metrics, or spectra, or an empty frame.

    For ``last`` it is metrics too, of which only the rows that hold a last value may be there.
    """
    reads: Reads
    needs: Callable[[Mapping[str, Any]], list[str] | None] = lambda options: []
    """The measures (or names of vectors) to read, given the options; None for all."""
    options: Mapping[str, Option] = field(default_factory=dict)
    also: Callable[["SweepStore", Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Further arguments of ``build``, read from the sweep's own store; a CSV has none, so they have defaults."""


def pair(options: Mapping[str, Any]) -> list[str]:
    """What a table about a measure and an outcome reads."""
    return [options.get("measure", "srank"), options.get("outcome", "return_mean")]


MEASURE: Final = {
    "measure": Option("text", "The measure that is to predict [default: srank]."),
    "outcome": Option("text", "What is to be predicted [default: return_mean]."),
}
SAMPLE: Final = {
    "within": Option("names", "Hyperparameters to keep apart, such as activation."),
    "allow_pruned": Option(
        "flag", "Let trials in that ran under early stopping, which biases every estimate."
    ),
    "min_configurations": Option("whole", "Fewest configurations that give a number."),
    "confidence": Option("number", "Of the intervals [default: 0.95]."),
}
BOOTSTRAP: Final = {
    "draws": Option("whole", "Bootstrap draws [default: 2000]."),
    "seed": Option("whole", "Of the draws [default: 0]."),
}
