"""What the numbers say, in sentences that say no more than they do."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.analysis.vocabulary import term
from sweep.report.words import count, signed

CAUTION = (
    "Both are results of training: this is an association between trained networks, not the effect of "
    "changing the {measure}."
)


@dataclass(frozen=True)
class Finding:
    """One environment: a sentence that can be read alone, and the numbers under it."""

    headline: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees: the findings, then what limits them."""

    findings: tuple[Finding, ...]
    limits: tuple[str, ...]


def verdict(correlations: pd.DataFrame, contrasts: pd.DataFrame, trials: pd.DataFrame) -> Verdict:
    """From the rows of `correlation` and `correlation_contrast`, and the status of ``trials``."""
    findings, limits = [], []
    ended = int(trials["status"].isin(["finished", "diverged", "failed"]).sum())
    if ended < len(trials):
        limits.append(f"Provisional: {ended} of {count(len(trials), 'trial')} have ended.")
    for env, rows in correlations.groupby("env", sort=False):
        known, unknown = rows[rows["spearman"].notna()], rows[rows["spearman"].isna()]
        if len(known):
            findings.append(_finding(str(env), known, contrasts[contrasts["env"] == env]))
        for row in unknown.to_dict("records"):
            reason = str(row["note"]).removeprefix("refused: ")
            limits.append(f"No correlation for {row['space']} on {env}: {reason}.")
    if not findings:
        return Verdict((_nothing(correlations, trials),), tuple(limits))
    limits.append(CAUTION.format(measure=term(str(correlations.iloc[0]["measure"])).inline))
    few = correlations[correlations["note"].fillna("").str.startswith("few")]
    for row in few.to_dict("records"):
        limits.append(
            f"The interval for {row['space']} on {row['env']} rests on {row['n_configurations']} "
            "configurations."
        )
    limits += [_straight_line(row) for row in correlations.to_dict("records") if _lines_disagree(row)]
    differences = int(contrasts["difference"].notna().sum()) if "difference" in contrasts else 0
    intervals = int(correlations["spearman"].notna().sum()) + differences
    if intervals > 1:
        limits.append(f"The {intervals} intervals are not corrected for their number.")
    return Verdict(tuple(findings), tuple(limits))


def _finding(env: str, rows: pd.DataFrame, contrasts: pd.DataFrame) -> Finding:
    spaces: dict[int, list[str]] = {}
    evidence = []
    for row in rows.to_dict("records"):
        spaces.setdefault(_sign(row, "spearman") or 0, []).append(str(row["space"]))
        evidence.append(
            f"{row['space']}: Spearman {signed(row['spearman'])}, {100 * row['confidence']:g} % interval "
            f"{signed(row['spearman_low'])} to {signed(row['spearman_high'])}; "
            f"{count(row['n_trials'], 'trial')} of {count(row['n_configurations'], 'configuration')}"
        )
    outcome, measure = (term(str(rows.iloc[0][c])).inline for c in ("outcome", "measure"))
    words = {
        1: f"higher {measure} goes with higher {outcome}",
        -1: f"higher {measure} goes with lower {outcome}",
        0: f"no association of {measure} with {outcome} can be told from zero",
    }
    headline = "; ".join(f"{words[sign]} in {_spaces(named)}" for sign, named in spaces.items())
    headline = f"On {env}, {headline}."
    if len(contrasts) and math.isfinite(contrasts.iloc[0]["difference"]):
        gap = contrasts.iloc[0]
        first, second = str(gap["first"]), str(gap["second"])
        evidence.append(
            f"difference, {first} minus {second}: {signed(gap['difference'])}, interval "
            f"{signed(gap['low'])} to {signed(gap['high'])}"
        )
        if gap["low"] <= 0 <= gap["high"]:
            headline += f" Whether {first} and {second} differ cannot be told."
        elif gap["first_value"] * gap["second_value"] > 0:
            change = "weaker" if abs(gap["second_value"]) < abs(gap["first_value"]) else "stronger"
            headline += f" The link is {change} in {second} than in {first}."
        else:
            headline += f" {first.capitalize()} and {second} differ."
    return Finding(headline, tuple(evidence))


def _lines_disagree(row: Mapping[Hashable, Any]) -> bool:
    """Whether the ranks show an association that a straight line, as drawn in the scatter, does not."""
    ranks, line = (_sign(row, name) for name in ("spearman", "pearson"))
    return ranks is not None and line is not None and ranks != line


def _straight_line(row: Mapping[Hashable, Any]) -> str:
    return (
        f"{row['space']} on {row['env']}: the order of trials (Spearman) and a straight line (Pearson) do not "
        f"say the same; Pearson {signed(row['pearson'])}, interval {signed(row['pearson_low'])} to "
        f"{signed(row['pearson_high'])}."
    )


def _sign(row: Mapping[Hashable, Any], name: str) -> int | None:
    """1 or -1 where the interval is on that side of zero, 0 where it holds zero, None where there is none."""
    low, high = row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return 1 if low > 0 else -1 if high < 0 else 0


def _spaces(names: list[str]) -> str:
    if len(names) == 1:
        return f"the {names[0]} space"
    return f"the {', '.join(names[:-1])} and {names[-1]} spaces"


def _nothing(correlations: pd.DataFrame, trials: pd.DataFrame) -> Finding:
    finished = int((trials["status"] == "finished").sum())
    asked = "rank against return"
    if len(correlations):
        row = correlations.iloc[0]
        asked = f"{term(str(row['measure'])).inline} against {term(str(row['outcome'])).inline}"
    return Finding(
        f"Too little to judge {asked}: {finished} of {count(len(trials), 'trial')} finished, and no space "
        "gives a correlation."
    )
