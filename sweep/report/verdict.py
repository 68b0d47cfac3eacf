"""What the numbers say, in sentences that say no more than they do."""

import math
from dataclasses import dataclass

import pandas as pd

from sweep.analysis.vocabulary import term

CAUTION = (
    "Both are results of training: this is an association between trained networks, not the effect of "
    "changing the {measure}."
)


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees: one headline a finding, then what limits it."""

    findings: tuple[str, ...]
    limits: tuple[str, ...]


def verdict(correlations: pd.DataFrame, contrasts: pd.DataFrame, trials: pd.DataFrame) -> Verdict:
    """From the rows of `correlation` and `correlation_contrast`, and the status of ``trials``."""
    findings, limits = [], []
    ended = int(trials["status"].isin(["finished", "diverged", "failed"]).sum())
    if ended < len(trials):
        limits.append(f"Provisional: {ended} of {count(len(trials), 'trial')} have ended.")
    refused = []
    for env, rows in correlations.groupby("env", sort=False):
        known = rows[rows["spearman"].notna()]
        if known.empty:
            refused.append(str(env))
            limits.append(f"On {env} no correlation is given: {_reasons(rows)}.")
            continue
        finding = f"On {env}, {_clauses(known)}."
        finding += _difference(contrasts[contrasts["env"] == env])
        findings.append(finding)
        unknown = rows[rows["spearman"].isna()]
        if len(unknown):
            limits.append(f"On {env} no correlation is given for {_reasons(unknown)}.")
    if not findings:
        findings.append(_nothing(correlations, trials))
    else:
        first = correlations.iloc[0]
        limits.append(CAUTION.format(measure=term(str(first["measure"])).label.lower()))
        few = correlations[correlations["note"].fillna("").str.startswith("few")]
        if len(few):
            named = ", ".join(f"{row.space} ({row.n_configurations})" for row in few.itertuples())
            limits.append(
                f"Few configurations in {named}: intervals are wide and lean on normal-like scatter."
            )
        intervals = int(correlations["spearman"].notna().sum())
        if intervals > 1:
            limits.append(
                f"{intervals} intervals are shown, each at its own level, uncorrected for their number."
            )
    return Verdict(tuple(findings), tuple(limits))


def interval_text(value: float, low: float, high: float, digits: int = 2) -> str:
    """``0.62 [0.31, 0.84]`` with true minus signs; a dash where there is no number."""
    if not math.isfinite(value):
        return "\u2013"
    return f"{signed(value, digits)} [{signed(low, digits)}, {signed(high, digits)}]"


def signed(value: float, digits: int = 2) -> str:
    """Fixed decimals, a true minus sign, and no negative zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "\u2212") if float(text) else text.lstrip("-")


def count(number: int, noun: str) -> str:
    """``1 trial``, ``24 trials``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _clauses(rows: pd.DataFrame) -> str:
    clauses: list[str] = []
    for row in rows.to_dict("records"):
        outcome, measure = (term(str(row[c])).label.lower() for c in ("outcome", "measure"))
        level = f"{100 * row['confidence']:g} % interval "
        numbers = (
            f"Spearman {signed(row['spearman'])}, {level}{signed(row['spearman_low'])} to "
            f"{signed(row['spearman_high'])}; {count(row['n_trials'], 'trial')} of "
            f"{count(row['n_configurations'], 'configuration')}"
        )
        if row["spearman_low"] > 0:
            says = f"higher {measure} goes with higher {outcome}"
        elif row["spearman_high"] < 0:
            says = f"higher {measure} goes with lower {outcome}"
        else:
            says = f"no association of {measure} with {outcome} can be told from zero"
        clauses.append(f"{says} in the {row['space']} space ({numbers})")
    return "; ".join(clauses)


def _difference(contrasts: pd.DataFrame) -> str:
    if contrasts.empty or not math.isfinite(contrasts.iloc[0]["difference"]):
        return ""
    row = contrasts.iloc[0]
    numbers = f"{signed(row['difference'])}, interval {signed(row['low'])} to {signed(row['high'])}"
    if row["low"] > 0 or row["high"] < 0:
        change = "weaker" if abs(row["second_value"]) < abs(row["first_value"]) else "stronger"
        if row["first_value"] * row["second_value"] < 0 and change == "stronger":
            change = "of the other sign"
        return (
            f" The correlation in {row['second']} is {change} than in {row['first']} (difference {numbers})."
        )
    return f" Whether {row['first']} and {row['second']} differ cannot be told (difference {numbers})."


def _reasons(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row.space}: {str(row.note).removeprefix('refused: ')}" for row in rows.itertuples())


def _nothing(correlations: pd.DataFrame, trials: pd.DataFrame) -> str:
    finished = int((trials["status"] == "finished").sum())
    asked = "rank against return"
    if len(correlations):
        row = correlations.iloc[0]
        asked = f"{term(str(row['measure'])).label.lower()} against {term(str(row['outcome'])).label.lower()}"
    return (
        f"Too little to judge {asked}: {finished} of {count(len(trials), 'trial')} finished, and no space "
        "gives a correlation."
    )
