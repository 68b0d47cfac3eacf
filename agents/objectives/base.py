"""The form of an objective: a pure loss of one agent on one minibatch."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from agents.hashing import step_key
from agents.networks.base import Dropout, Network, Parameters


class Batch(NamedTuple):
    """A minibatch of transitions; B is the batch size.

    ``s_tm1``, ``s_t``: float32 ``[B, *observation_shape]``; ``a_tm1``: int64 ``[B]``; ``r_t``: float32 ``[B]``;
    ``discount_t``: float32 ``[B]``, the environment's discount: 0 after a terminal step, else 1.
    """

    s_tm1: Tensor
    a_tm1: Tensor
    r_t: Tensor
    discount_t: Tensor
    s_t: Tensor


class Hypers(NamedTuple):
    """The numbers of a loss; scalars for one member (the pack holds them stacked as ``[N]``)."""

    discount: Tensor
    dropout: Tensor
    dropout_key: Tensor


class LossOutput(NamedTuple):
    """What a loss reports beside its value, as scalars: mean absolute TD error and mean Q of taken actions."""

    td_error: Tensor
    q_mean: Tensor


class Loss(Protocol):
    """One agent's loss. Pure: it touches nothing but its arguments, so it can be vmapped and compiled."""

    def __call__(
        self,
        network: Network,
        params: Parameters,
        target_params: Parameters,
        batch: Batch,
        hypers: Hypers,
        step: Tensor,
    ) -> tuple[Tensor, LossOutput]:
        """Scalar loss and its report; ``step`` is the scalar int64 number of the gradient step."""
        ...


def training_dropout(hypers: Hypers, step: Tensor) -> Dropout:
    """The dropout of one member at one step."""
    return Dropout(hypers.dropout, step_key(hypers.dropout_key, step))


def huber(td_error: Tensor) -> Tensor:
    """Huber loss with threshold 1: 0.5 x² within, |x| - 0.5 beyond (Mnih et al. 2015 clip the error so)."""
    magnitude = td_error.abs()
    return torch.where(magnitude <= 1.0, 0.5 * td_error * td_error, magnitude - 0.5)


def squared(td_error: Tensor) -> Tensor:
    """Half the squared error, so that its gradient is the error itself."""
    return 0.5 * td_error * td_error
