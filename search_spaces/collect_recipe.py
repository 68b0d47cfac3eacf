"""How a dataset is collected: the agent, and what it learns with."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from search_spaces.errors import Problem, SpecificationError
from search_spaces.specification import Count, Natural, Positive, Probability, Seed, Specification
from search_spaces.trial import DEFAULT_HIDDEN_SIZES, LayerWidth, Network

_FOR_ALL: Final = ("agent", "steps", "seed", "num_envs", "random_action_noise")
_FOR_POLICY: Final = ("policy", "epsilon")


def _check_policy(policy: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}/[0-9a-f]{16}", policy):
        raise ValueError("must be SWEEP/TRIAL_ID, such as demo/0123456789abcdef")
    return policy


PolicyName = Annotated[str, Field(strict=True), AfterValidator(_check_policy)]


class Collect(Specification):
    """An agent that acts in the environment for `steps` agent steps over `num_envs` environments.

    `dqn` learns online from all that it has seen so far (Adam, uniform replay without a limit) and keeps
    every transition; its epsilon falls linearly. `random` draws every action uniformly. `policy` plays what a
    finished trial has learnt.
    """

    agent: Literal["dqn", "random", "policy"] = Field(description="who acts")
    steps: Count = Field(description="agent steps to collect, over all environments together")
    seed: Seed = Field(default=0, description="of the agent and of the environments")
    num_envs: Count = Field(default=16, description="environments that step together")
    policy: PolicyName | None = Field(
        default=None, description="for `policy`: the finished trial whose policy plays, SWEEP/TRIAL_ID"
    )
    epsilon: Probability = Field(
        default=0.0, description="for `policy`: probability that the agent chooses a uniform action"
    )
    epsilon_start: Probability = Field(
        default=1.0, description="for `dqn`: probability of a uniform action at the first step"
    )
    epsilon_end: Probability = Field(default=0.05, description="for `dqn`: the same at the end of its decay")
    epsilon_decay_steps: Count = Field(
        default_factory=lambda data: max(1, data.get("steps", 2) // 2),
        description="agent steps until epsilon_end; half of `steps` when left out",
    )
    random_action_noise: Probability = Field(
        default=0.0, description="probability that a uniform action is executed in place of the recorded one"
    )
    learning_rate: Positive = Field(default=1e-3, description="of Adam")
    batch_size: Annotated[Count, Field(le=65536)] = Field(default=32, description="transitions a minibatch")
    discount: Probability = Field(default=0.99, description="of future rewards")
    target_update_period: Count = Field(
        default=200, description="gradient steps between copies to the target network"
    )
    updates_per_step: Positive = Field(default=0.25, description="gradient steps per agent step")
    learning_starts: Natural = Field(default=1000, description="agent steps before the first gradient step")
    network: Network = Field(default="mlp", description="of `dqn`")
    hidden_sizes: tuple[LayerWidth, ...] = Field(
        default_factory=lambda data: DEFAULT_HIDDEN_SIZES[data.get("network", "mlp")],
        description="widths of its fully connected layers",
    )
    reward_clip: Positive | None = Field(
        default=None, description="rewards are clipped to ± this for learning, and stored as they are"
    )
    checkpoints: Count = Field(
        default=50, description="stretches that `dqn`'s training is cut into; each transition has its number"
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = [*self._unused()]
        if self.agent == "policy" and self.policy is None:
            message = "is missing: agent 'policy' plays a finished trial, SWEEP/TRIAL_ID"
            problems.append(Problem(("policy",), message, None))
        if self.network != "mlp" and not self.hidden_sizes:
            message = f"{self.network} needs at least one width, such as [512]"
            problems.append(Problem(("hidden_sizes",), message, []))
        if self.epsilon_end > self.epsilon_start:
            message = f"must be at most epsilon_start, {self.epsilon_start!r}"
            problems.append(Problem(("epsilon_end",), message, self.epsilon_end))
        if problems:
            raise SpecificationError(problems)
        return self

    def _unused(self) -> list[Problem]:
        """The fields that this agent has no use for and that differ from their defaults."""
        problems = []
        for name, field in type(self).model_fields.items():
            user = "policy" if name in _FOR_POLICY else "dqn"
            # Against the default and not by whether it was given: a dumped recipe gives everything.
            default = field.get_default(call_default_factory=True, validated_data=dict(self))
            if name not in _FOR_ALL and user != self.agent and getattr(self, name) != default:
                message = f"is not used by agent {self.agent!r}: leave it out, or set agent to {user!r}"
                problems.append(Problem((name,), message, getattr(self, name)))
        return problems
