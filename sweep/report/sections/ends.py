"""Where trials ended: a description of what was measured last."""

from sweep.analysis import final_summary
from sweep.analysis.vocabulary import term
from sweep.report.context import Context
from sweep.report.page import Facts, Paragraph, Section
from sweep.report.sections.training import CURVE_MEASURES
from sweep.report.tables import summary_table


def ends(context: Context) -> Section:
    """Median and quartiles per environment, space and activation, and what the measures are."""
    metrics = context.data.metrics
    measures = [context.outcome, context.measure, "dead_units"]
    measures = [name for name in dict.fromkeys(measures) if name in metrics.columns]
    by = [name for name in ("activation",) if name in context.trials.columns]
    summary = context.in_order(final_summary(context.trials, metrics, measures, by=by))
    glossary = tuple(
        (term(name).label, term(name).meaning)
        for name in dict.fromkeys([*measures, *CURVE_MEASURES])
        if term(name).meaning
    )
    told = (
        "Median [quartiles] over finished trials at the end of training: a spread of trials, not an error of the "
        "median."
    )
    blocks = (Paragraph(told), summary_table(summary, measures, by, context.data.name))
    return Section(
        "final", "Where trials ended", (*blocks, *([Facts((("", glossary),))] if glossary else []))
    )
