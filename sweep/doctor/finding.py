"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State"]

State = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, what was `found`, and what the user can do: `mend`, empty where nothing is wrong.

    `bad`: a sweep will not run or results are damaged; `warning`: it will, slower or with less.
    """

    what: str
    found: str
    state: State = "good"
    mend: str = ""
