"""What makes a learner: its shape (shared by a pack) and its numbers (one set a member)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.errors import AgentError

ObjectiveName = Literal["dqn", "double_dqn"]
NetworkName = Literal["mlp", "nature_dqn", "minatar"]
ActivationName = Literal["relu", "tanh", "elu", "sigmoid", "leaky_relu", "identity"]
OptimizerName = Literal["adam", "rmsprop", "rmsprop_centered", "sgd"]
LossName = Literal["huber", "mse"]

TORSOS = {"nature_dqn": ((32, 8, 4), (64, 4, 2), (64, 3, 1)), "minatar": ((16, 3, 1),)}
"""Output channels, kernel and stride of each convolution.

``nature_dqn``: Mnih et al. (2015), Methods; ``minatar``: Young & Tian (2019), Appendix B.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LearnerShape(_Frozen):
    """Everything that changes the shape of the computation, and so is one value for a whole pack.

    ``observation_shape`` is what one environment step shows, e.g. ``(50,)`` or ``(4, 84, 84)``;
    ``uint8`` observations are divided by 255 on their way into the network.
    """

    objective: ObjectiveName = "dqn"
    network: NetworkName = "mlp"
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: ActivationName = "relu"
    dropout: bool = False
    loss: LossName = "huber"
    optimizer: OptimizerName = "adam"
    momentum: bool = False
    batch_size: int = Field(default=32, ge=1)
    reward_clip: float | None = Field(default=None, gt=0)
    observation_shape: tuple[int, ...]
    observation_dtype: Literal["float32", "uint8"] = "float32"
    num_actions: int = Field(ge=1)


class MemberHypers(_Frozen):
    """The numbers of one member; they may differ inside a pack.

    ``target_update_period`` counts gradient steps; ``data_prefix`` is the share of the dataset that the member
    may sample, first collected first, and ``data_fraction`` the share of that prefix, in the dataset's fixed
    random order; ``dropout`` is the probability that a unit is dropped.
    """

    seed: int = Field(ge=0)
    learning_rate: float = Field(gt=0)
    optimizer_epsilon: float = Field(default=1e-8, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    rmsprop_decay: float = Field(default=0.95, ge=0, lt=1)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    discount: float = Field(default=0.99, ge=0, le=1)
    target_update_period: int = Field(default=2500, ge=1)
    data_fraction: float = Field(default=1.0, gt=0, le=1)
    data_prefix: float = Field(default=1.0, gt=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


def check_members(shape: LearnerShape, members: Sequence[MemberHypers]) -> None:
    """Raises AgentError where a member has a number that ``shape`` switches off: it would have no effect."""
    for place, member in enumerate(members):
        for name, on in (("dropout", shape.dropout), ("momentum", shape.momentum)):
            value = getattr(member, name)
            if value > 0 and not on:
                raise AgentError(
                    f"member {place} has {name} {value}, but its pack's shape has {name} off, so that it would be "
                    f"ignored. Set {name}=True in the LearnerShape, or {name}=0 in the member."
                )
