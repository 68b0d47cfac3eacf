"""Environments: a description of each by id, and slots that step together."""

from agents.environments.protocol import EnvironmentSpec, ScoreReference, StepResult, VectorEnvironment
from agents.environments.registry import describe, env_ids, make

__all__ = [
    "EnvironmentSpec",
    "ScoreReference",
    "StepResult",
    "VectorEnvironment",
    "describe",
    "env_ids",
    "make",
]
