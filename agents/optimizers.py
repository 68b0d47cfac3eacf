"""Optimisers over stacked members: every hyperparameter is a vector with one entry a member.

Stock ``torch.optim`` holds one learning rate for a stacked tensor, so a pack needs its own. Updates are in
place and masked: a member whose mask is False keeps its parameters and its state bit for bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from agents.networks.base import Parameters
from agents.spec import LearnerShape

OptimizerState = dict[str, Tensor]
Slots = dict[str, Tensor]
Align = Callable[[Tensor], Tensor]


class OptimizerHypers:
    """Vectors ``[N]`` float32, one entry a member."""

    FIELDS = (
        *("learning_rate", "optimizer_epsilon", "beta1", "beta2", "rmsprop_decay", "momentum"),
        "weight_decay",
    )

    def __init__(self, **vectors: Tensor) -> None:
        self.learning_rate = vectors["learning_rate"]
        self.epsilon = vectors["optimizer_epsilon"]
        self.beta1 = vectors["beta1"]
        self.beta2 = vectors["beta2"]
        self.decay = vectors["rmsprop_decay"]
        self.momentum = vectors["momentum"]
        self.weight_decay = vectors["weight_decay"]
        self._vectors = vectors

    def rows(self, rows: slice) -> "OptimizerHypers":
        """Those of some members, as views."""
        return OptimizerHypers(**{name: vector[rows] for name, vector in self._vectors.items()})


class Optimizer(ABC):
    """An update of stacked parameters ``[N, ...]``; what makes a kind of optimiser is its slots and its rule.

    Weight decay is decoupled from the rule (Loshchilov & Hutter 2019, Algorithm 2): θ loses its share lr · λ first.
    """

    decays = False
    clocks: Mapping[str, int] | None = None
    """Which row of the corrections is a parameter's, where resets make parameters' counts of updates differ."""

    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the state tensors that each parameter has, all zero at the start."""

    @abstractmethod
    def rule(
        self, grad: Tensor, slots: Slots, corrections: Tensor, hypers: OptimizerHypers, along: Align
    ) -> tuple[Tensor, Slots]:
        """The change of one parameter and the new values of its slots, all ``[N, ...]``; nothing in place.

        ``corrections`` is this step's ``[S, N]``; ``along`` lines a vector ``[N]`` up with the parameter.
        """

    def corrections(self, hypers: OptimizerHypers, counts: np.ndarray) -> np.ndarray:
        """Numbers that depend on the step: float32 ``[steps, S, N]``, or ``[steps, S, G, N]`` with clocks.

        ``counts`` int64 ``[steps, 1]``, or ``[steps, G, N]`` of G clocks: updates since the state was zero, this one
        included. They are worked out here, on the host, because powers of beta inside the compiled loop over
        parameters took as long as the rest of the update. Most rules need none: S is 0.
        """
        return np.empty((len(counts), 0, *counts.shape[1:-1], len(hypers.learning_rate)), dtype=np.float32)

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        state: OptimizerState,
        corrections: Tensor,
        hypers: OptimizerHypers,
        active: Tensor,
    ) -> None:
        """One in-place step for members where ``active`` bool ``[N]``.

        ``corrections`` is this step's ``[S, N]``, or ``[S, G, N]`` with clocks.
        """
        for name, param in params.items():
            along = partial(_align, param)
            own = corrections if self.clocks is None else corrections[:, self.clocks[name]]
            slots = {slot: state[f"{slot}.{name}"] for slot in self.slots()}
            change, new = self.rule(grads[name], slots, own, hypers, along)
            base = param
            if self.decays:
                base = param * (1 - along(hypers.learning_rate) * along(hypers.weight_decay))
            keep, param_new = along(active), base - change
            for slot, value in new.items():
                slots[slot].copy_(torch.where(keep, value, slots[slot]))
            param.copy_(torch.where(keep, param_new, param))


class Adam(Optimizer):
    """Kingma & Ba (2015), Algorithm 1, arranged as in ``torch.optim.Adam``."""

    def slots(self) -> tuple[str, ...]:
        """First and second moments."""
        return ("m", "v")

    def corrections(self, hypers: OptimizerHypers, counts: np.ndarray) -> np.ndarray:
        """Step size lr / (1 - β₁ᵗ) and 1 / √(1 - β₂ᵗ), as ``[steps, 2, N]`` or ``[steps, 2, G, N]``."""
        count = counts.astype(np.float64)
        lr, beta1, beta2 = (
            v.double().cpu().numpy() for v in (hypers.learning_rate, hypers.beta1, hypers.beta2)
        )
        step_size = lr / (1 - beta1**count)
        return np.stack([step_size, (1 - beta2**count) ** -0.5], axis=1).astype(np.float32)

    def rule(
        self, grad: Tensor, slots: Slots, corrections: Tensor, hypers: OptimizerHypers, along: Align
    ) -> tuple[Tensor, Slots]:
        """See ``Optimizer.rule``."""
        step_size, root_correction = corrections[0], corrections[1]
        beta1, beta2 = along(hypers.beta1), along(hypers.beta2)
        m = beta1 * slots["m"] + (1 - beta1) * grad
        v = beta2 * slots["v"] + (1 - beta2) * grad * grad
        denominator = v.sqrt() * along(root_correction) + along(hypers.epsilon)
        return along(step_size) * (m / denominator), {"m": m, "v": v}


class _Descent(Optimizer):
    """Rules that go down a direction by the learning rate, with heavy-ball momentum ``b`` where it is on."""

    def __init__(self, *, momentum: bool) -> None:
        self.momentum = momentum

    def slots(self) -> tuple[str, ...]:
        """Momentum where it is on."""
        return ("b",) if self.momentum else ()

    def descend(
        self, direction: Tensor, slots: Slots, hypers: OptimizerHypers, along: Align
    ) -> tuple[Tensor, Slots]:
        """PyTorch's form: b = μ b + direction, change = lr b."""
        new = {}
        if self.momentum:
            new["b"] = direction = along(hypers.momentum) * slots["b"] + direction
        return along(hypers.learning_rate) * direction, new


class SGD(_Descent):
    """Gradient descent."""

    def rule(
        self, grad: Tensor, slots: Slots, corrections: Tensor, hypers: OptimizerHypers, along: Align
    ) -> tuple[Tensor, Slots]:
        """See ``Optimizer.rule``."""
        return self.descend(grad, slots, hypers, along)


class RMSProp(_Descent):
    """Tieleman & Hinton (2012); centred: Graves (2013), eqs. 38-45. Epsilon is added outside the root (PyTorch)."""

    def __init__(self, *, centered: bool, momentum: bool) -> None:
        super().__init__(momentum=momentum)
        self.centered = centered

    def slots(self) -> tuple[str, ...]:
        """Mean square, and mean gradient and momentum where they are on."""
        return ("v", *(("g",) if self.centered else ()), *super().slots())

    def rule(
        self, grad: Tensor, slots: Slots, corrections: Tensor, hypers: OptimizerHypers, along: Align
    ) -> tuple[Tensor, Slots]:
        """See ``Optimizer.rule``."""
        decay = along(hypers.decay)
        new = {"v": decay * slots["v"] + (1 - decay) * grad * grad}
        variance = new["v"]
        if self.centered:
            g = new["g"] = decay * slots["g"] + (1 - decay) * grad
            # Rounding can make E[g²] - E[g]² a little negative, whose root would end the member.
            variance = (variance - g * g).clamp_min(0.0)
        direction = grad / (variance.sqrt() + along(hypers.epsilon))
        change, heavy = self.descend(direction, slots, hypers, along)
        return change, {**new, **heavy}


def build_optimizer(shape: LearnerShape) -> Optimizer:
    """The optimiser that ``shape`` names."""
    optimizer = _rule(shape)
    optimizer.decays = shape.weight_decay
    return optimizer


def _rule(shape: LearnerShape) -> Optimizer:
    if shape.optimizer == "adam":
        return Adam()
    if shape.optimizer == "sgd":
        return SGD(momentum=shape.momentum)
    return RMSProp(centered=shape.optimizer == "rmsprop_centered", momentum=shape.momentum)


def init_state(optimizer: Optimizer, params: Parameters) -> OptimizerState:
    """Zeros for every slot of every parameter, keyed ``slot.parameter``."""
    return {f"{slot}.{name}": torch.zeros_like(p) for slot in optimizer.slots() for name, p in params.items()}


def _align(like: Tensor, vector: Tensor) -> Tensor:
    """``vector`` ``[N]`` with trailing axes of size 1, so that it broadcasts against a stacked parameter."""
    return vector.view((-1,) + (1,) * (like.dim() - 1))
