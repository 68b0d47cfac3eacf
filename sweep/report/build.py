"""The report of a sweep: one HTML file that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from sweep.analysis import correlation, correlation_contrast, exclusions, final_summary
from sweep.analysis.frames import by_space, require_columns, space_order
from sweep.analysis.vocabulary import label, term
from sweep.export import write_file
from sweep.report.evidence import CURVE_MEASURES, scatters, training_curves
from sweep.report.grouping import described
from sweep.report.provenance import provenance
from sweep.report.tables import correlation_table, exclusions_table, summary_table
from sweep.report.verdict import count, verdict
from sweep.store import Store


@dataclass(frozen=True)
class SweepData:
    """What a report is made of, as the store gives it."""

    name: str
    trials: pd.DataFrame
    metrics: pd.DataFrame
    record: Mapping[str, Any] | None = None
    skipped: tuple[str, ...] = ()
    """Damaged segments that were left out, a sentence each."""


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
) -> Path:
    """Write the report of the sweep ``name`` under ``root`` to ``out`` (``ROOT/reports/<name>.html``).

    An unfinished sweep has a report too, which says so. Raises `SweepError` when the store cannot be read or
    the file not written, and `UsageError` for a measure that the store does not have.
    """
    store = Store(root)
    sweep = store.sweep(name)
    trials = sweep.trials()
    columns = list(dict.fromkeys(["trial_id", "step", measure, outcome, *CURVE_MEASURES]))
    metrics = store.metrics(name, columns=columns, skip_corrupt=skip_corrupt)
    data = SweepData(name, trials, metrics, sweep.sweep_record(), tuple(metrics.attrs.get("skipped", ())))
    path = Path(out) if out is not None else store.root / "reports" / f"{name}.html"
    page = render_report(data, measure=measure, outcome=outcome, draws=draws, seed=seed)
    write_file(path, page.encode())
    return path


def render_report(
    data: SweepData, *, measure: str = "srank", outcome: str = "return_mean", draws: int = 2000, seed: int = 0
) -> str:
    """The page's HTML: the same text for the same data, whatever the day or machine.

    Raises `AnalysisError` when ``data`` lacks the measure or the outcome.
    """
    trials, metrics = data.trials, data.metrics
    require_columns(metrics, (measure, outcome), "metrics")
    order = space_order(trials)
    ranks = {space: rank for rank, space in enumerate(order)}
    correlations = _in_order(correlation(trials, metrics, measure, outcome, draws=draws, seed=seed), ranks)
    contrasts = (
        correlation_contrast(correlations, *order[:2]) if len(order) > 1 else pd.DataFrame({"env": []})
    )
    measures = list(dict.fromkeys([outcome, measure, "dead_units"]))
    measures = [name for name in measures if name in metrics.columns]
    page = _environment().get_template("report.html")
    return page.render(
        name=data.name,
        question=_asked(data.record),
        measure=term(measure),
        outcome=term(outcome),
        verdict=verdict(correlations, contrasts, trials),
        counts=_counts(trials),
        design=[(space, described(group)) for space, group in _spaces(trials, order)],
        exclusions=exclusions_table(
            _in_order(exclusions(trials, metrics, [measure, outcome]), ranks), data.name
        ),
        problems=[*data.skipped, *_failures(trials)],
        scatters=scatters(trials, metrics, correlations, measure, outcome, data.name),
        correlations=correlation_table(correlations, data.name),
        draws=draws,
        curves=training_curves(trials, metrics, data.name),
        summary=summary_table(
            _in_order(final_summary(trials, metrics, measures), ranks), measures, data.name
        ),
        provenance=provenance(data.record),
        glossary=[term(m) for m in dict.fromkeys([*measures, *CURVE_MEASURES]) if term(m).meaning],
        style=_resource("report.css"),
        svg_shapes={"o": "●", "^": "▲", "s": "■", "D": "◆", "v": "▼", "P": "✚", "": "━"},
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


def _in_order(table: pd.DataFrame, ranks: Mapping[str, int]) -> pd.DataFrame:
    envs = {env: rank for rank, env in enumerate(dict.fromkeys(table["env"]))}
    order = table["env"].map(envs) * (len(ranks) + 1) + table["space"].map(ranks)
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def _spaces(trials: pd.DataFrame, order: list[str]) -> list[tuple[str, pd.DataFrame]]:
    rows = by_space(trials)
    return [(space, rows[rows["space"] == space]) for space in order]


def _counts(trials: pd.DataFrame) -> list[str]:
    by_status = trials["status"].value_counts()
    statuses = ("finished", "diverged", "failed", "running", "planned")
    told = [f"{by_status[status]} {status}" for status in statuses if status in by_status]
    return [count(len(trials), "trial"), *told]


def _failures(trials: pd.DataFrame) -> list[str]:
    failed = trials[trials["status"] == "failed"]
    if failed.empty or "error" not in failed.columns:
        return []
    reasons = failed["error"].fillna("no reason recorded").astype(str).value_counts()
    told = [f"{count(int(n), 'trial')} failed: {reason}" for reason, n in reasons.head(5).items()]
    return told + ([f"and {len(reasons) - 5} more reasons"] if len(reasons) > 5 else [])


def _asked(record: Mapping[str, Any] | None) -> str:
    """The study's own question, where the record has one."""
    for holder in (record or {}, (record or {}).get("study") or {}):
        if isinstance(holder, Mapping) and isinstance(holder.get("question"), str):
            return str(holder["question"])
    return ""


__all__ = ["SweepData", "label", "render_report", "write_report"]
