"""Environments: a description of each by id, and slots that step together."""

from agents.environments.family import Family
from agents.environments.protocol import (
    ArrayFormat,
    EnvironmentSpec,
    ScoreReference,
    StepResult,
    VectorEnvironment,
)
from agents.environments.registry import FAMILIES, describe, env_ids, family_of, make, tabular_model
from agents.environments.tabular import TabularModel

__all__ = [
    "FAMILIES",
    "ArrayFormat",
    "EnvironmentSpec",
    "Family",
    "ScoreReference",
    "StepResult",
    "TabularModel",
    "VectorEnvironment",
    "describe",
    "env_ids",
    "family_of",
    "make",
    "tabular_model",
]
