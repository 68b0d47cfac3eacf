"""Analysis of a sweep: functions from the store's DataFrames to tidy DataFrames."""

from sweep.analysis.confounding.audit import audit
from sweep.analysis.confounding.audit_verdict import audit_verdict
from sweep.analysis.confounding.sensitivity_table import sensitivity
from sweep.analysis.confounding.simpson import simpson
from sweep.analysis.contrast import correlation_contrast
from sweep.analysis.correlation import correlation, regression_line
from sweep.analysis.curves import curves
from sweep.analysis.exclusions import classify, exclusions
from sweep.analysis.final import final
from sweep.analysis.frames import AnalysisError, configuration_codes
from sweep.analysis.interventions.intervention_ate import intervention_ate
from sweep.analysis.interventions.mediation import mediation
from sweep.analysis.interventions.pairwise_ate import pairwise_ate
from sweep.analysis.paired import Difference, paired_difference, values_by_seed
from sweep.analysis.performance.aggregate import aggregate
from sweep.analysis.performance.improvement import improvement
from sweep.analysis.performance.profiles import profiles
from sweep.analysis.performance.robustness import robustness
from sweep.analysis.planning.variance_components import variance_components
from sweep.analysis.specifications.specification_curve import specification_curve
from sweep.analysis.specifications.specification_summary import specification_summary
from sweep.analysis.summary import final_summary
from sweep.analysis.thresholds.dose_response import dose_response, dose_response_summary
from sweep.analysis.thresholds.equivalence import equivalence
from sweep.analysis.thresholds.threshold_ate import threshold_ate
from sweep.analysis.thresholds.threshold_curve import threshold_curve
from sweep.analysis.training.lr_evolution import lr_evolution
from sweep.analysis.training.phases import phases
from sweep.analysis.training.policy_selection import policy_selection
from sweep.analysis.training.rank_by_lr import rank_by_lr
from sweep.analysis.training.value_error import value_error, value_error_trials

__all__ = [
    "AnalysisError",
    "Difference",
    "aggregate",
    "audit",
    "audit_verdict",
    "classify",
    "configuration_codes",
    "correlation",
    "correlation_contrast",
    "curves",
    "dose_response",
    "dose_response_summary",
    "equivalence",
    "exclusions",
    "final",
    "final_summary",
    "improvement",
    "intervention_ate",
    "lr_evolution",
    "mediation",
    "paired_difference",
    "pairwise_ate",
    "phases",
    "policy_selection",
    "profiles",
    "rank_by_lr",
    "regression_line",
    "robustness",
    "sensitivity",
    "simpson",
    "specification_curve",
    "specification_summary",
    "threshold_ate",
    "threshold_curve",
    "value_error",
    "value_error_trials",
    "values_by_seed",
    "variance_components",
]
