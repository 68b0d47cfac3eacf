"""How a dataset is collected: the agent, and what it learns with."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from search_spaces.errors import Problem, SpecificationError
from search_spaces.specification import Count, Natural, Positive, Probability, Seed, Specification
from search_spaces.trial import DEFAULT_HIDDEN_SIZES, LayerWidth, Network

_USED_BY_RANDOM = ("agent", "steps", "seed", "num_envs", "random_action_noise")


class Collect(Specification):
    """An agent that acts in the environment for `steps` agent steps over `num_envs` environments.

    `dqn` learns online from all that it has seen so far (Adam, uniform replay without a limit) and keeps
    every transition; its epsilon falls linearly. `random` draws every action uniformly.
    """

    agent: Literal["dqn", "random"]
    steps: Count = Field(description="agent steps to collect, over all environments together")
    seed: Seed = 0
    num_envs: Count = 16
    epsilon_start: Probability = 1.0
    epsilon_end: Probability = 0.05
    epsilon_decay_steps: Count = Field(
        default_factory=lambda data: max(1, data.get("steps", 2) // 2),
        description="agent steps until epsilon_end; half of `steps` when left out",
    )
    random_action_noise: Probability = Field(
        default=0.0, description="probability that a uniform action is executed in place of the recorded one"
    )
    learning_rate: Positive = 1e-3
    batch_size: Annotated[Count, Field(le=65536)] = 32
    discount: Probability = 0.99
    target_update_period: Count = Field(default=200, description="in gradient steps")
    updates_per_step: Positive = Field(default=0.25, description="gradient steps per agent step")
    learning_starts: Natural = Field(default=1000, description="agent steps before the first gradient step")
    network: Network = "mlp"
    hidden_sizes: tuple[LayerWidth, ...] = Field(
        default_factory=lambda data: DEFAULT_HIDDEN_SIZES[data.get("network", "mlp")]
    )
    reward_clip: Positive | None = None

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if self.agent == "random":
            for name, field in type(self).model_fields.items():
                # Against the default and not by whether it was given: a dumped recipe gives everything.
                default = field.get_default(call_default_factory=True, validated_data=dict(self))
                if name not in _USED_BY_RANDOM and getattr(self, name) != default:
                    message = "is not used by agent 'random': leave it out, or set agent to 'dqn'"
                    problems.append(Problem((name,), message, getattr(self, name)))
        if self.network != "mlp" and not self.hidden_sizes:
            message = f"{self.network} needs at least one width, such as [512]"
            problems.append(Problem(("hidden_sizes",), message, []))
        if self.epsilon_end > self.epsilon_start:
            message = f"must be at most epsilon_start, {self.epsilon_start!r}"
            problems.append(Problem(("epsilon_end",), message, self.epsilon_end))
        if problems:
            raise SpecificationError(problems)
        return self
