"""What decides a collected dataset's content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agents.spec import NetworkName

Progress = Callable[[int, int, dict[str, Any]], None]
"""Called with agent steps done, agent steps in all, and rates, returns and the seconds of each part."""


class CollectSpec(BaseModel):
    """How a dataset is made; equal specs (and an equal policy) give equal fingerprints on one machine.

    ``steps`` are agent steps over all ``num_envs`` environments together, and so is everything counted in
    steps below; ``target_update_period`` counts gradient steps. Epsilon falls linearly from
    ``epsilon_start`` to ``epsilon_end`` over ``epsilon_decay_steps`` (half of ``steps`` if None).
    ``random_action_noise`` makes the environment stochastic as RL Unplugged's bsuite data are (Gulcehre et
    al. 2020, section 3.3): with that probability it executes a uniform action instead, and the action
    recorded is the agent's. ``checkpoints`` cuts the training of ``dqn`` into that many stretches of equal
    length, whose number is stored with each transition, as RL Unplugged's ordered Atari data are cut (50 of
    a million steps each).

    The agent ``random`` acts uniformly and uses ``steps``, ``seed``, ``num_envs`` and the noise only;
    ``policy`` plays a frozen network, known to the caller as ``policy``, and uses ``epsilon`` besides: with
    that probability the agent itself chooses, and records, a uniform action.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    agent: Literal["dqn", "random", "policy"]
    steps: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    num_envs: int = Field(default=16, ge=1)
    policy: str | None = None
    epsilon: float = Field(default=0.0, ge=0, le=1)
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
    checkpoints: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        if (self.agent == "policy") != (self.policy is not None):
            raise ValueError(
                "policy names the network that agent 'policy' plays, and no other agent takes one"
            )
        return self

    def epsilon_at(self, step: int) -> float:
        """Probability of a uniform action of the agent's own at agent step ``step``."""
        if self.agent != "dqn":
            return 1.0 if self.agent == "random" else self.epsilon
        over = self.epsilon_decay_steps or max(1, self.steps // 2)
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * min(1.0, step / over)


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's recorded spec, with the keys that the version which made it did not have at their defaults."""
    fields = CollectSpec.model_fields
    newer = {key: field.default for key, field in fields.items() if not field.is_required()}
    return {**newer, **recorded}
