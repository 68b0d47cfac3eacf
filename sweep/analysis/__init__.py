"""Analysis of a sweep: functions from the store's DataFrames to tidy DataFrames."""

from sweep.analysis.aggregate import aggregate
from sweep.analysis.contrast import correlation_contrast
from sweep.analysis.correlation import correlation, regression_line
from sweep.analysis.curves import curves
from sweep.analysis.exclusions import classify, exclusions
from sweep.analysis.final import final
from sweep.analysis.frames import AnalysisError, configuration_codes
from sweep.analysis.improvement import improvement
from sweep.analysis.intervention_ate import intervention_ate
from sweep.analysis.paired import Difference, paired_difference, values_by_seed
from sweep.analysis.pairwise_ate import pairwise_ate
from sweep.analysis.profiles import profiles
from sweep.analysis.robustness import robustness
from sweep.analysis.summary import final_summary

__all__ = [
    "AnalysisError",
    "Difference",
    "aggregate",
    "classify",
    "configuration_codes",
    "correlation",
    "correlation_contrast",
    "curves",
    "exclusions",
    "final",
    "final_summary",
    "improvement",
    "intervention_ate",
    "paired_difference",
    "pairwise_ate",
    "profiles",
    "regression_line",
    "robustness",
    "values_by_seed",
]
