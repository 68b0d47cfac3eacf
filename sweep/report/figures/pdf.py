"""Plots as PDF for a paper: vectors, fonts embedded, black ink on white, no title (the paper has a caption)."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.report.figures.palette import PAPER
from sweep.report.figures.panel import Panel, Series, style

_MOST_IN_A_ROW = 3


def to_pdf(panels: Sequence[Panel], legend: Sequence[Series]) -> bytes:
    """``panels`` side by side under their ``legend``: the same bytes for the same numbers, on any day."""
    columns = min(_MOST_IN_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    width, height = max(p.size[0] for p in panels), max(p.size[1] for p in panels)
    with style(PAPER):
        figure = Figure(figsize=(columns * width, rows * height + 0.3 * bool(legend)), layout="constrained")
        for number, panel in enumerate(panels, 1):
            panel.draw(figure.add_subplot(rows, columns, number), PAPER)
        if legend:
            handles = [
                Line2D([], [], color=PAPER[s.color], marker=s.marker or "", linestyle="" if s.marker else "-")
                for s in legend
            ]
            # As many beside each other as fit; a legend wider than the figure would shrink it.
            letters = 4 + max(len(s.label) for s in legend)
            fit = max(1, min(len(legend), int(columns * width * 12 / letters)))
            figure.legend(handles, [s.label for s in legend], loc="outside upper left", ncols=fit)
        sink = io.BytesIO()
        nothing = {"CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(sink, format="pdf", metadata=nothing)
    return sink.getvalue()
