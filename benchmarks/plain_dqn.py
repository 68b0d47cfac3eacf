"""The peer of `pack_throughput`: DQN the way it is usually written in PyTorch, one agent, eager."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from agents.data import Transitions


def mlp(inputs: int, actions: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, actions)
    )


def minatar(channels: int, actions: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, actions),
    )


def nature(channels: int, actions: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, actions),
    )


class PlainDQN:
    """One agent: `torch.optim.Adam`, a target network copied every 2,500 steps, Huber loss, uniform replay."""

    def __init__(
        self, online: nn.Module, target: nn.Module, data: Transitions, batch_size: int, device: str
    ) -> None:
        self.online, self.target = online.to(device), target.to(device)
        self.target.load_state_dict(self.online.state_dict())
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=1e-3)
        self.data = data
        self.batch_size = batch_size
        self.device = device
        self.step = 0

    def train(self, steps: int) -> None:
        data = self.data
        for _ in range(steps):
            chosen = torch.randint(len(data), (self.batch_size,), device=data.action.device)
            frames = data.frames[data.frame_index[chosen].long()]
            if frames.dtype == torch.uint8:
                frames = frames.float() / 255.0
            if frames.dim() == 3:
                s_tm1, s_t = frames[:, 0], frames[:, 1]
            else:
                s_tm1, s_t = frames[:, :-1], frames[:, 1:]
            with torch.no_grad():
                bootstrap = self.target(s_t).max(1).values
                target = data.reward[chosen] + 0.99 * data.discount[chosen] * bootstrap
            q = self.online(s_tm1).gather(1, data.action[chosen].long().unsqueeze(1)).squeeze(1)
            loss = F.smooth_l1_loss(q, target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            if self.step % 2500 == 0:
                self.target.load_state_dict(self.online.state_dict())
