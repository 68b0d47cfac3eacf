"""An evaluation of 32 members with 20 episodes each, in batches and with a real bsuite object a slot.

    python benchmarks/evaluation.py

Both sides play the same episodes in the same run, one after the other in turns, with a policy that costs next
to nothing; their returns must be equal. Prints one line of JSON for each environment.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import bsuite
import numpy as np
from bsuite import sweep as bsuite_sweep

from agents.environments import describe
from agents.evaluation import evaluate, make_evaluation_environment

MEMBERS, EPISODES, ROUNDS = 32, 20, 3
ENVIRONMENTS = ("bsuite/catch/0", "bsuite/cartpole/0", "bsuite/mountain_car/0", "bsuite/memory_len/14")


class Objects:
    """The slots as real bsuite objects stepped in a loop, built anew for their seeds, as bsuite takes them."""

    def __init__(self, env_id: str, num_envs: int) -> None:
        self.spec, self.num_envs = describe(env_id), num_envs
        _, name, number = env_id.split("/")
        self.build = lambda seed: bsuite.load(
            name, {**bsuite_sweep.SETTINGS[f"{name}/{number}"], "seed": seed}
        )
        self.shown = np.zeros((num_envs, *self.spec.observation_shape), np.float32)

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        self.slots = [self.build(int(seed)) for seed in seeds]
        self.ended = np.zeros(self.num_envs, bool)
        return self.restart(np.ones(self.num_envs, bool))

    def restart(self, which: np.ndarray) -> np.ndarray:
        for place in np.flatnonzero(which):
            self.shown[place] = self.slots[place].reset().observation.reshape(-1)
        self.ended &= ~which
        return self.shown.copy()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        reward, last = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        for place in np.flatnonzero(~self.ended):
            timestep = self.slots[place].step(int(actions[place]))
            self.shown[place] = timestep.observation.reshape(-1)
            reward[place], last[place] = timestep.reward, timestep.last()
        self.ended |= last
        return self.shown.copy(), reward, last, np.zeros(self.num_envs, bool)

    def extras(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.slots = []


def main() -> None:
    for env_id in ENVIRONMENTS:
        spec = describe(env_id)
        weights = np.random.default_rng(0).normal(size=(MEMBERS, *spec.observation_shape, spec.num_actions))
        batches = make_evaluation_environment(env_id, MEMBERS, EPISODES)
        sides: dict[str, Any] = {"batches": batches, "objects": Objects(env_id, batches.num_envs)}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS):
            returns = {}
            for side, environment in sides.items():
                began = time.perf_counter()
                result = evaluate(
                    lambda seen, w=weights: np.einsum("nsd,nda->nsa", seen, w),
                    env_id,
                    range(MEMBERS),
                    step=number,
                    episodes=EPISODES,
                    epsilon=0.0,
                    max_steps=27_000,
                    environment=environment,
                )
                seconds[side].append(time.perf_counter() - began)
                returns[side] = result.returns
            np.testing.assert_array_equal(returns["batches"], returns["objects"])
        median = {side: statistics.median(values) for side, values in seconds.items()}
        print(
            json.dumps(
                {
                    "env": env_id,
                    "agent_steps": int(result.lengths.sum()),
                    **{f"{side}_seconds": round(value, 4) for side, value in median.items()},
                    "times_faster": round(median["objects"] / median["batches"], 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
