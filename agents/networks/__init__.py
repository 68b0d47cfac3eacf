"""Q-networks as pure functions of a dictionary of parameters."""

from agents.networks.base import Network, Parameters
from agents.networks.registry import build_network

__all__ = ["Network", "Parameters", "build_network"]
