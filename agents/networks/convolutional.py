"""Convolutional networks for image observations."""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from agents.errors import AgentError
from agents.networks.base import ACTIVATIONS, Dropout, Parameters, fan_in_uniform, linear
from agents.spec import TORSOS, LearnerShape


class ConvolutionalNetwork:
    """The convolutions of a torso, then fully connected layers of ``hidden_sizes``, then the head.

    The papers' hidden sizes are (512,) for ``nature_dqn`` and (128,) for ``minatar``.
    """

    def __init__(self, shape: LearnerShape) -> None:
        """Raises AgentError unless observations are ``[channels, height, width]`` and large enough."""
        if len(shape.observation_shape) != 3:
            raise AgentError(
                f"network {shape.network} needs image observations [channels, height, width]; this environment gives "
                f"{shape.observation_shape}. Use network: mlp, or an atari/… environment."
            )
        self.channels, height, width = shape.observation_shape
        self.convolutions = TORSOS[shape.network]
        for _, kernel, stride in self.convolutions:
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            if height < 1 or width < 1:
                raise AgentError(
                    f"network {shape.network} cannot see observations of {shape.observation_shape}: they are too "
                    f"small for its convolutions {self.convolutions} (channels, kernel, stride). Use network: mlp."
                )
        if not shape.hidden_sizes:
            raise AgentError(
                f"network {shape.network} needs at least one hidden size, e.g. hidden_sizes: [512]."
            )
        self.sizes = (self.convolutions[-1][0] * height * width, *shape.hidden_sizes, shape.num_actions)
        self.activation = ACTIVATIONS[shape.activation]
        self.feature_size = self.sizes[-2]

    def init(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Kernels ``[out, in, k, k]``, weights ``[out, in]`` and biases ``[out]``, float32."""
        params: dict[str, np.ndarray] = {}
        channels = self.channels
        for layer, (out, kernel, _) in enumerate(self.convolutions):
            shape, fan_in = (out, channels, kernel, kernel), channels * kernel * kernel
            params[f"conv{layer}.weight"], params[f"conv{layer}.bias"] = fan_in_uniform(
                generator, shape, fan_in
            )
            channels = out
        for layer, (fan_in, out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            params[f"{layer}.weight"], params[f"{layer}.bias"] = fan_in_uniform(
                generator, (out, fan_in), fan_in
            )
        return params

    def apply(
        self, params: Parameters, observation: Tensor, dropout: Dropout | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``Network.apply``. Dropout acts on the fully connected layers only."""
        x = observation
        for layer, (_, _, stride) in enumerate(self.convolutions):
            x = F.conv2d(x, params[f"conv{layer}.weight"], params[f"conv{layer}.bias"], stride=stride)
            x = self.activation(x)
        x = features = x.flatten(1)
        head = len(self.sizes) - 2
        for layer in range(head):
            features = self.activation(linear(params, str(layer), x))
            x = features if dropout is None else dropout(features, layer)
        return linear(params, str(head), x), features
