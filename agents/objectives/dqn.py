"""Deep Q-learning (Mnih et al. 2015) and double Q-learning (van Hasselt et al. 2016)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from agents.networks.base import Network, Parameters
from agents.objectives.base import Batch, Hypers, LossOutput, huber, squared, training_dropout


def q_learning_loss(
    network: Network,
    params: Parameters,
    target_params: Parameters,
    batch: Batch,
    hypers: Hypers,
    step: Tensor,
    *,
    double: bool,
    dropout: bool,
    penalty: Callable[[Tensor], Tensor],
) -> tuple[Tensor, LossOutput]:
    """Mean of ``penalty`` over r + γ d max_a' Q_target(s', a') - Q(s, a) (Mnih et al. 2015, eq. 2).

    With ``double`` the online network chooses a' and the target network values it (van Hasselt et al. 2016,
    eq. 4). Dropout acts where gradients flow; targets and the choice of a' come from the deterministic network.
    """
    q_tm1, _ = network.apply(params, batch.s_tm1, training_dropout(hypers, step) if dropout else None)
    qa_tm1 = q_tm1.gather(1, batch.a_tm1.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        q_target_t, _ = network.apply(target_params, batch.s_t)
        if double:
            q_selector_t, _ = network.apply(params, batch.s_t)
            v_t = q_target_t.gather(1, q_selector_t.argmax(1, keepdim=True)).squeeze(1)
        else:
            v_t = q_target_t.amax(1)
        target_tm1 = batch.r_t + hypers.discount * batch.discount_t * v_t
    td_error = target_tm1 - qa_tm1
    report = LossOutput(td_error=td_error.detach().abs().mean(), q_mean=qa_tm1.detach().mean())
    return penalty(td_error).mean(), report


def dqn(*, loss: str, dropout: bool) -> partial[tuple[Tensor, LossOutput]]:
    """The DQN loss with ``loss`` "huber" or "mse"."""
    return partial(q_learning_loss, double=False, dropout=dropout, penalty=PENALTIES[loss])


def double_dqn(*, loss: str, dropout: bool) -> partial[tuple[Tensor, LossOutput]]:
    """The double-DQN loss with ``loss`` "huber" or "mse"."""
    return partial(q_learning_loss, double=True, dropout=dropout, penalty=PENALTIES[loss])


PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {"huber": huber, "mse": squared}
