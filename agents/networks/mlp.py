"""Multi-layer perceptron on flat observations."""

from math import prod

import numpy as np
from torch import Tensor

from agents.networks.base import ACTIVATIONS, Dropout, Parameters, fan_in_uniform, linear
from agents.spec import LearnerShape


class MLP:
    """Linear layers of ``hidden_sizes`` with an activation after each, then a linear head of ``num_actions``.

    RL Unplugged's bsuite agents use hidden sizes (56, 56) (Gulcehre et al. 2020). With no hidden layer the
    features are the observation itself.
    """

    def __init__(self, shape: LearnerShape) -> None:
        self.sizes = (prod(shape.observation_shape), *shape.hidden_sizes, shape.num_actions)
        self.activation = ACTIVATIONS[shape.activation]
        self.feature_size = self.sizes[-2]

    def init(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Weights ``[out, in]`` and biases ``[out]`` of every layer, float32."""
        params: dict[str, np.ndarray] = {}
        for layer, (fan_in, out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            params[f"{layer}.weight"], params[f"{layer}.bias"] = fan_in_uniform(
                generator, (out, fan_in), fan_in
            )
        return params

    def apply(
        self, params: Parameters, observation: Tensor, dropout: Dropout | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``Network.apply``."""
        x = features = observation.flatten(1)
        head = len(self.sizes) - 2
        for layer in range(head):
            features = self.activation(linear(params, str(layer), x))
            x = features if dropout is None else dropout(features, layer)
        return linear(params, str(head), x), features
