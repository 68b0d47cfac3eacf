"""Whether the measure goes with the error of the values (Figure 29)."""

import pandas as pd

from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.page import Block, Download, Gallery, Paragraph, Plot, Section
from sweep.report.tables import COUNTS, PLACE, Column, chance, interval, note, page_table, words
from sweep.report.words import count, why

_NAME, _TITLE = "values", "Errors of the values"


def values(context: Context) -> Section:
    """Spearman's correlation of the measure with each error of the values that was measured."""
    try:
        table = context.table("value-error")
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["spearman"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No error of the values was measured.")
    measure = term(context.measure).inline
    plots = tuple(
        _plot(context, str(name), here, known) for name, here in known.groupby("outcome", sort=False)
    )
    columns = (
        Column("Error", lambda row: term(row["outcome"]).label, numeric=False),
        *PLACE,
        interval("spearman", "Spearman", 2),
        chance("spearman_p"),
        chance("spearman_p_holm", "p (Holm)"),
        words("association"),
        *COUNTS,
        note(),
    )
    blocks: list[Block] = [
        Paragraph(
            f"Spearman's correlation of {measure} with the error of the values at the end of training; p by Holm "
            "over the environments of a space. Associational."
        ),
        Gallery(plots) if len(plots) > 1 else plots[0],
        page_table(table, columns, f"{term(context.measure).label} and the error of the values",
                   context.data.name, "value-error"),
    ]  # fmt: skip
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(context: Context, name: str, here: pd.DataFrame, known: pd.DataFrame) -> Plot:
    groups = [
        Group(
            str(space),
            tuple(Estimate.of(str(row["env"]), row, "spearman") for row in rows.to_dict("records")),
        )
        for space, rows in here.groupby("space", sort=False)
    ]
    trials = int(here["n_trials"].sum())
    return Plot(
        title=f"{term(context.measure).label} and {term(name).inline}",
        panels=(forest(groups, "Spearman's correlation", f"Correlations with {term(name).inline}"),),
        caption=(
            f"{term(name).label}: {term(name).meaning or 'as measured'}. {count(trials, 'trial')}; hollow marks: the "
            "95 % interval holds zero."
        ),
        download=Download.of(here, context.data.name, "value-error", name),
        layout="beside",
    )
