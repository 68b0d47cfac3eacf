"""Collecting a dataset: an agent acts in the real environment and every transition is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from agents.actors import Actor, RandomActor
from agents.data.dataset import Dataset
from agents.data.provenance import provenance
from agents.data.writer import DatasetWriter
from agents.environments import EnvironmentSpec, VectorEnvironment, describe, make
from agents.environments.protocol import SEED_LIMIT
from agents.errors import AgentError
from agents.randomness import generator
from agents.spec import LearnerShape, MemberHypers, NetworkName

RECENT_EPISODES = 100
PROGRESS_SECONDS = 0.5
Progress = Callable[[int, int, dict[str, Any]], None]


class CollectSpec(BaseModel):
    """How a dataset is made; equal specs give equal fingerprints on one machine.

    ``steps`` are agent steps over all ``num_envs`` environments together, and so is everything counted in
    steps below; ``target_update_period`` counts gradient steps. Epsilon falls linearly from
    ``epsilon_start`` to ``epsilon_end`` over ``epsilon_decay_steps`` (half of ``steps`` if None).
    ``random_action_noise`` makes the environment stochastic as RL Unplugged's bsuite data are (Gulcehre et
    al. 2020, section 3.3): with that probability it executes a uniform action instead, and the action
    recorded is the agent's. The agent ``random`` acts uniformly and uses ``steps``, ``seed``, ``num_envs``
    and the noise only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    agent: Literal["dqn", "random"]
    steps: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    num_envs: int = Field(default=16, ge=1)
    epsilon_start: float = Field(default=1.0, ge=0, le=1)
    epsilon_end: float = Field(default=0.05, ge=0, le=1)
    epsilon_decay_steps: int | None = Field(default=None, ge=1)
    random_action_noise: float = Field(default=0.0, ge=0, le=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=32, ge=1)
    discount: float = Field(default=0.99, ge=0, le=1)
    target_update_period: int = Field(default=200, ge=1)
    updates_per_step: float = Field(default=0.25, gt=0)
    learning_starts: int = Field(default=1000, ge=0)
    network: NetworkName = "mlp"
    hidden_sizes: tuple[int, ...] = (64, 64)
    reward_clip: float | None = Field(default=None, gt=0)

    def epsilon(self, step: int) -> float:
        """Exploration at agent step ``step``."""
        over = self.epsilon_decay_steps or max(1, self.steps // 2)
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * min(1.0, step / over)


def collect(
    spec: CollectSpec, out_dir: Path | str, progress: Progress | None = None, *, num_threads: int = 1
) -> Dataset:
    """Make the dataset ``out_dir`` (``ROOT/datasets/<name>``); it appears when it is whole.

    ``progress(done, total, info)`` is called about twice a second and at the end, with agent steps and, in
    ``info``, rates, the mean return of recent episodes and the seconds spent on each part. ``num_threads``
    is for the emulator, which gives the same frames with any; PyTorch runs on one thread meanwhile, because
    sums spread over more round differently and the fingerprint would depend on their number. Raises
    DatasetError and AgentError with the remedy where the name, the environment or the network does not fit,
    or the disk is full.
    """
    environment = describe(spec.env)
    _check_network(spec, environment)
    with DatasetWriter(out_dir, environment, spec.steps) as writer, _one_thread(spec):
        vector = make(spec.env, min(spec.num_envs, spec.steps), num_threads=num_threads)
        try:
            run = _Run(spec, writer, vector, _build_actor(spec, writer), progress)
            run.play()
        finally:
            vector.close()
        record = {**provenance(), "recipe": spec.model_dump(mode="json"), **run.record()}
        return writer.finish(len(run.finished_returns), run.mean_return(), record)


class _Run:
    """The loop: act, step, store, learn; and the clock that says where the time went."""

    def __init__(
        self,
        spec: CollectSpec,
        writer: DatasetWriter,
        vector: VectorEnvironment,
        actor: Actor,
        progress: Progress | None,
    ) -> None:
        self.spec, self.writer, self.vector, self.actor = spec, writer, vector, actor
        self.progress = progress
        self.started = time.perf_counter()
        self.reported = 0.0
        self.updates = 0
        self.seconds = dict.fromkeys(("environment", "acting", "storing", "learning"), 0.0)
        self.finished_returns: list[float] = []
        self.stack = vector.spec.frame_stack
        self.noise = generator(spec.seed, "collect", "noise")

    def play(self) -> None:
        """Collect ``spec.steps`` transitions."""
        spec, vector, clock = self.spec, self.vector, _Clock(self.seconds)
        slots = vector.num_envs
        seeds = generator(spec.seed, "collect", "environment").integers(SEED_LIMIT, size=slots)
        observation = vector.reset(seeds)
        clock.add("environment")
        index = np.zeros((slots, self.stack), np.int32)
        self._begin(index, np.ones(slots, np.bool_), observation)
        episode, next_episode = np.arange(slots, dtype=np.int32), slots
        returns, done = np.zeros(slots), 0
        while done < spec.steps:
            clock.add("storing")
            action = self.actor.act(observation, done)
            clock.add("acting")
            observation, reward, terminated, truncated = vector.step(self._executed(action))
            clock.add("environment")
            # Of the last row only as many slots are kept as the number of steps asks for.
            kept = min(slots, spec.steps - done)
            newest = self.writer.add_frames(self._newest(observation)[:kept])
            following = np.concatenate([index[:kept, 1:], newest[:, None]], axis=1)
            self.writer.add_transitions(
                np.concatenate([index[:kept, :1], following], axis=1),
                action[:kept].astype(np.int32),
                reward[:kept],
                # Only a terminal s' is worth 0: a truncated episode would have gone on.
                np.where(terminated[:kept], 0, 1).astype(np.float32),
                episode[:kept],
            )
            index[:kept] = following
            returns += reward
            done += kept
            ended = terminated | truncated
            ended[kept:] = False
            if ended.any():
                self.finished_returns += returns[ended].tolist()
                returns[ended] = 0
                clock.add("storing")
                if done < spec.steps:
                    observation = vector.restart(ended)
                    clock.add("environment")
                    self._begin(index, ended, observation)
                    episode[ended] = np.arange(next_episode, next_episode + ended.sum(), dtype=np.int32)
                    next_episode += int(ended.sum())
            clock.add("storing")
            self.updates += self.actor.learn(done)
            clock.add("learning")
            self._report(done)

    def mean_return(self) -> float | None:
        """Mean over the completed episodes; None if there is none."""
        return float(np.mean(self.finished_returns)) if self.finished_returns else None

    def record(self) -> dict[str, Any]:
        """What ``dataset.json`` keeps of the run."""
        return {
            "seconds": round(time.perf_counter() - self.started, 3),
            "collection": self._info(self.spec.steps),
        }

    def _begin(
        self, index: npt.NDArray[np.int32], which: npt.NDArray[np.bool_], observation: npt.NDArray[np.generic]
    ) -> None:
        """Store the first frames of new episodes; the rest of their stacks is frame 0, black."""
        numbers = self.writer.add_frames(self._newest(observation)[which])
        index[which] = 0
        index[which, -1] = numbers

    def _newest(self, observation: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return observation[:, -1] if self.stack > 1 else observation

    def _executed(self, action: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self.spec.random_action_noise == 0:
            return action
        draws = self.noise.random((2, len(action)))
        uniform = (draws[1] * self.vector.spec.num_actions).astype(np.int64)
        return np.where(draws[0] < self.spec.random_action_noise, uniform, action)

    def _report(self, done: int) -> None:
        now = time.perf_counter()
        if self.progress is not None and (done == self.spec.steps or now - self.reported > PROGRESS_SECONDS):
            self.reported = now
            self.progress(done, self.spec.steps, self._info(done))

    def _info(self, done: int) -> dict[str, Any]:
        elapsed = time.perf_counter() - self.started
        recent = self.finished_returns[-RECENT_EPISODES:]
        return {
            "steps_per_second": done / elapsed,
            "updates": self.updates,
            "updates_per_second": self.updates / elapsed,
            "epsilon": self.spec.epsilon(done) if self.spec.agent == "dqn" else 1.0,
            "episodes": len(self.finished_returns),
            "recent_mean_return": float(np.mean(recent)) if recent else None,
            "seconds_by_part": {part: round(seconds, 3) for part, seconds in self.seconds.items()},
        }


class _Clock:
    """Charges the time since the last call to a part."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.last = seconds, time.perf_counter()

    def add(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] += now - self.last
        self.last = now


def _build_actor(spec: CollectSpec, writer: DatasetWriter) -> Actor:
    environment = writer.environment
    if spec.agent == "random":
        return RandomActor(spec.seed, environment.num_actions)
    # Loads torch, which the random agent does without.
    from agents.online import OnlineDQN

    shape = LearnerShape(
        objective="dqn",
        network=spec.network,
        hidden_sizes=spec.hidden_sizes,
        batch_size=spec.batch_size,
        reward_clip=spec.reward_clip,
        observation_shape=environment.observation_shape,
        observation_dtype=environment.observation_dtype,
        num_actions=environment.num_actions,
    )
    hypers = MemberHypers(
        seed=spec.seed,
        learning_rate=spec.learning_rate,
        discount=spec.discount,
        target_update_period=spec.target_update_period,
    )
    return OnlineDQN(
        shape,
        hypers,
        writer,
        epsilon=spec.epsilon,
        updates_per_step=spec.updates_per_step,
        learning_starts=spec.learning_starts,
    )


def _one_thread(spec: CollectSpec) -> AbstractContextManager[None]:
    if spec.agent == "random":
        return nullcontext()
    from agents.online import one_torch_thread

    return one_torch_thread()


def _check_network(spec: CollectSpec, environment: EnvironmentSpec) -> None:
    if spec.agent == "dqn" and spec.network != "mlp" and len(environment.observation_shape) != 3:
        raise AgentError(
            f"network {spec.network} reads images, and {spec.env} shows vectors of shape "
            f"{environment.observation_shape}. Use network: mlp for it, or an atari/… environment."
        )
