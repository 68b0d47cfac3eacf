"""Random ensemble mixture (Agarwal et al. 2020): Q-learning of random convex combinations of many heads."""

from torch import Tensor

from agents.hashing import uniform
from agents.networks.base import Parameters
from agents.objectives.base import Hypers, Passes
from agents.objectives.dqn import DQN
from agents.spec import LearnerShape

_HEADS = 2
"""Purpose of the noise."""


class REM(DQN):
    """DQN's loss of Σ_k α_k Q_k, online and target alike, with one random α on the simplex for each step.

    K = ``num_heads`` heads of A outputs share all layers but the last; α_k = u_k / Σ_i u_i with u uniform, new for
    every minibatch (Agarwal et al. 2020, Section 4.2). It acts on the mean of the heads. With one head it is DQN.

    Heads are linear in the features, so that a mixture of their outputs is the output of mixed weights: the passes
    of the loss compute A outputs, not K × A, and each head's gradient is α_k of the mixture's.
    """

    def __init__(self, shape: LearnerShape) -> None:
        super().__init__(shape)
        self._stage = max(size for size in range(1, 11) if shape.num_heads % size == 0)

    @property
    def num_outputs(self) -> int:
        """K × A, head by head."""
        return self.shape.num_heads * self.shape.num_actions

    def readout(self, params: Parameters, passes: Passes) -> Parameters:
        """``params`` with the last layer, ``[K × A, D]``, mixed into one of ``[A, D]``."""
        alpha = self.mixture(passes)
        mixed = dict(params)
        for name in (f"{passes.network.head}.weight", f"{passes.network.head}.bias"):
            heads = params[name].view(self.shape.num_heads, self.shape.num_actions, *params[name].shape[1:])
            # A sum of products rather than a matrix product: its gradient α_k g fuses with the optimiser's update.
            parts = alpha.view(-1, *(1,) * (heads.dim() - 1)) * heads
            # In two stages: one sum over 200 rows waits for memory half of its time.
            mixed[name] = parts.reshape(-1, self._stage, *parts.shape[1:]).sum(1).sum(0)
        return mixed

    def mixture(self, passes: Passes) -> Tensor:
        """α ``[K]`` of this step."""
        # From (0, 1]: zeros alone would have no norm.
        weights = 1 - uniform(passes.key(_HEADS), (self.shape.num_heads,))
        # Strides are taken of what lies in memory: without, the compiler draws α again for every row of weights.
        return (weights / weights.sum()).as_strided(weights.shape, (1,))

    def q_values(self, outputs: Tensor, hypers: Hypers) -> Tensor:
        """The mean of the heads."""
        return outputs.reshape(*outputs.shape[:-1], self.shape.num_heads, self.shape.num_actions).mean(-2)
