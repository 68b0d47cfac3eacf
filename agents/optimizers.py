"""Optimisers over stacked members: every hyperparameter is a vector with one entry a member.

Stock ``torch.optim`` holds one learning rate for a stacked tensor, so a pack needs its own. Updates are in
place and masked: a member whose mask is False keeps its parameters and its state bit for bit.
"""

from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from agents.networks.base import Parameters
from agents.spec import LearnerShape

OptimizerState = dict[str, Tensor]


class OptimizerHypers:
    """Vectors ``[N]`` float32, one entry a member."""

    def __init__(self, **vectors: Tensor) -> None:
        self.learning_rate = vectors["learning_rate"]
        self.epsilon = vectors["optimizer_epsilon"]
        self.beta1 = vectors["beta1"]
        self.beta2 = vectors["beta2"]
        self.decay = vectors["rmsprop_decay"]
        self.momentum = vectors["momentum"]


class Optimizer(Protocol):
    """An update rule for stacked parameters ``[N, ...]``."""

    def slots(self) -> tuple[str, ...]:
        """Names of the state tensors that each parameter has, all zero at the start."""
        ...

    def corrections(self, hypers: OptimizerHypers, first_step: int, steps: int) -> np.ndarray:
        """Numbers that depend on the step: float32 ``[steps, S, N]``, for updates ``first_step + 1`` and on.

        They are worked out here, on the host, because powers of beta inside the compiled loop over parameters
        took as long as the rest of the update.
        """
        ...

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        state: OptimizerState,
        corrections: Tensor,
        hypers: OptimizerHypers,
        active: Tensor,
    ) -> None:
        """One in-place step for members where ``active`` bool ``[N]``; ``corrections`` is this step's ``[S, N]``."""
        ...


class Adam:
    """Kingma & Ba (2015), Algorithm 1, arranged as in ``torch.optim.Adam``."""

    def slots(self) -> tuple[str, ...]:
        """First and second moments."""
        return ("m", "v")

    def corrections(self, hypers: OptimizerHypers, first_step: int, steps: int) -> np.ndarray:
        """Step size lr / (1 - β₁ᵗ) and 1 / √(1 - β₂ᵗ), as ``[steps, 2, N]``."""
        count = np.arange(first_step + 1, first_step + steps + 1, dtype=np.float64)[:, None]
        lr, beta1, beta2 = (
            v.double().cpu().numpy() for v in (hypers.learning_rate, hypers.beta1, hypers.beta2)
        )
        step_size = lr / (1 - beta1**count)
        return np.stack([step_size, (1 - beta2**count) ** -0.5], axis=1).astype(np.float32)

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        state: OptimizerState,
        corrections: Tensor,
        hypers: OptimizerHypers,
        active: Tensor,
    ) -> None:
        """See ``Optimizer.update``."""
        step_size, root_correction = corrections[0], corrections[1]
        for name, param in params.items():
            along = partial(_align, param)
            grad, keep = grads[name], along(active)
            m, v = state[f"m.{name}"], state[f"v.{name}"]
            beta1, beta2 = along(hypers.beta1), along(hypers.beta2)
            m_new = beta1 * m + (1 - beta1) * grad
            v_new = beta2 * v + (1 - beta2) * grad * grad
            denominator = v_new.sqrt() * along(root_correction) + along(hypers.epsilon)
            param_new = param - along(step_size) * (m_new / denominator)
            m.copy_(torch.where(keep, m_new, m))
            v.copy_(torch.where(keep, v_new, v))
            param.copy_(torch.where(keep, param_new, param))


class RMSProp:
    """Tieleman & Hinton (2012); centred: Graves (2013), eqs. 38-45. Epsilon is added outside the root (PyTorch)."""

    def __init__(self, *, centered: bool, momentum: bool) -> None:
        self.centered = centered
        self.momentum = momentum

    def slots(self) -> tuple[str, ...]:
        """Mean square, and mean gradient and momentum where they are on."""
        return ("v", *(("g",) if self.centered else ()), *(("b",) if self.momentum else ()))

    def corrections(self, hypers: OptimizerHypers, first_step: int, steps: int) -> np.ndarray:
        """None: ``[steps, 0, N]``."""
        return _no_corrections(hypers, steps)

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        state: OptimizerState,
        corrections: Tensor,
        hypers: OptimizerHypers,
        active: Tensor,
    ) -> None:
        """See ``Optimizer.update``."""
        for name, param in params.items():
            along = partial(_align, param)
            grad, keep = grads[name], along(active)
            decay = along(hypers.decay)
            v = state[f"v.{name}"]
            v_new = decay * v + (1 - decay) * grad * grad
            variance = v_new
            if self.centered:
                g = state[f"g.{name}"]
                g_new = decay * g + (1 - decay) * grad
                # Rounding can make E[g²] - E[g]² a little negative, whose root would end the member.
                variance = (v_new - g_new * g_new).clamp_min(0.0)
                g.copy_(torch.where(keep, g_new, g))
            change = grad / (variance.sqrt() + along(hypers.epsilon))
            if self.momentum:
                b = state[f"b.{name}"]
                change = along(hypers.momentum) * b + change
                b.copy_(torch.where(keep, change, b))
            param_new = param - along(hypers.learning_rate) * change
            v.copy_(torch.where(keep, v_new, v))
            param.copy_(torch.where(keep, param_new, param))


class SGD:
    """Gradient descent, with heavy-ball momentum where it is on (PyTorch's form: b = μ b + g)."""

    def __init__(self, *, momentum: bool) -> None:
        self.momentum = momentum

    def slots(self) -> tuple[str, ...]:
        """Momentum where it is on."""
        return ("b",) if self.momentum else ()

    def corrections(self, hypers: OptimizerHypers, first_step: int, steps: int) -> np.ndarray:
        """None: ``[steps, 0, N]``."""
        return _no_corrections(hypers, steps)

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        state: OptimizerState,
        corrections: Tensor,
        hypers: OptimizerHypers,
        active: Tensor,
    ) -> None:
        """See ``Optimizer.update``."""
        for name, param in params.items():
            along = partial(_align, param)
            change, keep = grads[name], along(active)
            if self.momentum:
                b = state[f"b.{name}"]
                change = along(hypers.momentum) * b + change
                b.copy_(torch.where(keep, change, b))
            param_new = param - along(hypers.learning_rate) * change
            param.copy_(torch.where(keep, param_new, param))


def build_optimizer(shape: LearnerShape) -> Optimizer:
    """The optimiser that ``shape`` names."""
    if shape.optimizer == "adam":
        return Adam()
    if shape.optimizer == "sgd":
        return SGD(momentum=shape.momentum)
    return RMSProp(centered=shape.optimizer == "rmsprop_centered", momentum=shape.momentum)


def init_state(optimizer: Optimizer, params: Parameters) -> OptimizerState:
    """Zeros for every slot of every parameter, keyed ``slot.parameter``."""
    return {f"{slot}.{name}": torch.zeros_like(p) for slot in optimizer.slots() for name, p in params.items()}


def _no_corrections(hypers: OptimizerHypers, steps: int) -> np.ndarray:
    return np.empty((steps, 0, len(hypers.learning_rate)), dtype=np.float32)


def _align(like: Tensor, vector: Tensor) -> Tensor:
    """``vector`` ``[N]`` with trailing axes of size 1, so that it broadcasts against a stacked parameter."""
    return vector.view((-1,) + (1,) * (like.dim() - 1))
