"""Atari through ale-py's own vector environment, every setting of the protocol written out."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments.atari_games import GAMES
from agents.environments.atari_scores import ONLINE_DQN, ONLINE_DQN_SOURCE
from agents.environments.family import Family
from agents.environments.protocol import EnvironmentSpec, ScoreReference, StepResult, check_seeds

FRAME_STACK = 4
FRAME_SKIP = 4
MAX_FRAMES = 108_000  # 30 minutes at 60 Hz: 27,000 agent steps. Start frames and skipped frames count.
STICKY_PROBABILITY = 0.25
REQUIRES = ("gymnasium[atari]>=1.4,<2", "ale-py>=0.12.1,<0.13")

# Seeding an emulator reloads its ROM: 65 ms of one core, as much as 300 agent steps, and ale-py 0.12.1 does
# it one slot after another whatever the number of threads. A reset that leaves the random stream running
# costs 3 ms. So a member's evaluation episodes share four seeded slots.
EVALUATION_SLOTS = 4


def env_ids() -> list[str]:
    """Every id of this family."""
    return [f"atari/{name}" for name in GAMES]


def describe(env_id: str) -> EnvironmentSpec:
    """The description of ``atari/<Game>``; no emulator is started.

    Normalised scores are of random and human play; the 46 games of RL Unplugged have another scale as well,
    from random play to an online DQN. Carnival and Pooyan have neither: no score of random play is published
    for them.
    """
    name = env_id.removeprefix("atari/")
    game = GAMES[name]
    reference: ScoreReference | None = None
    others: tuple[ScoreReference, ...] = ()
    if game.random_score is not None and game.human_score is not None:
        reference = ScoreReference(
            low=game.random_score,
            low_name="random",
            high=game.human_score,
            high_name="human",
            source="google-deepmind/dqn_zoo atari_data.py",
        )
    if game.random_score is not None and name in ONLINE_DQN:
        others = (
            ScoreReference(
                low=game.random_score,
                low_name="random",
                high=ONLINE_DQN[name],
                high_name="online-DQN",
                source=ONLINE_DQN_SOURCE,
            ),
        )
    return EnvironmentSpec(
        env_id=env_id,
        observation_shape=(FRAME_STACK, 84, 84),
        observation_dtype="uint8",
        num_actions=game.num_actions,
        frame_stack=FRAME_STACK,
        evaluation_slots=EVALUATION_SLOTS,
        score_reference=reference,
        other_score_references=others,
        requires=" ".join(REQUIRES),
    )


class AtariVector:
    """``num_envs`` emulators in C++ threads; uint8 observations ``[B, 4, 84, 84]``, oldest frame first.

    Protocol: Machado et al. 2018 (sticky actions with probability 0.25 at every emulator frame, no life-loss
    termination) and Dopamine's preprocessing. A stack begins with three black frames.
    """

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 1) -> None:
        self.spec = describe(env_id)
        self.num_envs = num_envs
        from ale_py.vector_env import AtariVectorEnv

        self._emulators = AtariVectorEnv(
            GAMES[env_id.removeprefix("atari/")].rom,
            num_envs,
            batch_size=0,
            num_threads=num_threads,
            thread_affinity_offset=-1,
            max_num_frames_per_episode=MAX_FRAMES,
            repeat_action_probability=STICKY_PROBABILITY,  # ale-py's default here is 0
            full_action_space=False,
            continuous=False,
            # "NextStep" shows an episode's last frame at its end; "SameStep" would replace it by the next
            # episode's first, and this interface does not accept "Disabled". The reset of ``restart``
            # replaces the automatic one: no second reset follows it.
            autoreset_mode="NextStep",
            img_height=84,
            img_width=84,
            grayscale=True,
            stack_num=FRAME_STACK,
            frameskip=FRAME_SKIP,
            maxpool=True,
            # Machado et al. use sticky actions instead of no-op starts; ale-py's default is 30.
            noop_max=0,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,  # ale-py's default is True
            use_fire_reset=False,  # ale-py's default is True
        )
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.reset``. Costs 65 ms a slot."""
        self._ended[:] = False
        seeds = check_seeds(seeds, self.num_envs)
        observation: npt.NDArray[np.generic] = self._emulators.reset(seed=seeds)[0]
        return observation

    def restart(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
        """See ``VectorEnvironment.restart``."""
        self._ended &= ~which
        observation: npt.NDArray[np.generic] = self._emulators.reset(
            seed=None, options={"reset_mask": np.asarray(which, np.bool_)}
        )[0]
        return observation

    def step(self, actions: npt.NDArray[np.int64]) -> StepResult:
        """See ``VectorEnvironment.step``."""
        observation, reward, terminated, truncated, _ = self._emulators.step(np.asarray(actions, np.int64))
        # The emulators of ended slots have begun another episode by themselves, which nobody plays.
        playing = ~self._ended
        terminated, truncated = terminated & playing, truncated & playing
        self._ended |= terminated | truncated
        return observation, np.where(playing, reward, 0).astype(np.float32), terminated, truncated

    def extras(self) -> dict[str, npt.NDArray[Any]]:
        """See ``VectorEnvironment.extras``."""
        return {}

    def close(self) -> None:
        """See ``VectorEnvironment.close``."""
        self._emulators.close()


FAMILY = Family(
    name="atari",
    title="Atari 2600, 84×84 grey, four frames, sticky actions .25",
    example="atari/Asterix",
    extra=None,
    requires=REQUIRES,
    modules=("gymnasium", "ale_py"),
    env_ids=env_ids,
    describe=describe,
    make=AtariVector,
)
