"""The verdict: what the correlations say per environment, and what the confound audit makes of it."""

from typing import Final

import pandas as pd

from sweep.analysis import correlation_contrast
from sweep.analysis.samples import TOGETHER
from sweep.analysis.vocabulary import term
from sweep.report.context import Absent, Context
from sweep.report.sections.places import place_words
from sweep.report.verdict import Finding, Verdict, verdict
from sweep.report.words import in_words, sentence

MOST_AUDITS: Final = 6
_MOST_OPEN: Final = 2
_HEADLINES: Final = {
    "agrees": "the association of {pair} stands when hyperparameters are held fixed",
    "shrinks": "the association of {pair} shrinks when hyperparameters are held fixed",
    "vanishes": "the association of {pair} vanishes when hyperparameters are held fixed",
    "reverses": "the association of {pair} reverses when hyperparameters are held fixed",
    "appears": "an association of {pair} appears only when hyperparameters are held fixed",
    "cannot tell": "what holding hyperparameters fixed does to the association of {pair} cannot be told",
}


def judgement(context: Context) -> Verdict:
    """Findings of both, the audit's after the correlations', and what limits them."""
    correlations = context.table("correlation")
    contrasts = (
        correlation_contrast(correlations, *context.spaces[:2])
        if len(context.spaces) > 1
        else pd.DataFrame({"env": []})
    )
    seen = verdict(correlations, contrasts, context.trials)
    findings, limits = _audited(context)
    return Verdict((*seen.findings, *findings), (*seen.limits, *limits))


def _audited(context: Context) -> tuple[list[Finding], list[str]]:
    try:
        table = context.verdicts
    except Absent:
        return [], []
    # A refused row has no sensitivity; its reason is among the limits of the correlations.
    known = table[table["sensitivity"].notna()]
    # Environments together stand for each by itself, which the section on approaches has.
    together = set(known.loc[known["env"] == TOGETHER, "space"])
    shown = known[(known["env"] == TOGETHER) | ~known["space"].isin(together)]
    pair = f"{term(context.measure).inline} with {term(context.outcome).inline}"
    findings, open_, why = [], [], []
    for row in shown.head(MOST_AUDITS).to_dict("records"):
        place, word = (str(row["env"]), str(row["space"])), str(row["verdict"])
        if word == "cannot tell":
            open_.append(place_words(place))
            why.append(f"{place_words(place)}: {in_words(str(row['text']))}")
            continue
        headline = f"{place_words(place)}: {_HEADLINES[word].format(pair=pair)}"
        if isinstance(row["variable"], str) and word != "agrees":
            headline += f"; {term(row['variable']).inline} does it"
        findings.append(Finding(sentence(headline), (in_words(str(row["text"])),)))
    if open_:
        headline = sentence(f"{'; '.join(open_)}: {_HEADLINES['cannot tell'].format(pair=pair)}")
        findings.append(Finding(headline, tuple(why) if len(why) <= _MOST_OPEN else ()))
    limits = []
    if len(shown) > MOST_AUDITS:
        limits.append(
            f"Audits of {len(shown) - MOST_AUDITS} more environments and spaces are in the section on approaches."
        )
    for text in dict.fromkeys(text for text in shown["caveats"].dropna() if text):
        where = shown[shown["caveats"] == text]
        names = [
            place_words((str(env), str(space)))
            for env, space in zip(where["env"], where["space"], strict=True)
        ]
        limits.append(sentence(f"{'; '.join(names)}: {in_words(text)}"))
    return findings, limits
