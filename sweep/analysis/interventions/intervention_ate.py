"""What each intervention of a two-level factorial does to an outcome, averaged over the levels of the others.

Table 2 of Gulcehre et al. (2022), for any outcome. The levels were set by the design and not by the training, so these
are effects of interventions, unlike a difference between trials of high and of low rank.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.interventions import crossing
from sweep.analysis.interventions.designs import space_of
from sweep.analysis.interventions.factorial import Factor, Factors, check_control, find_factors, read_control
from sweep.analysis.interventions.factorial_model import FactorialModel, factorial_model
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_confidence, samples
from sweep.analysis.table import SAMPLE, Option, Table

_NUMBERS: Final = (
    *("effect", "effect_low", "effect_high", "effect_p", "p_holm", "half_width", "freedom"),
    *("hc3_half_width", "plain_effect", "plain_half_width", "max_correlation"),
)
INTERVENTION_COLUMNS: Final = (
    *("outcome", "factor", "control", "treatment"),
    *_NUMBERS,
    *("n_control", "n_treatment", "configurations_control", "configurations_treatment"),
    *("excluded_control", "excluded_treatment", "n_cells", "n_cells_planned", "aliases", "together"),
    *("control_rule", "model", "confidence", "kind", *COUNT_COLUMNS, "note"),
)


def intervention_ate(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    outcome: str = "srank",
    *,
    control: Mapping[str, Any] | Sequence[str] | None = None,
    interactions: bool | None = None,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Main effect of each two-level factor on ``outcome`` at the end of training, a row per space x factor.

    Environments are taken together, as a factor where they are two and as a block where they are more;
    ``within=["env"]`` keeps them apart. The model is least squares on factors coded -1 and +1, the effect (treatment
    minus control) twice the coefficient; seeds, datasets and hyperparameters of more levels are blocks. Two-factor
    interactions are in it where the design carries them, or as ``interactions`` says. Intervals and p are those of
    `least_squares`, the configuration being the cluster; ``p_holm`` corrects for the factors of the space.
    ``control`` (``{"activation": "relu"}``) says which level an effect is from; else the study's design does, else
    the defaults of `TrialConfig`; ``control_rule`` says which.

    Beside it ``hc3_half_width``, as if every trial were a configuration, and ``plain_effect`` and ``plain_half_width``,
    the difference of the two means with a normal interval, as the paper prints. ``aliases`` are the two-factor
    interactions that the design cannot tell from the effect, ``together`` the columns that change with the factor in
    every trial. A factor that cannot be told from others is refused.

    Raises `AnalysisError` for a missing column, a confidence outside (0, 1), and a control that is no factor's level.
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
        table += _rows(sample, found[-1], outcome, interactions, confidence)
    check_control(asked, found)
    keys = list(dict.fromkeys(["env", "space", *within]))
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *INTERVENTION_COLUMNS))))
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})


def _rows(
    sample: Sample, factors: Factors, outcome: str, interactions: bool | None, confidence: float
) -> list[dict[str, object]]:
    base = sample.row() | {"outcome": outcome, "confidence": confidence}
    if not factors.factors:
        return [base | {"note": sample.refusal or factors.none}]
    base["n_cells"], base["n_cells_planned"] = crossing.cells(sample, factors)
    base["kind"] = "randomised" if crossing.randomised(sample, factors) else "associational"
    rows = [base | _about(sample, factors, factor, k) for k, factor in enumerate(factors.factors)]
    if sample.refusal is not None:
        return rows
    model = factorial_model(sample, factors, interactions)
    notes = crossing.design_notes(sample, model, outcome)
    p = np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        row |= {"model": model.words, **_estimate(sample, model, k, outcome, confidence, notes)}
        p[k] = row.get("effect_p", np.nan)
    for row, adjusted in zip(rows, holm(p), strict=True):
        row["p_holm"] = adjusted
    return rows


def _about(sample: Sample, factors: Factors, factor: Factor, k: int) -> dict[str, object]:
    """The columns about a factor that need no model."""
    included, planned = factor.signs(sample.included) > 0, factor.signs(sample.planned) > 0
    codes = sample.included["configuration"].to_numpy()
    return {
        "factor": factor.name,
        "control": factor.control,
        "treatment": factor.treatment,
        "n_control": int((~included).sum()),
        "n_treatment": int(included.sum()),
        "configurations_control": len(np.unique(codes[~included])),
        "configurations_treatment": len(np.unique(codes[included])),
        "excluded_control": int((~planned).sum() - (~included).sum()),
        "excluded_treatment": int(planned.sum() - included.sum()),
        "aliases": ", ".join(crossing.aliases(sample, factors, k)) or None,
        "together": ", ".join(factor.together) or None,
        "control_rule": factor.rule,
    }


def _estimate(
    sample: Sample, model: FactorialModel, k: int, outcome: str, confidence: float, notes: list[str]
) -> dict[str, object]:
    factor, y, signs = model.factors.factors[k], sample.values(outcome), model.signs[:, k]
    if k not in model.varying:
        return {"note": f"refused: {crossing.one_level(model, k)}"}
    correlation, other = crossing.nearest(model, k)
    row: dict[str, object] = {"max_correlation": abs(correlation)}
    combination = model.main_effect(k)
    if not model.squares.estimable(combination):
        return row | {"note": f"refused: {crossing.inseparable(model, k)}"}
    contrast = model.squares.contrast(combination)
    effect, interval = model.squares.interval(contrast, y, confidence)
    if not interval.exists:
        return row | {"note": f"refused: {model.no_spread}"}
    trial = model.by_trial
    alone = trial.interval(trial.contrast(combination, power=1), y, confidence)[1]
    plain, reach = _plain(y, signs, confidence)
    own = []
    if abs(correlation) >= crossing.SKEWED:
        own.append(
            f"not orthogonal: correlation {correlation:.2f} with {other} among the trials that are left"
        )
    lost = factor.signs(sample.planned)
    control, treatment = int((lost < 0).sum() - (signs < 0).sum()), int((lost > 0).sum() - (signs > 0).sum())
    if control + treatment:
        own.append(
            f"left out: {control} trials of {factor.control}, {treatment} of {factor.treatment}; "
            "the effect is among those that ended"
        )
    return row | {
        "effect": effect,
        "effect_low": interval.low,
        "effect_high": interval.high,
        "effect_p": interval.p,
        "half_width": (interval.high - interval.low) / 2,
        "freedom": contrast.freedom,
        "hc3_half_width": (alone.high - alone.low) / 2,
        "plain_effect": plain,
        "plain_half_width": reach,
        "note": "; ".join([*own, *notes]) or None,
    }


def _plain(y: Floats, signs: Floats, confidence: float) -> tuple[float, float]:
    """Difference of the two means, and the half-width of its normal interval."""
    high, low = y[signs > 0], y[signs < 0]
    error = np.sqrt(sum(part.var(ddof=1) / len(part) if len(part) > 1 else np.nan for part in (high, low)))
    return float(high.mean() - low.mean()), float(stats.norm.ppf((1 + confidence) / 2) * error)


INTERVENTIONS: Final = {
    "outcome": Option("text", "What the interventions act on: any measure [default: srank]."),
    "control": Option(
        "names",
        "Level that effects are from, such as activation=relu,learning_rate=3e-4 [default: the design's].",
    ),
}
TABLE: Final = Table(
    "intervention-ate",
    "main effect of each two-level intervention on the terminal rank, or any outcome",
    intervention_ate,
    "last",
    lambda options: [options.get("outcome", "srank")],
    {
        **INTERVENTIONS,
        "interactions": Option(
            "flag", "Two-factor interactions in the model [default: where the design carries them]."
        ),
        **SAMPLE,
    },
)
