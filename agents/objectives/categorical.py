"""Categorical DQN, C51 (Bellemare et al. 2017): each action's return distribution on fixed atoms."""

import torch
from torch import Tensor

from agents.objectives.base import Hypers, LossOutput, Objective, Passes, taken
from agents.spec import LearnerShape


class CategoricalDQN(Objective):
    """Cross-entropy between the projected target distribution and p(s, a) (Bellemare et al. 2017, eq. 7, Algorithm 1).

    The outputs are logits ``[B, A × K]``, action by action, of K = ``num_atoms`` atoms z from -v_max to v_max. The
    atoms of p_target(s', a*), moved to r + γ d z and cut to ±v_max, are shared between their two neighbours by
    distance; a* is the target network's greedy action. Q = Σ z p. The reported TD error is between means, after the
    projection. Raises AgentError for a loss other than the default.
    """

    def __init__(self, shape: LearnerShape) -> None:
        super().__init__(shape)
        self.refuse_other_losses("cross-entropy")

    @property
    def num_outputs(self) -> int:
        """A × K, action by action."""
        return self.shape.num_actions * self.shape.num_atoms

    def loss(self, passes: Passes) -> tuple[Tensor, LossOutput]:
        """See ``Objective.loss``."""
        # Of the taken actions alone: the others' exponentials would take as long as the projection.
        log_p_tm1 = torch.log_softmax(taken(self.logits(passes.online_tm1.outputs), passes.batch.a_tm1), -1)
        p_t = torch.softmax(self.logits(passes.target_t.outputs), -1)
        z, v_max = self.atoms(p_t), passes.hypers.v_max
        # Sums of products, not matrix products, which bfloat16 would be used for.
        a_t = (z * p_t).sum(2).argmax(1)
        moved = passes.bootstrap((z * v_max).expand(len(a_t), -1))
        target = project(taken(p_t, a_t), moved / v_max)
        loss = -(target * log_p_tm1).sum(1).mean()
        q_tm1 = v_max * (z * log_p_tm1.exp()).sum(1)
        return loss, self.report(v_max * (z * target).sum(1) - q_tm1, q_tm1)

    def logits(self, outputs: Tensor) -> Tensor:
        """Logits ``[..., A, K]`` of ``outputs`` ``[..., A × K]``."""
        return outputs.reshape(*outputs.shape[:-1], self.shape.num_actions, self.shape.num_atoms)

    def atoms(self, like: Tensor) -> Tensor:
        """The atoms z / v_max ``[K]``, from -1 to 1."""
        return torch.linspace(-1.0, 1.0, self.shape.num_atoms, dtype=like.dtype, device=like.device)

    def q_values(self, outputs: Tensor, hypers: Hypers) -> Tensor:
        """The means of the distributions."""
        p = torch.softmax(self.logits(outputs), -1)
        return hypers.v_max * (self.atoms(p) * p).sum(-1)


def project(probabilities: Tensor, moved: Tensor) -> Tensor:
    """Distributions ``[B, K]`` over places ``moved`` ``[B, K]``, carried over to K even atoms from -1 to 1: ``[B, K]``.

    Atom i takes the share max(0, 1 - |b - i|) of what lies at b atoms' distance from the first (eq. 7); what lies
    outside goes to the ends.
    """
    count = probabilities.shape[1]
    place = (moved.clamp(-1, 1) + 1) * ((count - 1) / 2)
    # Cards add in no fixed order to one place, and a run must be the same each time.
    return (by_pairs if place.is_cuda else by_neighbours)(probabilities, place)


def by_neighbours(probabilities: Tensor, place: Tensor) -> Tensor:
    """Each place ``[B, K]``, counted in atoms, shares its probability among the two atoms beside it; ``[B, K]``."""
    count = probabilities.shape[1]
    # Numbers that are not finite have no neighbours; one diverged member must not end its pack.
    low = place.long().clamp(0, count - 2)
    above = place - low
    shares = torch.cat([probabilities * (1 - above), probabilities * above], 1)
    return torch.zeros_like(probabilities).scatter_add(1, torch.cat([low, low + 1], 1), shares)


def by_pairs(probabilities: Tensor, place: Tensor) -> Tensor:
    """The same as a sum over all places for each atom, K times the arithmetic."""
    atom = torch.arange(probabilities.shape[1], device=place.device, dtype=place.dtype).view(1, -1, 1)
    share = (1 - (place.unsqueeze(1) - atom).abs()).clamp_min(0)
    return (share * probabilities.unsqueeze(1)).sum(2)
