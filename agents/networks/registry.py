"""Networks by the name that a configuration uses."""

from collections.abc import Callable

from agents.networks.base import Network
from agents.networks.convolutional import ConvolutionalNetwork
from agents.networks.mlp import MLP
from agents.spec import LearnerShape

NETWORKS: dict[str, Callable[[LearnerShape], Network]] = {
    "mlp": MLP,
    "nature_dqn": ConvolutionalNetwork,
    "minatar": ConvolutionalNetwork,
}


def build_network(shape: LearnerShape) -> Network:
    """The network that ``shape`` names, fitted to its observations and actions."""
    return NETWORKS[shape.network](shape)
