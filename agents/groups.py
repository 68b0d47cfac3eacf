"""Groups of a pack's members: as many as are computed at once, as views of what the pack holds of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.columns import Column, Columns
from agents.errors import AgentError
from agents.networks import Parameters
from agents.objectives import Hypers
from agents.optimizers import OptimizerHypers, OptimizerState

__all__ = ["Group", "fewer_at_once", "rows_of", "slices"]


class Group(NamedTuple):
    """Members M of a pack's N: every tensor ``[M, ...]`` shares memory with the pack's, so that changes are the pack's.

    ``recurrent_states`` is the table of ``StoredStates``, None without one.
    """

    params: Parameters
    target_params: Parameters
    slow_params: Parameters
    optimizer_state: OptimizerState
    loss_hypers: Hypers
    optimizer_hypers: OptimizerHypers
    columns: Columns
    target_tau: Tensor
    curl_momentum: Tensor
    active: Tensor
    diverged_at: Tensor
    loss_sum: Tensor
    summed_steps: Tensor
    recurrent_states: Tensor | None


def slices(size: int, at_once: int) -> list[slice]:
    """Places of the groups of a pack of ``size``. Raises AgentError unless ``at_once`` divides it.

    Groups of one size share compiled code.
    """
    if not 1 <= at_once <= size or size % at_once:
        allowed = ", ".join(str(number) for number in range(1, size + 1) if size % number == 0)
        raise AgentError(
            f"members_at_once {at_once} does not divide a pack of {size} into groups of one size: give one of "
            f"{allowed}."
        )
    return [slice(first, first + at_once) for first in range(0, size, at_once)]


def fewer_at_once(size: int, at_once: int) -> int:
    """The largest divisor of ``size`` that is at most half of ``at_once``, and at least 1."""
    return max((n for n in range(1, at_once // 2 + 1) if size % n == 0), default=1)


def rows_of(tree: Any, rows: slice) -> Any:
    """The same tuples, dictionaries and other holders, with each tensor's ``rows`` as a view."""
    if isinstance(tree, Columns):
        own = {name: Column(column.values, column.variant[rows]) for name, column in tree.by_name.items()}
        return Columns(own, tree.frame_index)
    if isinstance(tree, OptimizerHypers):
        return tree.rows(rows)
    if isinstance(tree, tuple):
        parts: Iterator[Any] = (rows_of(part, rows) for part in tree)
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, dict):
        return {name: rows_of(part, rows) for name, part in tree.items()}
    return tree[rows] if isinstance(tree, torch.Tensor) else tree
