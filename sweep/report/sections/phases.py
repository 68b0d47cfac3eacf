"""When the phases of learning begin and end: counts, spans by hyperparameter, and a trial of each pattern."""

from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.frames import by_space
from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.figures.panel import Series
from sweep.report.figures.spans import PHASES, Span, marked_curve, spans
from sweep.report.grouping import factors, grouped
from sweep.report.page import Block, Download, Gallery, Heading, Paragraph, Plot
from sweep.report.tables import PLACE, Column, Row, page_table, whole
from sweep.report.words import count, listed, short, signed

_MOST_PATTERNS = 3
_MOST_ENVIRONMENTS = 4
_LEGEND = tuple(Series(f"phase {number}", color, "s") for number, color in PHASES.items())


def phase_blocks(context: Context) -> list[Block]:
    """What `phases` finds in the measure's curves; a sentence where it finds nothing or cannot look."""
    name = term(context.measure).inline
    try:
        table = context.table("phases", traced=True)
    except Absent as error:
        return [Heading("Phases"), Paragraph(f"No phases of {name}: {error}")]
    # Of a trial that did not end as planned the later phases are not known.
    judged = table[(table["status"] == "finished") & table["phase1_confidence"].notna()]
    present = [judged[f"phase{number}_begin"].notna() for number in PHASES]
    if judged.empty or not np.any(present):
        why = (
            "no finished trial has enough measurements"
            if judged.empty
            else "no trial shows a change that stands out"
        )
        return [
            Heading("Phases"),
            Paragraph(f"No phases of {name} to show: {why} ({len(judged)} looked at)."),
        ]
    rows = by_space(judged)
    blocks: list[Block] = [
        Heading(f"Phases of {name}"),
        Paragraph(
            "Phase 1: the rank falls at the start; phase 2: it is high or rises; phase 3: it falls for good. Each is "
            "looked for in every trial's own curve; what is not there is not drawn. Steps are where it was measured."
        ),
    ]
    found = rows[rows[[f"phase{number}_begin" for number in PHASES]].notna().any(axis=1)]
    plots = [_spans(context, rows, env, space) for env, space in _places(context, found)]
    blocks.append(Gallery(tuple(plots)) if len(plots) > 1 else plots[0])
    there = [env for env in context.envs if (found["env"] == env).any()]
    blocks += [_examples(context, judged[judged["env"] == env], env) for env in there[:_MOST_ENVIRONMENTS]]
    blocks.append(_table(context, rows))
    return blocks


def _places(context: Context, rows: pd.DataFrame) -> list[tuple[str, str]]:
    there = set(zip(rows["env"], rows["space"], strict=True))
    return [(env, space) for env in context.envs for space in context.spaces if (env, space) in there]


def _spans(context: Context, rows: pd.DataFrame, env: str, space: str) -> Plot:
    here = rows[(rows["env"] == env) & (rows["space"] == space)]
    chosen = factors(here)
    factor = chosen[0] if chosen else None
    words, series = grouped(here, factor)
    shown, numbers = [], []
    for entry in series:
        group = here[words == entry.label]
        found = []
        for number in PHASES:
            begin, end = (group[f"phase{number}_{side}"].dropna().astype(float) for side in ("begin", "end"))
            record = {"group": entry.label, "phase": number, "n_trials": len(group), "n_present": len(begin)}
            if len(begin):
                found.append(Span(number, begin.median(), end.median(), len(begin) / len(group)))
                record |= {"begin": begin.median(), "end": end.median()}
            numbers.append(record)
        shown.append((f"{entry.label} ({len(group)})" if factor else entry.label, found))
    by = f"by {term(factor).inline}" if factor else "all trials"
    last = float(
        np.nanmax(here[[f"phase{number}_end" for number in PHASES]].to_numpy(float, na_value=np.nan))
    )
    if "train_steps" in here:
        last = max(last, float(here["train_steps"].max()))
    return Plot(
        title=f"Phases, {space}, {env}, {by}",
        panels=(spans(shown, last),),
        legend=_LEGEND,
        caption=(
            f"Median begin and end of each phase in {count(len(here), 'finished trial')}"
            f"{' (number of each value in brackets)' if factor else ''}; percentages: trials that show it."
        ),
        download=Download.of(pd.DataFrame(numbers), context.data.name, env, space, "phases"),
    )


def _examples(context: Context, judged: pd.DataFrame, env: str) -> Plot:
    """One trial for each of the commonest patterns: the one whose least certain phase is most certain."""
    patterns = judged.apply(_pattern, axis=1)
    certainty = judged[[f"phase{number}_confidence" for number in PHASES]].min(axis=1)
    panels, chosen = [], []
    commonest = patterns.value_counts()
    order = sorted(filter(None, commonest.index), key=lambda pattern: (-commonest[pattern], pattern))
    for pattern in order[:_MOST_PATTERNS]:
        best = certainty[patterns == pattern].idxmax()
        trial = judged.loc[best]
        curve = context.data.curves
        curve = curve[(curve["trial_id"] == trial["trial_id"]) & curve[context.measure].notna()].sort_values(
            "step"
        )
        found = [
            (number, float(trial[f"phase{number}_begin"]), float(trial[f"phase{number}_end"]))
            for number in PHASES
            if pd.notna(trial[f"phase{number}_begin"])
        ]
        panels.append(
            marked_curve(
                curve["step"].to_numpy(float),
                curve[context.measure].to_numpy(float),
                found,
                context.measure,
                f"{pattern}: {commonest[pattern]} of {count(len(judged), 'trial')}",
            )
        )
        chosen.append(curve[["trial_id", "step", context.measure]].assign(pattern=pattern))
    return Plot(
        title=f"Curves with their phases, {env}",
        panels=tuple(panels),
        caption=(
            f"{term(context.measure).label} of one trial for each of the commonest patterns, the trial whose least "
            "certain phase is the most certain."
        ),
        download=Download.of(pd.concat(chosen), context.data.name, env, "phase-examples"),
    )


def _pattern(row: pd.Series) -> str:
    found = [str(number) for number in PHASES if pd.notna(row[f"phase{number}_begin"])]
    if not found:
        return ""
    return f"Phase{'s' if len(found) > 1 else ''} {listed(found)}"


def _table(context: Context, rows: pd.DataFrame) -> Block:
    records: list[dict[str, Any]] = []
    for env, space in _places(context, rows):
        here = rows[(rows["env"] == env) & (rows["space"] == space)]
        for number in PHASES:
            there = here[here[f"phase{number}_begin"].notna()]
            record = {
                "env": env,
                "space": space,
                "phase": number,
                "n_trials": len(here),
                "n_present": len(there),
            }
            for side in ("begin", "end"):
                values = there[f"phase{number}_{side}"].astype(float)
                record[side] = values.median()
                record[f"{side}_q25"], record[f"{side}_q75"] = values.quantile(0.25), values.quantile(0.75)
            for name in (context.measure, context.outcome):
                record[name] = there[f"phase{number}_{name}"].median()
            records.append(record)

    def quartiles(side: str) -> Column:
        def cell(row: Row) -> str:
            if not np.isfinite(row[side]):
                return "\u2013"
            return f"{short(row[side])} [{short(row[f'{side}_q25'])}, {short(row[f'{side}_q75'])}]"

        return Column(f"{side.capitalize()}s at step", cell)

    def middle(name: str) -> Column:
        return Column(
            term(name).label, lambda row: signed(row[name], 2) if np.isfinite(row[name]) else "\u2013"
        )

    columns = (
        *PLACE,
        whole("phase", "Phase"),
        Column("Present in", lambda row: f"{row['n_present']} of {row['n_trials']}"),
        quartiles("begin"),
        quartiles("end"),
        middle(context.measure),
        middle(context.outcome),
    )
    title = "Phases: medians [quartiles] over the finished trials that show them"
    return page_table(pd.DataFrame(records), columns, title, context.data.name, "phases")
