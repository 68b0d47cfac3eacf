"""The report for a paper: every figure as PDF, every table as LaTeX, and a document that shows them all."""

from collections.abc import Sequence
from pathlib import Path

from sweep.export import write_file
from sweep.formats import escape_latex
from sweep.report.figures.pdf import to_pdf
from sweep.report.page import (
    Block,
    Bullets,
    Facts,
    Gallery,
    Heading,
    PageTable,
    Paragraph,
    Plot,
    Section,
    slug,
)
from sweep.report.verdict import Verdict
from sweep.store.places import root_place

# Beyond this many rows a table has to break across pages.
_LONG = 40

_HEAD = r"""\documentclass[10pt]{article}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\newsavebox{\fitted}
% A table as it is, or smaller where the page is narrower.
\newcommand{\fit}[1]{\sbox{\fitted}{\footnotesize\input{#1}}%
  \ifdim\wd\fitted>\linewidth\resizebox{\linewidth}{!}{\usebox{\fitted}}\else\usebox{\fitted}\fi}
\begin{document}
"""


def write_paper(folder: str | Path, title: str, verdict: Verdict, sections: Sequence[Section]) -> list[Path]:
    """Write ``<section>-<n>.pdf`` and ``<section>-table-<n>.tex`` for every figure and table, and ``report.tex``.

    ``report.tex`` compiles with pdflatex in that folder; the tables need booktabs, those of more than 40 rows
    longtable. Returns the files. Raises `StoreError` for a folder that cannot be written.
    """
    files: dict[str, bytes] = {}
    body = [rf"{{\LARGE\bfseries {escape_latex(title)}\par}}", r"\section*{Verdict}"]
    for finding in verdict.findings:
        body += [rf"\textbf{{{escape_latex(finding.headline)}}}", _items(finding.evidence)]
    body.append(_items(verdict.limits))
    for section in (one for one in sections if one.blocks):
        body.append(rf"\clearpage\section*{{{escape_latex(section.title)}}}")
        plots, tables = 0, 0
        for block in _flat(section.blocks):
            if isinstance(block, Plot):
                plots += 1
                name = f"{slug(section.name)}-{plots}"
                files[f"{name}.pdf"] = to_pdf(block.panels, block.legend)
                body.append(_figure(name, block))
            elif isinstance(block, PageTable):
                tables += 1
                name = f"{slug(section.name)}-table-{tables}"
                files[f"{name}.tex"] = latex_table(block).encode()
                title = rf"\textbf{{{escape_latex(block.title)}}}\par"
                if len(block.rows) > _LONG:
                    body.append(rf"{title}{{\scriptsize\input{{{name}}}}}")
                else:
                    body.append(rf"\begin{{minipage}}{{\linewidth}}{title}\fit{{{name}}}\end{{minipage}}\par")
                body.append(_items(block.notes, "enumerate"))
            else:
                body.append(_text(block))
    absent = [f"{section.title}: {section.absent}" for section in sections if not section.blocks]
    body += [r"\section*{Not in this report}", _items(absent)] if absent else []
    files["report.tex"] = "\n\n".join([_HEAD, *filter(None, body), "\\end{document}\n"]).encode()
    paths = {root_place(folder) / name: content for name, content in files.items()}
    for path, content in paths.items():
        write_file(path, content)
    return list(paths)


def latex_table(table: PageTable) -> str:
    """``table`` in booktabs, as the page has it: heads in words, intervals in brackets."""
    wide = max((len(cell) for row in table.rows for cell in row[-1:]), default=0) > 30
    kinds = ["r" if numeric else "l" for numeric in table.numeric]
    if wide and not table.numeric[-1]:
        kinds[-1] = r"p{7cm}"
    long = len(table.rows) > _LONG
    name = "longtable" if long else "tabular"
    head, *rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in (table.head, *table.rows)]
    packages = r"\usepackage{booktabs}" + (r" \usepackage{longtable}" if long else "")
    lines = [f"% {table.title}; needs {packages}", rf"\begin{{{name}}}{{{''.join(kinds)}}}", r"\toprule"]
    lines += [head, r"\midrule", *([r"\endhead"] if long else []), *rows, r"\bottomrule"]
    return "\n".join([*lines, rf"\end{{{name}}}", ""])


def _flat(blocks: Sequence[Block]) -> list[Block]:
    return [one for block in blocks for one in (block.plots if isinstance(block, Gallery) else (block,))]


def _figure(name: str, plot: Plot) -> str:
    panels = min(3, len(plot.panels))
    share = 0.5 if panels == 1 and plot.layout != "full" else 1.0
    return "\n".join(
        [
            r"\begin{minipage}{\linewidth}\centering",
            rf"\textbf{{{escape_latex(plot.title)}}}\par",
            rf"\includegraphics[width={share:g}\linewidth,height=.72\textheight,keepaspectratio]{{{name}}}\par",
            rf"{{\small {escape_latex(plot.caption)}\par}}",
            r"\end{minipage}\par",
        ]
    )


def _text(block: Block) -> str:
    if isinstance(block, Paragraph):
        return escape_latex(block.text)
    if isinstance(block, Heading):
        return rf"\subsection*{{{escape_latex(block.text)}}}"
    if isinstance(block, Bullets):
        return _items(block.lines)
    if isinstance(block, Facts):
        facts = [fact for _, group in block.groups for fact in group]
        return _items([f"{words}: {value}" for words, value in facts])
    # What is folded away on the page, such as the study's text, is no part of a paper.
    return ""


def _items(lines: Sequence[str], kind: str = "itemize") -> str:
    if not lines:
        return ""
    items = [rf"\item {escape_latex(line)}" for line in lines]
    return "\n".join([rf"\begin{{{kind}}}", *items, rf"\end{{{kind}}}"])
