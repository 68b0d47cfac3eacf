"""Evaluation: every member of a pack plays whole episodes, all members side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.environments import EnvironmentSpec, VectorEnvironment, describe, make
from agents.environments.protocol import SEED_LIMIT
from agents.randomness import generator

QFunction = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]


@dataclass(frozen=True)
class EvaluationResult:
    """N members, E episodes each.

    ``returns`` float64 ``[N, E]``: undiscounted sums of unclipped rewards. ``lengths`` int64 ``[N, E]``:
    agent steps. ``returns_normalized`` float64 ``[N, E]``: on the scale named ``normalization``, 0 the
    random policy; both None where the environment has no reference scores.
    """

    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    returns_normalized: npt.NDArray[np.float64] | None
    normalization: str | None


def make_evaluation_environment(
    env_id: str, members: int, episodes: int, *, num_threads: int = 1
) -> VectorEnvironment:
    """The slots that ``evaluate`` needs, to be used again for each evaluation of a pack and then closed.

    Worth keeping for Atari, where starting a slot costs 65 ms. Raises EnvironmentUnavailable.
    """
    slots = members * _slots_per_member(describe(env_id), episodes)
    return make(env_id, slots, num_threads=num_threads)


def evaluate(
    q_values: QFunction,
    env_id: str,
    seeds: Sequence[int],
    *,
    step: int,
    episodes: int,
    epsilon: float,
    max_steps: int,
    environment: VectorEnvironment | None = None,
) -> EvaluationResult:
    """Play ``episodes`` episodes with each of N members, epsilon-greedily.

    ``q_values`` maps observations ``[N, S, *observation_shape]`` to values ``[N, S, A]`` (S slots a
    member); ties go to the lowest action. ``seeds`` are the N trials' seeds: environments and exploration
    draw from the streams (seed, "evaluation", step), so a member's result depends on its own seed, the step
    and its own values, not on its pack. An episode is cut after ``max_steps`` agent steps and counts with
    what it has. ``environment`` is one from ``make_evaluation_environment``, else one is made and closed. A
    member whose values are NaN plays action 0 (or whichever NaN comes first): its caller knows that it has
    diverged.
    """
    spec = describe(env_id)
    if min(len(seeds), episodes, max_steps) < 1 or not 0 <= epsilon <= 1:
        raise ValueError(
            f"evaluate needs at least one seed, episode and step, and epsilon in [0, 1]; got {len(seeds)} "
            f"seeds, {episodes} episodes, {max_steps} steps, epsilon {epsilon}"
        )
    members, slots = len(seeds), _slots_per_member(spec, episodes)
    vector = environment or make(env_id, members * slots)
    if vector.spec.env_id != env_id or vector.num_envs != members * slots:
        raise ValueError(
            f"the environment given has {vector.num_envs} slots of {vector.spec.env_id}; {members} members "
            f"with {episodes} episodes need {members * slots} of {env_id}: use make_evaluation_environment"
        )
    try:
        returns, lengths = _play(q_values, vector, seeds, slots, step, episodes, epsilon, max_steps)
    finally:
        if environment is None:
            vector.close()
    scale = spec.score_reference.scale_name if spec.score_reference else None
    return EvaluationResult(returns, lengths, spec.normalise(returns), scale)


def _slots_per_member(spec: EnvironmentSpec, episodes: int) -> int:
    return min(episodes, spec.evaluation_slots or episodes)


def _play(
    q_values: QFunction,
    vector: VectorEnvironment,
    seeds: Sequence[int],
    slots: int,
    step: int,
    episodes: int,
    epsilon: float,
    max_steps: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    members, total = len(seeds), len(seeds) * slots
    returns = np.zeros((members, episodes), np.float64)
    lengths = np.zeros((members, episodes), np.int64)
    # Slot s of a member plays its episodes s, s + S, s + 2S, …, one after the other.
    member, episode = np.divmod(np.arange(total), slots)
    playing = np.ones(total, np.bool_)
    environment_seeds = [
        generator(seed, "evaluation", step, "environment").integers(SEED_LIMIT, size=slots) for seed in seeds
    ]
    explore = _Exploration(seeds, step, epsilon, vector.spec.num_actions)

    observation = vector.reset(np.concatenate(environment_seeds))
    while playing.any():
        q = np.asarray(q_values(observation.reshape(members, slots, *vector.spec.observation_shape)))
        action = q.reshape(total, -1).argmax(axis=1)
        if epsilon > 0:
            explore.replace(action, np.flatnonzero(playing), member, episode, lengths)
        observation, reward, terminated, truncated = vector.step(action)
        active_member, active_episode = member[playing], episode[playing]
        returns[active_member, active_episode] += reward[playing]
        lengths[active_member, active_episode] += 1
        ended = playing.copy()
        ended[playing] = (terminated | truncated)[playing] | (
            lengths[active_member, active_episode] >= max_steps
        )
        if ended.any():
            again = ended & (episode + slots < episodes)
            episode[again] += slots
            playing &= ~ended | again
            if again.any():
                observation = vector.restart(again)
    return returns, lengths


class _Exploration:
    """Epsilon-greedy draws: a stream for every episode of every member, drawn in blocks of steps."""

    BLOCK_STEPS = 128

    def __init__(self, seeds: Sequence[int], step: int, epsilon: float, num_actions: int) -> None:
        self.seeds, self.step, self.epsilon, self.num_actions = seeds, step, epsilon, num_actions
        self.blocks: dict[int, npt.NDArray[np.float64]] = {}

    def replace(
        self,
        action: npt.NDArray[np.int64],
        playing: npt.NDArray[np.int64],
        member: npt.NDArray[np.int64],
        episode: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
    ) -> None:
        """Replace, in place, the actions of the slots ``playing`` that explore at their present step."""
        for slot in playing:
            which, number = member[slot], episode[slot]
            block, offset = divmod(int(lengths[which, number]), self.BLOCK_STEPS)
            if offset == 0:
                purpose = ("evaluation", self.step, "exploration", int(number), block)
                self.blocks[slot] = generator(self.seeds[which], *purpose).random((self.BLOCK_STEPS, 2))
            chance, choice = self.blocks[slot][offset]
            if chance < self.epsilon:
                action[slot] = int(choice * self.num_actions)
