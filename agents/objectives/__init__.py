"""The losses that make algorithms, one small file each."""

from agents.objectives.base import Batch, Hypers, Loss, LossOutput
from agents.objectives.registry import OBJECTIVES, get_loss

__all__ = ["OBJECTIVES", "Batch", "Hypers", "Loss", "LossOutput", "get_loss"]
