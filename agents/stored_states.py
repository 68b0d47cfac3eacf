"""Recurrent states that windows of sequences begin with, as training leaves them behind."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.errors import AgentError

MOST_BYTES = 4 * 2**30
"""Memory of the states of a pack, all of which every checkpoint holds too."""


class StoredStates:
    """The state, h and c, at the beginning of every window of every member.

    R2D2 (Kapturowski et al. 2019, Section 3) stores the state of the network that acted, which is stale when it is
    learnt from. Offline data were made by others, so here the state is one of the learner's own: training on a
    window leaves the state that it passes through where the next window of the episode begins, as stale as the
    last time that the window was drawn. Zero until then. The first window of an episode has none and stays at zero.

    ``table`` float32 ``[N, W + 1, 2, H]`` belongs to the pack's state: W windows, and a row for what has no place.
    """

    def __init__(self, members: int, windows: int, size: int, device: torch.device) -> None:
        """``size``: H. Raises AgentError where the table would exceed ``MOST_BYTES``."""
        needed = 8 * members * (windows + 1) * size
        if needed > MOST_BYTES:
            raise AgentError(
                f"recurrent_state 'stored' needs {needed / 2**30:.1f} GiB for the states of {windows:,} windows of "
                f"{members} members, and at most {MOST_BYTES / 2**30:.0f} GiB are kept. Give a larger sequence_shift "
                "or a smaller lstm_size, fewer members a pack, or recurrent_state: zero with a burn_in."
            )
        self.table = torch.zeros(members, windows + 1, 2, size, device=device)
        self._member = torch.arange(members, device=device).unsqueeze(1)

    def read(self, number: Tensor, table: Tensor | None = None) -> Tensor:
        """States ``[N, B, 2, H]`` of windows ``number`` int64 ``[N, B]``; of some members where ``table`` is theirs."""
        table = self.table if table is None else table
        return table[self._member[: len(table)], number]

    def write(self, number: Tensor, handover: Tensor, state: Tensor, table: Tensor | None = None) -> None:
        """Keep ``state`` ``[N, B, 2, H]`` for the windows after ``number``, where ``handover`` says there is one."""
        table = self.table if table is None else table
        nowhere = table.shape[1] - 1
        # Of a window drawn twice the last counts: which of two writes to one place wins is chance on a card.
        same = number.unsqueeze(2) == number.unsqueeze(1)
        superseded = torch.triu(same, diagonal=1).any(2)
        place = torch.where((handover > 0) & ~superseded, number + 1, nowhere)
        table[self._member[: len(table)], place] = state
        table[:, nowhere] = 0.0
