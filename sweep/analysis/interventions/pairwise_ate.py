"""What two interventions do at once, where all others are at control, and how far that is from the sum of both.

Figure 8 of Gulcehre et al. (2022), for any outcome. From the model of main effects and two-factor interactions, which
stands on all trials, and from the two cells alone, which needs no model and has few trials.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.interventions import crossing
from sweep.analysis.interventions.designs import space_of
from sweep.analysis.interventions.factorial import Factors, check_control, find_factors, levels, read_control
from sweep.analysis.interventions.factorial_model import FactorialModel, factorial_model
from sweep.analysis.interventions.intervention_ate import INTERVENTIONS
from sweep.analysis.multiplicity import benjamini_hochberg
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_confidence, samples
from sweep.analysis.table import SAMPLE, Table

_NUMBERS: Final = (
    *("effect", "effect_low", "effect_high", "effect_p", "p_bh", "first_effect", "second_effect"),
    *("interaction", "interaction_low", "interaction_high", "interaction_p", "interaction_p_bh"),
    *("cells_effect", "cells_low", "cells_high"),
)
PAIRWISE_COLUMNS: Final = (
    *("outcome", "first", "first_control", "first_treatment", "second", "second_control", "second_treatment"),
    *_NUMBERS,
    *(
        "n_control_cell",
        "n_pair_cell",
        "n_matched",
        "n_cells",
        "n_cells_planned",
        "model",
        "confidence",
        "kind",
    ),
    *(*COUNT_COLUMNS, "note"),
)


def pairwise_ate(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    outcome: str = "srank",
    *,
    control: Mapping[str, Any] | Sequence[str] | None = None,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Effect on ``outcome`` of every two interventions at once, from the control cell; a row per space x pair.

    The model is that of `intervention_ate` with all two-factor interactions. ``effect``: both set to treatment, all
    others at control; ``first_effect`` and ``second_effect``: either alone, there too. ``interaction`` is effect
    minus both of these: the same at every level of the others, as the model has it. ``p_bh`` and
    ``interaction_p_bh`` correct over the pairs of the space (Benjamini-Hochberg). ``cells_effect`` is the mean
    difference between trials of the two cells that are equal in seed and blocks (``n_matched``), with Student's
    interval over those: of these configurations, where the model's is over configurations.

    A pair that the design cannot tell apart is refused. Raises `AnalysisError` as `intervention_ate` does.
    """
    check_confidence(confidence)
    asked = read_control(control)
    table: list[dict[str, object]] = []
    found: list[Factors] = []
    for sample in samples(
        trials,
        metrics,
        [outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
        across_environments=True,
    ):
        found.append(find_factors(sample.planned, space_of(trials, sample.key["space"]), asked, within))
        table += _rows(sample, found[-1], outcome, confidence)
    check_control(asked, found)
    keys = list(dict.fromkeys(["env", "space", *within]))
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *PAIRWISE_COLUMNS))))
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})


def _rows(sample: Sample, factors: Factors, outcome: str, confidence: float) -> list[dict[str, object]]:
    base = sample.row() | {"outcome": outcome, "confidence": confidence}
    if len(factors.factors) < 2:
        only = f"refused: {factors.factors[0].name} is the only two-level factor" if factors.factors else ""
        return [base | {"note": sample.refusal or only or factors.none}]
    base["n_cells"], base["n_cells_planned"] = crossing.cells(sample, factors)
    base["kind"] = "randomised" if crossing.randomised(sample, factors) else "associational"
    pairs = list(itertools.combinations(range(len(factors.factors)), 2))
    rows = [base | _about(factors, a, b) for a, b in pairs]
    if sample.refusal is not None:
        return rows
    model = factorial_model(sample, factors, True)
    notes = crossing.design_notes(sample, model, outcome)
    y = sample.values(outcome)
    for pair, row in zip(pairs, rows, strict=True):
        row |= {"model": model.words, **_estimate(model, pair, y, confidence, notes)}
        row |= _cells(sample, model, pair, y, confidence)
    for name, to in (("effect_p", "p_bh"), ("interaction_p", "interaction_p_bh")):
        p = np.array([row.get(name, np.nan) for row in rows], dtype=float)
        for row, adjusted in zip(rows, benjamini_hochberg(p), strict=True):
            row[to] = adjusted
    return rows


def _about(factors: Factors, a: int, b: int) -> dict[str, object]:
    first, second = factors.factors[a], factors.factors[b]
    return {
        "first": first.name,
        "first_control": first.control,
        "first_treatment": first.treatment,
        "second": second.name,
        "second_control": second.control,
        "second_treatment": second.treatment,
    }


def _estimate(
    model: FactorialModel, pair: tuple[int, int], y: Floats, confidence: float, notes: list[str]
) -> dict[str, object]:
    for k in pair:
        if k not in model.varying:
            return {"note": f"refused: {crossing.one_level(model, k)}"}
    squares = model.squares
    both, interaction = model.from_control(pair), model.interaction(model.products.index(pair))
    names = " and ".join(model.factors.factors[k].name for k in pair)
    if not (squares.estimable(both) and squares.estimable(interaction)):
        return {
            "note": f"refused: {names} together cannot be told from other interactions in "
            f"{squares.clusters} configurations"
        }
    effect, interval = squares.interval(squares.contrast(both), y, confidence)
    product, around = squares.interval(squares.contrast(interaction), y, confidence)
    if not (interval.exists and around.exists):
        return {"note": f"refused: {model.no_spread}"}
    alone = [squares.contrast(model.from_control((k,))).weights @ y for k in pair]
    return {
        "effect": effect,
        "effect_low": interval.low,
        "effect_high": interval.high,
        "effect_p": interval.p,
        "first_effect": float(alone[0]),
        "second_effect": float(alone[1]),
        "interaction": product,
        "interaction_low": around.low,
        "interaction_high": around.high,
        "interaction_p": around.p,
        "note": "; ".join(notes) or None,
    }


def _cells(
    sample: Sample, model: FactorialModel, pair: tuple[int, int], y: Floats, confidence: float
) -> dict[str, object]:
    """The difference between the trials of two cells that agree in everything else."""
    at = list(model.varying)
    other = -np.ones(model.signs.shape[1])
    other[list(pair)] = 1.0
    control = (model.signs[:, at] == -1).all(axis=1)
    both = (model.signs == other)[:, at].all(axis=1) & (model.signs[:, list(pair)] == 1).all(axis=1)
    same = [name for name in (*model.blocks, *model.left_out, "seed") if name in sample.included.columns]
    keys = [
        tuple(row)
        for row in zip(*(levels(sample.included[name]) for name in dict.fromkeys(same)), strict=True)
    ]
    means = [
        pd.Series(y[there]).groupby(pd.Series(keys, dtype=object)[there].to_numpy()).mean()
        for there in (control, both)
    ]
    gaps = (means[1] - means[0]).dropna().to_numpy(float)
    row: dict[str, object] = {
        "n_control_cell": int(control.sum()),
        "n_pair_cell": int(both.sum()),
        "n_matched": len(gaps),
        "cells_effect": float(gaps.mean()) if len(gaps) else np.nan,
    }
    if len(gaps) > 1:
        reach = float(
            stats.t.ppf((1 + confidence) / 2, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
        )
        row |= {"cells_low": gaps.mean() - reach, "cells_high": gaps.mean() + reach}
    return row


TABLE: Final = Table(
    "pairwise-ate",
    "effect of every two interventions at once on the terminal rank, or any outcome, and the interactions",
    pairwise_ate,
    "last",
    lambda options: [options.get("outcome", "srank")],
    {**INTERVENTIONS, **SAMPLE},
)
