"""Randomised two-level factors beside an association: what each does to the measure, and what to the outcome.

Where a measure moves an outcome, and a factor reaches the outcome through the measure alone, the ratio of the factor's
two effects is the measure's own effect (Wald 1940). The second condition is no matter of data. The ratio's interval is
Fieller's (1954), which is honest where the factor hardly moves the measure: then there is none.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.confounding.environments import standardised
from sweep.analysis.confounding.grouping import MOST_LEVELS
from sweep.analysis.interventions import crossing
from sweep.analysis.interventions.designs import space_of
from sweep.analysis.interventions.factorial import find_factors
from sweep.analysis.interventions.factorial_model import FactorialModel, factorial_model
from sweep.analysis.samples import TOGETHER, Sample


def factor_rows(
    sample: Sample, trials: pd.DataFrame, measure: str, outcome: str, confidence: float
) -> list[dict[str, Any]]:
    """A row for each two-level factor of a sample: its effects and their ratio; none without a factor.

    In own units; of several environments in standard deviations within each, where the environment is no factor.
    ``kind`` is "randomised" where the study's design set the levels, or the planned trials cross them evenly.
    """
    factors = find_factors(sample.planned, space_of(trials, sample.key["space"]), {}, list(sample.key))
    if not factors.factors:
        return []
    # A number drawn from a range is no block; asking takes seconds where its values are thousands.
    few = {name: levels for name, levels in factors.others.items() if levels <= MOST_LEVELS}
    model = factorial_model(sample, replace(factors, others=few), None)
    x, y = sample.values(measure), sample.values(outcome)
    if sample.key["env"] == TOGETHER:
        x, y = (standardised(values, sample.included["env"]) for values in (x, y))
    kind = "randomised" if crossing.randomised(sample, factors) else "associational"
    rows = []
    for k, factor in enumerate(factors.factors):
        if factor.name in ("env", "dataset") and sample.key["env"] == TOGETHER:
            continue
        row: dict[str, Any] = {
            "variable": factor.name,
            "estimand": f"effect of {factor.name} {factor.treatment} instead of {factor.control} on the outcome",
            "kind": kind,
        }
        if k not in model.varying:
            only = factor.treatment if model.signs[0, k] > 0 else factor.control
            rows.append(row | {"note": f"refused: only trials with {factor.name} {only} are left"})
        elif not np.isfinite(x + y).all():
            rows.append(row | {"note": "refused: in an environment measure or outcome does not vary"})
        else:
            rows.append(row | _effects(model, k, x, y, confidence))
    return rows


def fieller(
    numerator: float, denominator: float, variances: tuple[float, float, float], critical: float
) -> tuple[float, float]:
    """Bounds of ``numerator`` / ``denominator``; NaN where the denominator's own interval holds zero.

    ``variances`` of the numerator, of the denominator, and their covariance; ``critical`` value of Student's t.
    """
    of_numerator, of_denominator, shared = variances
    a = denominator**2 - critical**2 * of_denominator
    if not a > 0:
        return np.nan, np.nan
    b = numerator * denominator - critical**2 * shared
    c = numerator**2 - critical**2 * of_numerator
    reach = np.sqrt(max(b * b - a * c, 0.0))
    return float((b - reach) / a), float((b + reach) / a)


def _effects(
    model: FactorialModel, k: int, x: np.ndarray, y: np.ndarray, confidence: float
) -> dict[str, Any]:
    squares, combination = model.squares, model.main_effect(k)
    if not squares.estimable(combination):
        return {"note": f"refused: {crossing.inseparable(model, k)}"}
    contrast = squares.contrast(combination)
    effect, interval = squares.interval(contrast, y, confidence)
    moved, moves = squares.interval(contrast, x, confidence)
    if not interval.exists or not moves.exists:
        return {"note": f"refused: {model.no_spread}"}
    row: dict[str, Any] = {
        "estimate": effect,
        "low": interval.low,
        "high": interval.high,
        "p": interval.p,
        "measure_effect": moved,
        "measure_effect_low": moves.low,
        "measure_effect_high": moves.high,
        "freedom": contrast.freedom,
    }
    of_y, of_x = (float(squares.variance(contrast, v)) for v in (y, x))
    # Scaled alike first: a return of thousands would drown a rank's share of their sum.
    sx, sy = np.sqrt(of_x), np.sqrt(of_y)
    shared = (float(squares.variance(contrast, x / sx + y / sy)) / 2 - 1) * sx * sy
    critical = float(stats.t.ppf((1 + confidence) / 2, contrast.freedom))
    low, high = fieller(effect, moved, (of_y, of_x, shared), critical)
    if np.isfinite(low):
        return row | {"ratio": effect / moved, "ratio_low": low, "ratio_high": high}
    return row | {"note": "whether it moves the measure at all is not clear, so there is no ratio"}
