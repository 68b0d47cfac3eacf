"""From a trial's configuration to what a pack is made of."""

from __future__ import annotations

from agents.environments import EnvironmentSpec
from agents.spec import LearnerShape, MemberHypers
from search_spaces import TrialConfig

__all__ = ["learner_shape", "member_hypers"]


def learner_shape(config: TrialConfig, env: EnvironmentSpec) -> LearnerShape:
    """The shape that all trials with this configuration's shape key share."""
    return LearnerShape(
        objective=config.algorithm,
        network=config.network,
        hidden_sizes=config.hidden_sizes,
        activation=config.activation,
        dropout=config.dropout > 0,
        loss=config.loss,
        optimizer=config.optimizer,
        momentum=config.momentum > 0,
        batch_size=config.batch_size,
        reward_clip=config.reward_clip,
        observation_shape=env.observation_shape,
        observation_dtype=env.observation_dtype,
        num_actions=env.num_actions,
    )


def member_hypers(config: TrialConfig) -> MemberHypers:
    """The numbers of this trial."""
    return MemberHypers(**{name: getattr(config, name) for name in MemberHypers.model_fields})
