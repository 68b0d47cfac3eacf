"""What a section of the page is made of; the template knows how each kind of block looks."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from sweep.formats import to_csv
from sweep.report.figures.panel import Panel, Series


@dataclass(frozen=True)
class Download:
    """The numbers behind a table or a figure: a file inside the page."""

    file_name: str
    href: str

    @classmethod
    def of(cls, frame: pd.DataFrame, *name: str) -> "Download":
        """``frame`` at full precision as a CSV data URI."""
        data = base64.b64encode(to_csv(frame)).decode()
        return cls(f"{slug(*name)}.csv", f"data:text/csv;charset=utf-8;base64,{data}")


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Bullets:
    """Short statements, or ``problems``, which stand out."""

    kind: ClassVar[str] = "bullets"
    lines: tuple[str, ...]
    problems: bool = False


@dataclass(frozen=True)
class Facts:
    """Words and their values; several groups, each with a heading of its own, stand side by side."""

    kind: ClassVar[str] = "facts"
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class Details:
    """A long text that is folded away."""

    kind: ClassVar[str] = "details"
    summary: str
    text: str


@dataclass(frozen=True)
class PageTable:
    """Head and rows of text; ``numeric`` columns are aligned to the right."""

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    download: Download
    title: str = ""
    """Read out, and the caption on paper."""
    notes: tuple[str, ...] = ()
    """Under the table; cells refer to them by number from 1."""
    left_out: int = 0
    """Rows that only the download has."""


@dataclass(frozen=True)
class Live:
    """What a figure needs to answer the pointer: its form, and data that the page's script reads."""

    form: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """Panels under one title, with a legend, a caption from the numbers, and the numbers."""

    kind: ClassVar[str] = "plot"
    title: str
    panels: tuple[Panel, ...]
    caption: str
    download: Download
    legend: tuple[Series, ...] = ()
    layout: str = "row"
    """``row``: panels side by side where there is room; ``beside``: the caption beside one panel; ``full``: all of
    the width."""
    live: Live | None = None


@dataclass(frozen=True)
class Gallery:
    """Plots of one kind, two beside each other where there is room."""

    kind: ClassVar[str] = "gallery"
    plots: tuple[Plot, ...]


Block = Paragraph | Heading | Bullets | Facts | Details | PageTable | Plot | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page; without blocks it says in ``absent`` why there is nothing to show."""

    name: str
    title: str
    blocks: tuple[Block, ...] = ()
    absent: str = ""

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Every plot of the section, in order."""
        found: list[Plot] = []
        for block in self.blocks:
            found += block.plots if isinstance(block, Gallery) else [block] if isinstance(block, Plot) else []
        return tuple(found)

    @property
    def tables(self) -> tuple[PageTable, ...]:
        """Every table of the section, in order."""
        return tuple(block for block in self.blocks if isinstance(block, PageTable))


def slug(*parts: str) -> str:
    """A file name or an id of ``parts``: lower case, letters and digits, hyphens."""
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)))
