"""What a pilot's variance components say for a claim: which environment and space of it to go by."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.analysis.frames import AnalysisError
from sweep.analysis.planning.power import Claim
from sweep.analysis.planning.power_plan import Spread


@dataclass(frozen=True)
class Pilot:
    """Spread of one environment and space, as estimated and at its upper bounds."""

    env: str
    space: str
    spread: Spread
    upper: Spread
    others: int
    """How many groups of the pilot were less noisy."""
    notes: tuple[str, ...]


def read_pilot(
    table: pd.DataFrame,
    claim: Claim,
    measure: str,
    outcome: str,
    *,
    env: str | None = None,
    space: str | None = None,
) -> Pilot:
    """The noisiest group for ``claim`` in a table of `variance_components`, or that of ``env`` and ``space``.

    ``space`` counts where the pilot has it: a study's space need not be one of its pilot. Raises `AnalysisError`
    where no group can say.
    """
    if env is not None and env not in set(table["env"]):
        raise AnalysisError(
            f"env {env!r}: the pilot has {', '.join(map(str, dict.fromkeys(table['env'])))}; name one of them."
        )
    groups = table if env is None else table[table["env"] == env]
    if space in set(groups["space"]):
        groups = groups[groups["space"] == space]
    refused = list(groups["note"][groups["sd_between"].isna()])
    found = []
    for (group_env, group_space), rows in groups.groupby(["env", "space"], sort=False):
        by_measure = {str(row["measure"]): row for row in rows.to_dict("records")}
        needed = [outcome, *([measure] if claim.kind == "correlation" else [])]
        chosen = [by_measure[name] for name in needed if name in by_measure]
        if len(chosen) < len(needed) or any(pd.isna(row["sd_between"]) for row in chosen):
            continue
        if claim.kind == "difference" and pd.isna(chosen[0]["sd_within"]):
            refused.append("one seed a configuration: the spread between seeds is not known")
            continue
        notes = dict.fromkeys(str(row["note"]) for row in chosen if not pd.isna(row["note"]))
        shares = {
            end: (float(chosen[-1][f"share_between{end}"]), float(chosen[0][f"share_between{end}"]))
            for end in ("", "_upper")
        }
        spreads = [
            Spread(_number(chosen[0][f"sd_between{end}"]), _number(chosen[0][f"sd_within{end}"]), shares[end])
            for end in ("", "_upper")
        ]
        found.append(Pilot(str(group_env), str(group_space), spreads[0], spreads[1], 0, tuple(notes)))
    if not found:
        reasons = "; ".join(dict.fromkeys(str(note) for note in refused if not pd.isna(note)))
        raise AnalysisError(
            f"the pilot cannot say how {outcome} varies: {reasons or 'it has no such trials'}. Give --sd-between and "
            "--sd-within, or a pilot of several configurations and seeds."
        )
    noisiest = max(found, key=lambda pilot: _noise(pilot, claim))
    return Pilot(**{**noisiest.__dict__, "others": len(found) - 1})


def _noise(pilot: Pilot, claim: Claim) -> float:
    """What makes the claim hard to find, at the upper bound."""
    of = pilot.upper
    if claim.kind == "correlation":
        return float(np.sqrt(of.shares[0] * of.shares[1]))
    return of.within if claim.kind == "difference" else float(np.hypot(of.between, of.within))


def _number(value: object) -> float:
    """A standard deviation that could not be told from another counts in that one."""
    number = float(str(value))
    return 0.0 if np.isnan(number) else number
