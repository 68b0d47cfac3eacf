"""Collecting datasets: an agent acts in the real environment and every transition is kept."""

from agents.collect.frozen import FrozenPolicy
from agents.collect.making import collect
from agents.collect.spec import CollectSpec, Progress, with_defaults

__all__ = ["CollectSpec", "FrozenPolicy", "Progress", "collect", "with_defaults"]
