"""What each intervention does, and what two do at once: the factorial's table and heatmap (Table 2 and Figure 8)."""

import numpy as np
import pandas as pd

from sweep.analysis.vocabulary import label, term
from sweep.report.context import Absent, Context
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.figures.heatmap import heatmap
from sweep.report.page import Block, Download, Heading, Paragraph, Plot, Section
from sweep.report.sections.places import env_words
from sweep.report.tables import PLACE, Column, Row, chance, interval, note, page_table, whole, words
from sweep.report.words import count, decimals, in_words, level_words, listed, sentence, why

_NAME, _TITLE = "interventions", "Interventions and their interactions"
# A map of p-values that are corrected for their number is read at this rate of false discoveries.
_RATE = 0.05


def interventions(context: Context) -> Section:
    """Main effects of two-level factors on the outcome and on the measure, and the effects of every pair."""
    blocks: list[Block] = []
    reasons: list[str] = []
    kinds: set[str] = set()
    for name in dict.fromkeys((context.outcome, context.measure)):
        try:
            effects = context.table("intervention-ate", outcome=name)
        except Absent as error:
            reasons.append(str(error))
            continue
        known = effects[effects["effect"].notna()]
        reasons += [
            sentence(in_words(text)) for text in effects.loc[effects["effect"].isna(), "note"].dropna()
        ]
        if known.empty:
            continue
        kinds |= set(known["kind"].dropna())
        blocks.append(Heading(f"On {term(name).inline}"))
        blocks += _main_effects(context, effects, known, name)
        blocks += _pairs(context, name)
    if not blocks:
        return Section(_NAME, _TITLE, absent=why(reasons) or "No trial has ended yet.")
    told = (
        "Factors with two levels each, from a regression on all of them; 95 % intervals by configuration. p: "
        "two-sided; adjusted by Holm over the main effects of a space, by Benjamini-Hochberg over its pairs."
    )
    if "randomised" in kinds:
        told += " The design set these factors independently of each other, so their effects are causal in its trials."
    if "associational" in kinds:
        told += (
            " Where the kind is associational, levels were not set independently of everything else, and a "
            "difference need not be an effect."
        )
    return Section(_NAME, _TITLE, (Paragraph(told), *blocks))


def _main_effects(context: Context, effects: pd.DataFrame, known: pd.DataFrame, name: str) -> list[Block]:
    groups = []
    for (env, space), here in known.groupby(["env", "space"], sort=False):
        rows = tuple(Estimate.of(_contrast(row), row, "effect") for row in here.to_dict("records"))
        groups.append(Group(f"{space}, {env_words(env)}", rows))
    trials = {
        place: int(here["n_trials"].iloc[0]) for place, here in known.groupby(["env", "space"], sort=False)
    }
    told = listed([f"{count(n, 'trial')} in {space}" for (_, space), n in trials.items()])
    caption = (
        f"Difference in {_with_unit(name)} between the treatment and the control level, the other factors held: "
        f"{told}. Hollow marks: the 95 % interval holds zero."
    )
    plot = Plot(
        title=f"Effect of each intervention on {term(name).inline}",
        panels=(forest(groups, f"Effect on {_with_unit(name)}", f"Main effects on {term(name).inline}"),),
        caption=caption,
        download=Download.of(effects, context.data.name, "intervention-ate", name),
        layout="beside",
    )
    columns = (
        *PLACE,
        Column("Factor", lambda row: _factor(row["factor"]), numeric=False),
        Column("Control", lambda row: level_words(row["control"]), numeric=False),
        Column("Treatment", lambda row: level_words(row["treatment"]), numeric=False),
        interval("effect", "Effect"),
        chance("effect_p"),
        chance("p_holm", "p (Holm)"),
        Column("Trials", lambda row: f"{_int(row, 'n_control')} / {_int(row, 'n_treatment')}"),
        whole("n_configurations"),
        words("kind"),
        note(),
    )
    return [
        plot,
        page_table(
            effects,
            columns,
            f"Main effects on {term(name).inline} (trials: control / treatment)",
            *(context.data.name, "intervention-ate-table", name),
        ),
    ]


def _pairs(context: Context, name: str) -> list[Block]:
    try:
        table = context.table("pairwise-ate", outcome=name)
    except Absent as error:
        return [Paragraph(f"No map of pairs: {error}")]
    plots: list[Block] = []
    for (env, space), here in table[table["effect"].notna()].groupby(["env", "space"], sort=False):
        names = list(dict.fromkeys([*here["first"], *here["second"]]))
        treated = dict(zip(here["first"], here["first_treatment"], strict=True))
        treated |= dict(zip(here["second"], here["second_treatment"], strict=True))
        labels = [f"{_factor(factor)} {level_words(treated[factor])}" for factor in names]
        panels = []
        for column, p, title in (
            ("effect", "p_bh", "Both at once, from the control"),
            ("interaction", "interaction_p_bh", "Interaction"),
        ):
            values = np.full((len(names), len(names)), np.nan)
            told = np.zeros(values.shape, dtype=bool)
            for row in here.to_dict("records"):
                i, j = sorted((names.index(row["first"]), names.index(row["second"])), reverse=True)
                values[i, j], told[i, j] = row[column], row[p] < _RATE
            digits = decimals(float(np.nanmax(np.abs(values))), np.nan, np.nan)
            # The first factor is in no row under the diagonal, the last in no column.
            panels.append(
                heatmap(
                    values[1:, :-1], told[1:, :-1], labels[1:], labels[:-1], title,
                    f"{title}: {term(name).inline}", digits=digits,
                )
            )  # fmt: skip
        effects, interactions = (int((here[p] < _RATE).sum()) for p in ("p_bh", "interaction_p_bh"))
        caption = (
            f"Change in {_with_unit(name)} in the {space} space on {env_words(env)}, the other factors at control, "
            f"from {count(int(here['n_trials'].iloc[0]), 'trial')} of "
            f"{count(int(here['n_configurations'].iloc[0]), 'configuration')}. Interaction: both at once less the sum "
            f"of either alone. Grey: not told from zero at a false discovery rate of {100 * _RATE:g} %, which leaves "
            f"{effects} of {count(len(here), 'pair')} with an effect and {interactions} with an interaction."
        )
        plots.append(
            Plot(
                title=f"Pairs of interventions in the {space} space, on {term(name).inline}",
                panels=tuple(panels),
                caption=caption,
                download=Download.of(here, context.data.name, str(env), str(space), "pairwise-ate", name),
            )
        )
    return plots


def _contrast(row: Row) -> str:
    """``Activation: relu → tanh``."""
    return f"{_factor(row['factor'])}: {level_words(row['control'])} \u2192 {level_words(row['treatment'])}"


def _factor(name: object) -> str:
    return label(str(name)) if isinstance(name, str) else ""


def _with_unit(name: str) -> str:
    return f"{term(name).inline} ({term(name).unit})" if term(name).unit else term(name).inline


def _int(row: Row, column: str) -> str:
    return f"{int(row[column]):,}" if pd.notna(row[column]) else "\u2013"
