"""The peer of `sweep_overhead`: the same sweep as a researcher would write it with Ray Tune alone.

A trial is a process with one core: an eager PyTorch DQN loop on the dataset's arrays, which every
`--log-every` steps computes the measures and hands them to `tune.report`; every `--eval-every` it plays
episodes. `MLflowLoggerCallback` logs to an SQLite file. Run by `sweep_overhead`, which clocks it from outside;
`--marks` is where it notes when its first trial began, for extrapolation.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from torch import nn

DELTA = 0.01
DORMANT = 0.025


class QNetwork(nn.Module):
    def __init__(self, observation_size: int, num_actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(observation_size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, num_actions)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(observation))


def td_errors(
    network: QNetwork, target: QNetwork, batch: tuple[torch.Tensor, ...], discount: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and targets of the actions taken, each [B]."""
    s_tm1, a_tm1, r_t, discount_t, s_t = batch
    q = network(s_tm1).gather(1, a_tm1[:, None]).squeeze(1)
    with torch.no_grad():
        y = r_t + discount * discount_t * target(s_t).max(1).values
    return q, y


def probe(
    network: QNetwork, target: QNetwork, batch: tuple[torch.Tensor, ...], discount: float
) -> dict[str, float]:
    """All that is measured on the probe batch."""
    network.zero_grad()
    q, y = td_errors(network, target, batch, discount)
    F.smooth_l1_loss(q, y).backward()
    grad_norm = torch.sqrt(sum(p.grad.square().sum() for p in network.parameters()))
    with torch.no_grad():
        features, next_features = network.body(batch[0]), network.body(batch[4])
        sigma = torch.linalg.svdvals(features)
        cumulative = torch.cumsum(sigma, 0) / sigma.sum()
        score = features.abs().mean(0)
        return {
            "td_error": (y - q).abs().mean().item(),
            "q_mean": q.mean().item(),
            "srank": int((cumulative < 1 - DELTA).sum()) + 1,
            "numerical_rank": (sigma.sum() ** 2 / sigma.square().sum()).item(),
            "dead_units": int((features == 0).all(0).sum()),
            "dormant_units": int((score / score.mean() <= DORMANT).sum()),
            "feature_norm": features.norm(dim=1).mean().item(),
            "feature_dot_product": (features * next_features).sum(1).mean().item(),
            "grad_norm": grad_norm.item(),
            "param_norm": torch.sqrt(sum(p.square().sum() for p in network.parameters())).item(),
        }


def evaluate(network: QNetwork, environment: Any, episodes: int) -> dict[str, float]:
    """Greedy episodes in the real environment."""
    returns, lengths = [], []
    for _ in range(episodes):
        timestep, total, length = environment.reset(), 0.0, 0
        while not timestep.last():
            with torch.no_grad():
                q = network(torch.from_numpy(timestep.observation.reshape(1, -1).astype(np.float32)))
            timestep = environment.step(int(q.argmax()))
            total, length = total + timestep.reward, length + 1
        returns.append(total)
        lengths.append(length)
    return {
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns)),
        "episode_length": float(np.mean(lengths)),
    }


def train(config: dict[str, Any]) -> None:
    """One trial."""
    import bsuite

    torch.manual_seed(config["seed"])
    folder = Path(config["dataset"])
    arrays = {
        name: np.load(folder / f"{name}.npy")
        for name in ("frames", "frame_index", "action", "reward", "discount")
    }
    observations = torch.from_numpy(arrays["frames"])
    first, second = (torch.from_numpy(arrays["frame_index"][:, column].astype(np.int64)) for column in (0, 1))
    action = torch.from_numpy(arrays["action"].astype(np.int64))
    reward, discount = torch.from_numpy(arrays["reward"]), torch.from_numpy(arrays["discount"])

    def transitions(index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            observations[first[index]], action[index], reward[index], discount[index],
            observations[second[index]],
        )  # fmt: skip

    network = QNetwork(observations.shape[1], 3)
    target = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=config["learning_rate"])
    probe_batch = transitions(
        torch.from_numpy(np.random.default_rng(0).choice(len(action), 512, replace=False))
    )
    environment = bsuite.load("catch", {"seed": config["seed"]})
    losses = []
    for step in range(config["train_steps"] + 1):
        if step > 0:
            batch = transitions(torch.randint(len(action), (config["batch_size"],)))
            q, y = td_errors(network, target, batch, config["discount"])
            loss = F.smooth_l1_loss(q, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            if step % config["target_update_period"] == 0:
                target.load_state_dict(network.state_dict())
        if step % config["log_every"] == 0:
            measures: dict[str, float] = {"step": step}
            if losses:
                measures["loss"] = torch.stack(losses).mean().item()
                losses = []
            if step % config["probe_every"] == 0:
                measures.update(probe(network, target, probe_batch, config["discount"]))
            if step % config["eval_every"] == 0:
                measures.update(evaluate(network, environment, config["eval_episodes"]))
            tune.report(measures)


class FirstStart(tune.Callback):
    """Notes when the first trial began: what came before is not to be extrapolated."""

    def __init__(self) -> None:
        self.at: float | None = None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.at = self.at or time.time()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="JSON: what all trials share")
    parser.add_argument("--learning-rates", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where Tune and MLflow write")
    parser.add_argument("--marks", type=Path, required=True)
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    first = FirstStart()
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            **json.loads(given.config),
            "learning_rate": tune.grid_search(given.learning_rates),
            "seed": tune.grid_search(given.seeds),
        },
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(given.folder / "tune"),
            callbacks=[
                MLflowLoggerCallback(
                    tracking_uri=f"sqlite:///{given.folder / 'mlflow.db'}", experiment_name="plain"
                ),
                first,
            ],
        ),
    )
    results = tuner.fit()
    marks = {"first_start": first.at, "end": time.time(), "errors": len(results.errors)}
    given.marks.write_text(json.dumps(marks))


if __name__ == "__main__":
    main()
