"""The peer of R2D2 in `objectives`: the way it is usually written in PyTorch, one agent of `nn.LSTM`, eager."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_objectives import ACTIONS, GAMMA, HIDDEN, INPUTS

LENGTH, BURN_IN, WINDOWS, EPISODE = 25, 5, 8, 50
"""Steps of a window, of them burnt in, windows of a minibatch, and transitions of an episode of the data."""
_EPSILON = 1e-3

State = tuple[Tensor, Tensor]


class RecurrentQNetwork(nn.Module):
    """50-64-LSTM 64-3."""

    def __init__(self) -> None:
        super().__init__()
        self.torso = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU())
        self.core = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, ACTIONS)

    def forward(self, s: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, state = self.core(self.torso(s), state)
        return self.head(h), state


class PlainR2D2:
    """Double Q-learning of windows from a zero state, with burn-in and value rescaling; uniform replay."""

    def __init__(self, data: dict[str, Tensor]) -> None:
        self.online = RecurrentQNetwork()
        self.target = copy.deepcopy(self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=1e-3)
        self.data, self.step = data, 0

    def train(self, steps: int) -> None:
        episodes = len(self.data["action"]) // EPISODE
        for _ in range(steps):
            begin = torch.randint(episodes, (WINDOWS,)) * EPISODE
            first = begin + torch.randint(EPISODE - LENGTH + 1, (WINDOWS,))
            self._descend(first[:, None] + torch.arange(LENGTH + 1))
            self.step += 1
            if self.step % 2500 == 0:
                self.target.load_state_dict(self.online.state_dict())

    def _descend(self, place: Tensor) -> None:
        s, learnt = self.data["s"][place], place[:, BURN_IN:-1]
        a, r, d = (self.data[name][learnt] for name in ("action", "reward", "discount"))
        with torch.no_grad():
            _, warm = self.online(s[:, :BURN_IN])
            _, target_warm = self.target(s[:, :BURN_IN])
            q_target, _ = self.target(s[:, BURN_IN:], target_warm)
        q, _ = self.online(s[:, BURN_IN:], warm)
        best = q[:, 1:].detach().argmax(2, keepdim=True)
        v_next = _unrescaled(q_target[:, 1:].gather(2, best).squeeze(2))
        wanted = _rescaled(r + GAMMA * d * v_next)
        loss = F.smooth_l1_loss(q[:, :-1].gather(2, a.unsqueeze(2)).squeeze(2), wanted)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def _rescaled(x: Tensor) -> Tensor:
    return x.sign() * ((x.abs() + 1).sqrt() - 1) + _EPSILON * x


def _unrescaled(x: Tensor) -> Tensor:
    root = ((1 + 4 * _EPSILON * (x.abs() + 1 + _EPSILON)).sqrt() - 1) / (2 * _EPSILON)
    return x.sign() * (root * root - 1)
