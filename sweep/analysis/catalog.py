"""The tables that can be exported, by name. A new table is a ``TABLE`` in its module and a line here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from sweep.analysis.confounding.audit import TABLE as AUDIT
from sweep.analysis.confounding.audit_verdict import TABLE as AUDIT_VERDICT
from sweep.analysis.confounding.sensitivity_table import TABLE as SENSITIVITY
from sweep.analysis.confounding.simpson import TABLE as SIMPSON
from sweep.analysis.correlation import TABLE as CORRELATION
from sweep.analysis.curves import curves
from sweep.analysis.final import final
from sweep.analysis.interventions.intervention_ate import TABLE as INTERVENTION_ATE
from sweep.analysis.interventions.mediation import TABLE as MEDIATION
from sweep.analysis.interventions.pairwise_ate import TABLE as PAIRWISE_ATE
from sweep.analysis.performance.aggregate import TABLE as AGGREGATE
from sweep.analysis.performance.improvement import TABLE as IMPROVEMENT
from sweep.analysis.performance.profiles import TABLE as PROFILES
from sweep.analysis.performance.robustness import TABLE as ROBUSTNESS
from sweep.analysis.planning.variance_components import TABLE as VARIANCE_COMPONENTS
from sweep.analysis.specifications.specification_curve import TABLE as SPECIFICATION_CURVE
from sweep.analysis.specifications.specification_summary import TABLE as SPECIFICATION_SUMMARY
from sweep.analysis.summary import final_summary
from sweep.analysis.table import Option, Table
from sweep.analysis.thresholds.dose_response import SUMMARY as DOSE_RESPONSE_SUMMARY
from sweep.analysis.thresholds.dose_response import TABLE as DOSE_RESPONSE
from sweep.analysis.thresholds.equivalence import TABLE as EQUIVALENCE
from sweep.analysis.thresholds.threshold_ate import TABLE as THRESHOLD_ATE
from sweep.analysis.thresholds.threshold_curve import TABLE as THRESHOLD_CURVE
from sweep.analysis.training.lr_evolution import TABLE as LR_EVOLUTION
from sweep.analysis.training.phases import TABLE as PHASES
from sweep.analysis.training.policy_selection import TABLE as POLICY_SELECTION
from sweep.analysis.training.rank_by_lr import TABLE as RANK_BY_LR
from sweep.analysis.training.value_error import TABLE as VALUE_ERROR
from sweep.analysis.training.value_error import TRIALS_TABLE as VALUE_ERROR_TRIALS

SUMMARY_MEASURES: Final = ("return_mean", "srank", "dead_units")
_MEASURES: Final = Option("names", "The measures, by commas [default: all, or the usual ones].")
_BY: Final = Option("names", "Hyperparameters to keep apart, such as activation,learning_rate.")


def _summary(
    trials: pd.DataFrame, metrics: pd.DataFrame, measures: Sequence[str] = SUMMARY_MEASURES, **options: Any
) -> pd.DataFrame:
    return final_summary(trials, metrics, measures, **options)


def _trials(trials: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    return trials


def _measures(options: Mapping[str, Any]) -> list[str] | None:
    return options.get("measures")


_TABLES: Final = (
    Table("trials", "one row per trial: configuration, status, where it ran", _trials, "nothing"),
    Table(
        "final",
        "one row per trial: configuration and the last value of each measure",
        final,
        "last",
        _measures,
        {"measures": _MEASURES, "steps": Option("flag", "Also the step where each value was taken.")},
    ),
    Table(
        "summary",
        "median and quartiles of final measures per environment, space and activation",
        _summary,
        "last",
        lambda options: list(options.get("measures", SUMMARY_MEASURES)),
        {"measures": _MEASURES, "by": _BY},
    ),
    Table(
        "curves",
        "median and quartiles of each measure over training, by hyperparameter",
        curves,
        "series",
        _measures,
        {
            "measures": _MEASURES,
            "by": _BY,
            "statuses": Option("names", "Of the trials that count [default: finished]."),
        },
    ),
    CORRELATION,
    SIMPSON,
    AUDIT,
    AUDIT_VERDICT,
    SENSITIVITY,
    AGGREGATE,
    PROFILES,
    IMPROVEMENT,
    INTERVENTION_ATE,
    PHASES,
    POLICY_SELECTION,
    VALUE_ERROR,
    VALUE_ERROR_TRIALS,
    LR_EVOLUTION,
    RANK_BY_LR,
    PAIRWISE_ATE,
    MEDIATION,
    THRESHOLD_ATE,
    THRESHOLD_CURVE,
    ROBUSTNESS,
    VARIANCE_COMPONENTS,
    SPECIFICATION_CURVE,
    SPECIFICATION_SUMMARY,
    DOSE_RESPONSE,
    DOSE_RESPONSE_SUMMARY,
    EQUIVALENCE,
)

TABLES: Final[Mapping[str, Table]] = {table.name: table for table in _TABLES}
