"""Which phases of learning each trial went through, and when (Gulcehre et al. 2022, section 4.1, Figures 2, 4, 32)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError, require_columns, varying
from sweep.analysis.table import Option, Table
from sweep.analysis.training.lifespan import CLEARLY, Lifespan, Returns, difference, lifespan
from sweep.analysis.training.series import Series

DEAD_UNITS: Final = "dead_units"
_PHASES: Final = (1, 2, 3)
_NONE: Final = np.zeros(0)


def phases(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    by: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per trial: where phases 1, 2 and 3 of its ``measure`` begin and end, by the rules of `lifespan`.

    Columns: trial_id, env, spaces, ``by`` (by default the seed and every hyperparameter that varies), status; for
    each phase k ``phase<k>_begin`` and ``phase<k>_end`` (gradient steps, null where the phase is not present),
    ``phase<k>_confidence`` (in [0, 1], of that verdict; NaN where there is none), and the medians of measure and
    outcome in the phase, ``phase<k>_<measure>`` and ``phase<k>_<outcome>``; ``note``.

    ``measure`` is a rank; ``outcome`` decides one rule and is told beside the others. Every trial has its row, once,
    whatever its status. Fewer than 5 measurements give a note and nothing else.

    Raises `AnalysisError` when a column is missing.
    """
    require_columns(trials, ("trial_id", "env", "spaces", "status", *(by or ())), "trials")
    require_columns(metrics, ("trial_id", "step", measure, outcome), "metrics")
    if measure == outcome:
        raise AnalysisError(f"measure={measure}, outcome={outcome}: name two columns, a rank and a return.")
    trials = trials.reset_index(drop=True)
    beside = [*(["seed"] if "seed" in trials.columns else []), *varying(trials)] if by is None else list(by)
    series = Series(trials["trial_id"], metrics)
    dead = series.of(DEAD_UNITS) if DEAD_UNITS in metrics.columns else [(_NONE, _NONE)] * len(trials)
    rows = [
        _row(steps, rank, Returns(*returned), units, measure, outcome)
        for (steps, rank), returned, (_, units) in zip(
            series.of(measure), series.of(outcome), dead, strict=True
        )
    ]
    places, numbers = ("begin", "end"), ("confidence", measure, outcome)
    columns = {
        f"phase{k}_{name}": "Int64" if name in places else float
        for k in _PHASES
        for name in (*places, *numbers)
    }
    table = pd.DataFrame(rows, columns=[*columns, "note"]).astype({**columns, "note": object})
    table["note"] = [
        "; ".join(part for part in (note, end) if part) or None
        for note, end in zip(table["note"], _ends(trials), strict=True)
    ]
    shown = list(dict.fromkeys(["trial_id", "env", "spaces", *beside, "status"]))
    return pd.concat([trials[shown], table], axis=1)


def _row(
    steps: Floats, rank: Floats, returns: Returns, dead: Floats, measure: str, outcome: str
) -> dict[str, object]:
    found = lifespan(steps, rank, returns)
    row: dict[str, object] = {"note": "; ".join(_told(found, steps, returns, outcome, dead))}
    for k, phase in zip(_PHASES, found.phases, strict=True):
        row[f"phase{k}_confidence"] = phase.confidence
        if phase.begin is None or phase.end is None:
            continue
        begin, end = steps[phase.begin], steps[phase.end]
        during = returns.during(begin, end)
        row |= {
            f"phase{k}_begin": int(begin),
            f"phase{k}_end": int(end),
            f"phase{k}_{measure}": float(np.median(rank[phase.begin : phase.end + 1])),
            f"phase{k}_{outcome}": float(np.median(during)) if len(during) else np.nan,
        }
    return row


_Span = tuple[float, float]


def _told(found: Lifespan, steps: Floats, returns: Returns, outcome: str, dead: Floats) -> list[str]:
    notes = [found.note] if found.note else []
    one, two, three = (
        None if p.begin is None or p.end is None else (steps[p.begin], steps[p.end]) for p in found.phases
    )
    if one and not two:
        if len(dead):
            notes.append(f"{dead[-1]:g} dead units at the end (few in phase 1, many in phase 3)")
        third = (one[1] - one[0]) / 3
        if _change(returns, (one[0], one[0] + third), (one[1] - third, one[1])) > CLEARLY:
            notes.append(f"{outcome} rises all the same")
    if len(returns.values) > 1 and np.ptp(returns.values) == 0:
        return [*notes, f"{outcome} is {returns.values[0]:g} throughout"]
    # A change that is not known, NaN, is no less than anything.
    if _change(returns, one, two) <= CLEARLY:
        notes.append(f"{outcome} does not rise in phase 2")
    if _change(returns, two, three) >= -CLEARLY:
        notes.append(f"{outcome} does not fall in phase 3")
    return notes


def _change(returns: Returns, before: _Span | None, after: _Span | None) -> float:
    if before is None or after is None:
        return np.nan
    return difference(returns.during(*before), returns.during(*after))


def _ends(trials: pd.DataFrame) -> list[str]:
    diverged = (
        trials["diverged_step"] if "diverged_step" in trials.columns else pd.Series(pd.NA, trials.index)
    )
    words = []
    for status, step in zip(trials["status"].astype(str), diverged, strict=True):
        if status == "diverged":
            words.append("diverged" if pd.isna(step) else f"diverged at step {int(step)}")
        else:
            words.append("" if status == "finished" else f"{status}: the curve may go on")
    return words


def _needs(options: Mapping[str, Any]) -> list[str]:
    return [options.get("measure", "srank"), options.get("outcome", "return_mean"), DEAD_UNITS]


TABLE: Final = Table(
    "phases",
    "where the phases of learning begin and end in each trial, from its rank and its return",
    phases,
    "series",
    _needs,
    {
        "measure": Option("text", "The rank whose rises and falls make the phases [default: srank]."),
        "outcome": Option("text", "The return beside it [default: return_mean]."),
        "by": Option(
            "names", "Hyperparameters to show [default: the seed and those that vary], such as learning_rate."
        ),
    },
)
