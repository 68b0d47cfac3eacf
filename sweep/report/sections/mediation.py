"""Through what the learning rate acts: the chain learning rate, dead units, rank, return, with its warning."""

import pandas as pd

from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.page import Block, Download, Gallery, Paragraph, Plot, Section
from sweep.report.sections.places import MOST_PLACES, Place, of_place, place_words, places, undrawn
from sweep.report.tables import PLACE, Column, chance, interval, note, page_table, words
from sweep.report.words import count, in_words, percent, sentence, why

_NAME, _TITLE = "mediation", "Mediation"
_TREATMENT = "learning_rate"


def mediation(context: Context) -> Section:
    """Paths of the chain, total, direct and indirect effects, in standard deviations."""
    if _TREATMENT not in context.trials.columns:
        return Section(_NAME, _TITLE, absent="The trials have no learning rate, which the chain begins with.")
    mediators = [name for name in ("dead_units", "srank") if name != context.outcome]
    try:
        table = context.table("mediation", treatment=_TREATMENT, mediators=mediators)
    except Absent as error:
        return Section(_NAME, _TITLE, absent=why([str(error)]))
    known = table[table["standardised"].notna()]
    if known.empty:
        return Section(_NAME, _TITLE, absent=why(table["note"]) or "No trial has ended yet.")
    there = places(known)
    chain = [_TREATMENT, *mediators, context.outcome]
    warnings = dict.fromkeys(sentence(in_words(text)) for text in known["identification"].dropna())
    blocks: list[Block] = [
        Paragraph(
            f"The linear chain {_arrow(chain)}, other hyperparameters held fixed; in standard deviations of both ends, "
            f"95 % intervals from {context.draws:,} bootstrap draws of configurations." + undrawn(len(there))
        ),
        *(Paragraph(warning) for warning in warnings),
        Gallery(tuple(_plot(context, of_place(known, place), place) for place in there[:MOST_PLACES])),
        page_table(
            table,
            (
                *PLACE,
                Column("Effect", lambda row: _path(row["path"], row["effect"]), numeric=False),
                interval("standardised", "In standard deviations"),
                interval("estimate", "In units"),
                chance("estimate_p"),
                Column("Of the total", lambda row: percent(row["share_of_total"])),
                words("kind"),
                note(),
            ),
            f"Paths of {_arrow(chain)}",
            *(context.data.name, "mediation"),
        ),
    ]
    return Section(_NAME, _TITLE, tuple(blocks))


def _plot(context: Context, rows: pd.DataFrame, place: Place) -> Plot:
    groups = []
    for heading, kinds in (
        ("Each on all before it", ("path",)),
        ("On the outcome", ("total", "direct", "indirect")),
    ):
        here = rows[rows["effect"].isin(kinds)]
        estimates = tuple(
            Estimate.of(
                _path(row["path"], row["effect"]), row, "standardised",
                color="category-1" if row["kind"] == "randomised" else "category-3",
            )
            for row in here.to_dict("records")
        )  # fmt: skip
        groups.append(Group(heading, estimates))
    first = rows.iloc[0]
    randomised = bool((rows["kind"] == "randomised").any())
    told = (
        " Blue: the design set the first variable, so it is an effect. Violet: associational."
        if randomised
        else ""
    )
    return Plot(
        title=f"The chain, {place_words(place)}",
        panels=(forest(groups, "Standard deviations", f"Mediation, {place_words(place)}"),),
        caption=(
            f"{count(int(first['n_trials']), 'trial')} of {count(int(first['n_configurations']), 'configuration')}. "
            f"Hollow marks: the interval holds zero.{told}"
        ),
        download=Download.of(rows, context.data.name, *place, "mediation"),
    )


def _path(path: object, effect: object) -> str:
    """A path in words; total, direct and indirect effects by their names."""
    if not isinstance(path, str):
        return str(effect)
    names = [name.strip() for name in path.split("->")]
    said = _arrow(names)
    return (
        said
        if effect == "path"
        else f"{effect}: {said}"
        if len(names) > 2 or effect == "indirect"
        else str(effect)
    )


def _arrow(names: list[str]) -> str:
    return " \u2192 ".join(term(name).inline for name in names)
