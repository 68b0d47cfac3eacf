"""Which trials there are, and which of them the analysis stands on."""

from sweep.analysis import exclusions
from sweep.analysis.frames import by_space
from sweep.analysis.vocabulary import term
from sweep.report.context import Context
from sweep.report.grouping import described
from sweep.report.page import Block, Bullets, Facts, Paragraph, Section
from sweep.report.tables import exclusions_table
from sweep.report.words import count, listed


def design(context: Context) -> Section:
    """Each space's axes, the trials in and out by reason, and what failed."""
    trials = context.trials
    rows = by_space(trials)
    groups = tuple((space, tuple(described(rows[rows["space"] == space]))) for space in context.spaces)
    measure, outcome = term(context.measure).inline, term(context.outcome).inline
    blocks: list[Block] = [
        Facts(groups),
        Paragraph(
            "A trial is one configuration with one seed; the configuration is the unit of replication. A trial in "
            f"two spaces counts in both. In the analysis are finished trials with {measure} and {outcome} measured "
            f"in the last tenth of training.{_scheduled(context)}"
        ),
        exclusions_table(
            context.in_order(exclusions(trials, context.data.metrics, [context.measure, context.outcome])),
            context.data.name,
        ),
    ]
    problems = (*context.data.skipped, *_failures(context))
    if problems:
        blocks.append(Bullets(problems, problems=True))
    return Section("design", "Design and exclusions", tuple(blocks))


def _scheduled(context: Context) -> str:
    """Whether trials ran to their end whatever they showed."""
    if "scheduler" not in context.trials.columns or context.trials["scheduler"].isna().all():
        return ""
    names = sorted({str(name).lower() for name in context.trials["scheduler"].dropna()})
    if names == ["fifo"]:
        return " No trial was stopped early for its results (scheduler: fifo)."
    return f" Schedulers: {listed(names)}; all but fifo choose by the outcome which trials train on."


def _failures(context: Context) -> list[str]:
    trials = context.trials
    failed = trials[trials["status"] == "failed"]
    if failed.empty or "error" not in failed.columns:
        return []
    reasons = failed["error"].fillna("no reason recorded").astype(str).value_counts()
    told = [f"{count(int(n), 'trial')} failed: {reason}" for reason, n in reasons.head(5).items()]
    return told + ([f"and {len(reasons) - 5} more reasons"] if len(reasons) > 5 else [])
