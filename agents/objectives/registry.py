"""Objectives by the name that a configuration uses."""

from collections.abc import Callable

from agents.objectives.base import Loss
from agents.objectives.dqn import double_dqn, dqn
from agents.spec import LearnerShape

OBJECTIVES: dict[str, Callable[..., Loss]] = {"dqn": dqn, "double_dqn": double_dqn}


def get_loss(shape: LearnerShape) -> Loss:
    """The loss that ``shape`` names, with its shape's choices (Huber or MSE, dropout) bound."""
    return OBJECTIVES[shape.objective](loss=shape.loss, dropout=shape.dropout)
