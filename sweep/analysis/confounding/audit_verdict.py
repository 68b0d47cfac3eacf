"""What an audit says, in words that its intervals carry: one word, the hyperparameter that does it, and sentences.

Read from the table of `audit` alone. The word is that of the estimate adjusted for all hyperparameters against the
pooled one (within the environment, where there are several). Where that is refused, it is of the hyperparameters one at
a time: the strongest word that one of them gives, and "agrees" only where none gives another. The hyperparameter that
does it is the one whose groups change the association most, among those whose change is clear after Holm's correction
and whose interval leaves the pooled estimate out or holds zero; none where there is no such. Where there is one, and
the adjusted estimate moves the same way but not clearly so, for want of precision, the word is that hyperparameter's.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.confounding.audit import TABLE as AUDIT
from sweep.analysis.confounding.audit import audit
from sweep.analysis.confounding.audit_rows import (
    ADJUSTED,
    DOUBLY_ROBUST,
    ENVIRONMENT,
    FACTOR,
    HIDDEN,
    INTERACTIONS,
    POOLED,
    STRATIFIED,
)
from sweep.analysis.confounding.prose import bounded, listed, number, percent, sentence
from sweep.analysis.frames import require_columns
from sweep.analysis.samples import TOGETHER
from sweep.analysis.table import Table, pair
from sweep.analysis.vocabulary import term

VERDICT_COLUMNS: Final = (
    *("measure", "outcome", "verdict", "variable", "text", "sensitivity", "randomised", "caveats"),
    *("n_trials", "n_configurations"),
)
_STRONGEST_FIRST: Final = ("reverses", "vanishes", "shrinks", "appears", "cannot tell", "agrees")
_MOST_FACTORS: Final = 3

Record = Mapping[Hashable, Any]
Records = Sequence[Record]


def audit_verdict(table: pd.DataFrame) -> pd.DataFrame:
    """A row per sample of an `audit` table: columns env, space (and what else it was kept apart by), `VERDICT_COLUMNS`.

    ``verdict`` is one of agrees, shrinks, vanishes, reverses, appears, cannot tell (`agreement`); ``variable`` the
    hyperparameter that does it, or None; ``text`` two to four sentences with numbers, units and n; ``sensitivity`` what
    something unseen would have to be; ``randomised`` what factors set by the design do; ``caveats`` of the trials.

    Raises `AnalysisError` where the table is none of `audit`.
    """
    require_columns(table, ("env", "space", "approach", "word", "change_p_holm", "caveats"), "audit")
    keys = list(table.columns)[: list(table.columns).index("measure")]
    rows = []
    for key, group in table.groupby(keys, sort=False, dropna=False):
        records = group.to_dict("records")
        rows.append(dict(zip(keys, key, strict=True)) | _verdict(records))
    return pd.DataFrame(rows, columns=[*keys, *VERDICT_COLUMNS])


def _verdict(records: Records) -> dict[str, object]:
    first = records[0]
    row: dict[str, object] = {
        name: first[name] for name in ("measure", "outcome", "n_trials", "n_configurations")
    }
    row["caveats"] = _text(first["caveats"])
    base = _one(records, ENVIRONMENT if first["env"] == TOGETHER else POOLED)
    if base is None:
        refused = _text(first["note"]) or "refused: no slope"
        return row | {"verdict": "cannot tell", "text": sentence(refused)}
    adjusted, strata = _one(records, ADJUSTED), [r for r in _there(records, STRATIFIED) if _text(r["word"])]
    word = str(adjusted["word"]) if adjusted is not None else _weakest_link(strata)
    changer = _changer(base, strata)
    if adjusted is not None and changer is not None and word in ("agrees", "cannot tell"):
        same_way = np.sign(adjusted["change"]) == np.sign(changer["change"])
        word = str(changer["word"]) if same_way and _text(changer["word"]) else word
    text = [_claim(base), *_mixed(records, base)]
    if adjusted is not None:
        names = [str(r["variable"]) for r in records if r["approach"] == STRATIFIED]
        text.append(_after(base, adjusted, names))
    else:
        text += _one_by_one(records, strata)
    text += _does_it(base, changer, word)
    text += _crossed(records, word)
    return row | {
        "verdict": word,
        "variable": None if changer is None else changer["variable"],
        "text": " ".join(text),
        "sensitivity": _sensitivity(records, base, adjusted),
        "randomised": _randomised(records, base),
    }


def _claim(base: Record) -> str:
    together = base["env"] == TOGETHER
    n = f"{base['n_used']:,} trials of {base['n_configurations']:,} {'settings' if together else 'configurations'}"
    unit = "in its standard deviations" if together else term(str(base["outcome"])).unit
    outcome = f"{_outcome(base)} ({unit})" if unit else _outcome(base)
    text = (
        f"{'within environments, over' if together else 'over'} {n}, one standard deviation{_of_measure(base)} more "
        f"{_measure(base)} goes with a {outcome} that differs by {_numbers(base)}, {100 * base['confidence']:g} % "
        "interval in brackets"
    )
    none = "; the interval holds zero, so that no association is shown"
    left_out = f" {sentence(base['note'])}" if together and _text(base["note"]) else ""
    return sentence(text + ("" if _side(base) else none)) + left_out


def _mixed(records: Records, base: Record) -> list[str]:
    """What the environments mixed would have said."""
    pooled = _one(records, POOLED)
    if base["env"] != TOGETHER or pooled is None:
        return []
    what = f"mixed as they stand, the environments would show {_numbers(pooled, 'standardised')} standard deviations"
    word = _text(base["word"])
    return [
        sentence(f"{what}: against that, within environments the association {_verb(word)}" if word else what)
    ]


def _after(base: Record, adjusted: Record, names: Sequence[str]) -> str:
    says = _says(base, adjusted, str(adjusted["word"]))
    return sentence(f"adjusted for {listed(names)} it is {_numbers(adjusted)}: {says}")


def _says(base: Record, other: Record, word: str) -> str:
    if word == "agrees":
        if base["negligible"] is True and other["negligible"] is True:
            return f"both are less than the smallest effect of interest, {number(base['sesoi'])}"
        grown = other["change_p_holm"] < 1 - other["confidence"]
        return "it is clearly larger" if grown else "the association stands; a change is not shown here"
    if word == "shrinks":
        share = percent(abs(other["change"] / base["standardised"]))
        left = "" if _side(other) else "; the interval holds zero, whether anything is left cannot be told"
        return f"the association shrinks, by {share}{left}"
    if word == "vanishes":
        return f"it vanishes: what is left is less than the smallest effect of interest, {number(other['sesoi'])}"
    if word == "reverses":
        return "it reverses"
    if word == "appears":
        return "an association appears that was not there before"
    if _side(base) == 0 and _side(other) == 0:
        return "none is shown here either"
    if _side(base) == 0:
        return "but that it differs from before is not shown"
    return "the interval holds zero and the change is not clear, so that it may stand, shrink or vanish"


def _one_by_one(records: Records, strata: Records) -> list[str]:
    why = next((_text(r["note"]) for r in records if r["approach"] == ADJUSTED), None)
    told = [f"adjusting for all hyperparameters at once was {why}"] if why else []
    if not strata:
        told.append("no hyperparameter has groups to compare within")
    else:
        words = [f"{term(str(r['variable'])).inline}: {r['word']} ({_numbers(r)})" for r in strata]
        told.append(f"one at a time, {'; '.join(words)}")
    return [sentence(text) for text in told]


def _does_it(base: Record, changer: Record | None, word: str) -> list[str]:
    if changer is None:
        return (
            []
            if word in ("agrees", "cannot tell")
            else [sentence("no single hyperparameter clearly does it")]
        )
    name = term(str(changer["variable"])).inline
    change = bounded(-changer["change"], -changer["change_high"], -changer["change_low"])
    alone = f"among trials of one {name} it is {_numbers(changer)}"
    changed = f"a change of {change} standard deviations of the {_outcome(base)}"
    return [sentence(f"{name} changes it most: {alone}, {changed}")]


def _crossed(records: Records, word: str) -> list[str]:
    crossed = _one(records, INTERACTIONS)
    if crossed is None or _text(crossed["word"]) in ("", word):
        return []
    return [
        sentence(f'with two-factor interactions the word would be "{crossed["word"]}" ({_numbers(crossed)})')
    ]


def _sensitivity(records: Records, base: Record, adjusted: Record | None) -> str | None:
    row, what = (adjusted, "adjusted") if adjusted is not None else (base, "unadjusted")
    if _side(row) == 0:
        return sentence(
            f"the interval of the {what} estimate holds zero already: nothing unseen is needed to explain it"
        )
    both, bound = percent(row["robustness_value"]), percent(row["robustness_value_bound"])
    told = [
        f"to take the {what} estimate to zero, something unseen would have to explain {both} of what is left of both "
        f"{_measure(row)} and {_outcome(row)}; {bound} to bring its interval there"
    ]
    hidden = next((r for r in records if r["approach"] == HIDDEN), None)
    if hidden is not None:
        name, times = term(str(hidden["variable"])).inline, number(hidden["times_to_zero"], 2)
        told.append(f"a confounder {times} times as strong as {name} would take the estimate to zero")
    robust = _one(records, DOUBLY_ROBUST)
    if robust is not None and np.isfinite(robust["e_value"]):
        told.append(
            f"the doubly robust difference between the sides of the median, {_numbers(robust)}, has an E-value of "
            f"{number(robust['e_value'], 2)} ({number(robust['e_value_bound'], 2)} for its bound)"
        )
    return " ".join(sentence(text) for text in told)


def _randomised(records: Records, base: Record) -> str | None:
    told = []
    factors = [r for r in _there(records, FACTOR) if r["kind"] == "randomised"]
    for r in sorted(factors, key=lambda r: -abs(r["measure_effect"]))[:_MOST_FACTORS]:
        name = str(r["variable"])
        what = str(r["estimand"]).removeprefix("effect of ").removesuffix(" on the outcome")
        what = what.replace(name, term(name).inline, 1)
        moved = bounded(r["measure_effect"], r["measure_effect_low"], r["measure_effect_high"])
        text = f"{what} changes {_measure(r)} by {moved} and {_outcome(r)} by {_numbers(r)}"
        if np.isfinite(r["ratio"]):
            ratio = bounded(r["ratio"], r["ratio_low"], r["ratio_high"])
            alone = base["env"] != TOGETHER
            text += f", {ratio} for each {'unit' if alone else 'standard deviation'}"
            text += f" (pooled: {number(base['estimate'] / base['measure_sd'])})" if alone else ""
            text += ", were the measure its only way to the outcome"
        told.append(sentence(text))
    return " ".join(["Set by the design:", *told]) if told else None


def _weakest_link(strata: Records) -> str:
    words = [str(r["word"]) for r in strata]
    return min(words, key=_STRONGEST_FIRST.index) if words else "cannot tell"


def _changer(base: Record, strata: Records) -> Record | None:
    def counts(row: Record) -> bool:
        outside = not row["standardised_low"] <= base["standardised"] <= row["standardised_high"]
        clear = row["change_p_holm"] < 1 - row["confidence"]
        return bool(clear and (outside or _side(row) == 0))

    able = [row for row in strata if counts(row)]
    return max(able, key=lambda row: abs(row["change"])) if able else None


def _there(records: Records, approach: str) -> list[Record]:
    return [r for r in records if r["approach"] == approach and np.isfinite(r["estimate"])]


def _one(records: Records, approach: str) -> Record | None:
    return next(iter(_there(records, approach)), None)


def _side(row: Record) -> int:
    return int(row["low"] > 0) - int(row["high"] < 0)


def _numbers(row: Record, name: str = "estimate") -> str:
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    return bounded(row[name], row[low], row[high])


def _measure(row: Record) -> str:
    return term(str(row["measure"])).inline


def _outcome(row: Record) -> str:
    return term(str(row["outcome"])).inline


def _of_measure(row: Record) -> str:
    unit = term(str(row["measure"])).unit
    if not np.isfinite(row["measure_sd"]):
        return ""
    return f" ({number(row['measure_sd'])}{f' {unit}' if unit else ''})"


def _verb(word: str) -> str:
    return {"agrees": "stands", "cannot tell": "cannot be told to change"}.get(word, word)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _exported(trials: pd.DataFrame, metrics: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return audit_verdict(audit(trials, metrics, **options))


TABLE: Final = Table(
    "audit-verdict",
    "the audit in words: agrees, shrinks, vanishes, reverses, and which hyperparameter does it",
    _exported,
    "last",
    pair,
    AUDIT.options,
)
