"""The report of a sweep: one HTML file that needs nothing else."""

from importlib import resources
from pathlib import Path

import jinja2
import pandas as pd

from sweep.analysis.frames import require_columns
from sweep.export import write_file
from sweep.report.context import Context
from sweep.report.data import SweepData, read_sweep
from sweep.report.figures.palette import css
from sweep.report.figures.svg import to_svg
from sweep.report.live import page_data, plotly_source
from sweep.report.page import Section, slug
from sweep.report.paper import write_paper
from sweep.report.reads import measures_for
from sweep.report.runs import run_links
from sweep.report.sections import SECTIONS, judgement
from sweep.report.verdict import Verdict
from sweep.report.words import count
from sweep.store import Store
from sweep.store.places import root_place


def write_report(
    root: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    measure: str = "srank",
    outcome: str = "return_mean",
    draws: int = 2000,
    seed: int = 0,
    skip_corrupt: bool = False,
    figures: str | Path | None = None,
    mlflow_url: str | None = None,
) -> Path:
    """Write the report of the sweep ``name`` under ``root`` to ``out`` (``ROOT/reports/<name>.html``).

    Root and ``out`` may be in a bucket.
    ``figures`` is a folder for every figure as PDF and every table as LaTeX, see `write_paper`. ``mlflow_url`` is
    where readers find the runs, see `run_links`. An unfinished sweep has a report too, which says so. Raises
    `SweepError` when the store cannot be read or a file not written, and `UsageError` for a measure that the
    store does not have, or an address that is none.
    """
    links = run_links(root, name, mlflow_url)
    data = read_sweep(root, name, measures_for(measure, outcome), links=links, skip_corrupt=skip_corrupt)
    path = root_place(out, "--out") if out is not None else Store(root).root / "reports" / f"{name}.html"
    found, sections = _made(Context(data, measure, outcome, draws, seed))
    write_file(path, _rendered(data, found, sections).encode())
    if figures is not None:
        write_paper(figures, name, found, sections)
    return path


def render_report(
    data: SweepData, *, measure: str = "srank", outcome: str = "return_mean", draws: int = 2000, seed: int = 0
) -> str:
    """The page's HTML: the same text for the same data, whatever the day or machine.

    Raises `AnalysisError` when ``data`` lacks the measure or the outcome.
    """
    return _rendered(data, *_made(Context(data, measure, outcome, draws, seed)))


def _made(context: Context) -> tuple[Verdict, list[Section]]:
    require_columns(context.data.metrics, (context.measure, context.outcome), "metrics")
    return judgement(context), [build(context) for build in SECTIONS]


def _rendered(data: SweepData, found: Verdict, sections: list[Section]) -> str:
    plots = [
        (f"{slug(section.name)}-{number}", plot)
        for section in sections
        for number, plot in enumerate(section.plots, 1)
    ]
    names = {id(plot): name for name, plot in plots}
    answering = page_data(plots, data.trials, data.links)
    return (
        _environment()
        .get_template("report.html")
        .render(
            name=data.name,
            question=_asked(data),
            counts=_counts(data.trials),
            verdict=found,
            sections=[section for section in sections if section.blocks],
            absent=[section for section in sections if not section.blocks],
            name_of=lambda plot: names[id(plot)],
            svg=to_svg,
            css=css,
            marks={"o": "●", "^": "▲", "s": "■", "D": "◆", "v": "▼", "P": "✚", "": "━"},
            style=_resource("report.css"),
            script=_resource("report.js"),
            data=answering,
            plotly=plotly_source() if answering else None,
        )
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.DictLoader({"report.html": _resource("report.html")}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _resource(name: str) -> str:
    return resources.files("sweep.report").joinpath(name).read_text(encoding="utf-8")


def _counts(trials: pd.DataFrame) -> list[str]:
    by_status = trials["status"].value_counts()
    statuses = ("finished", "diverged", "failed", "running", "planned")
    told = [f"{by_status[status]:,} {status}" for status in statuses if status in by_status]
    return [count(len(trials), "trial"), *told]


def _asked(data: SweepData) -> str:
    """The study's own question, where the record has one."""
    record = data.record or {}
    for holder in (record, record.get("study") or {}):
        if not isinstance(holder, str) and isinstance(holder.get("question"), str):
            return str(holder["question"])
    return ""
