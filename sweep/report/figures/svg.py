"""Panels as SVG that lives inside a page: its colours follow the page, its ids do not clash.

Text stays text, so that it can be searched and copied, set in DejaVu Sans or a face of the same widths.
"""

import io
import re

from matplotlib.figure import Figure

from sweep.report.figures.palette import PAGE, css
from sweep.report.figures.panel import Panel, style


def to_svg(panel: Panel, name: str) -> str:
    """``panel`` as an inline ``<svg>``: the same bytes for the same numbers, on any day.

    ``name`` makes its ids unique in the page.
    """
    with style(PAGE):
        figure = Figure(figsize=panel.size, layout="constrained")
        panel.draw(figure.add_subplot(), PAGE)
        return _inline(figure, name, panel.description)


def _inline(figure: Figure, name: str, description: str) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for meaning, color in PAGE.items():
        text = text.replace(color, css(meaning))
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    text = re.sub(r"<svg\b", f'<svg role="img" aria-label="{label}"', text, count=1)
    return re.sub(r">\s+<", "><", text).strip()
