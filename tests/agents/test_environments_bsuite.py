"""bsuite in batches, beside real bsuite environments with the same seeds, bit for bit."""

import numpy as np
import pytest
from bsuite import sweep as bsuite_sweep
from bsuite.environments.cartpole import Cartpole
from bsuite.environments.catch import Catch
from bsuite.environments.memory_chain import MemoryChain
from bsuite.environments.mountain_car import MountainCar

from agents.environments import describe, env_ids, make

BUILDERS = {
    "bsuite/catch/0": Catch,
    "bsuite/cartpole/3": Cartpole,
    "bsuite/mountain_car/19": MountainCar,
    "bsuite/memory_len/0": lambda seed: MemoryChain(memory_length=1, seed=seed),
    "bsuite/memory_len/4": lambda seed: MemoryChain(memory_length=5, seed=seed),
    "bsuite/memory_len/12": lambda seed: MemoryChain(memory_length=17, seed=seed),
    "bsuite/memory_len/22": lambda seed: MemoryChain(memory_length=100, seed=seed),
}
SEEDS = np.array([0, 1, 7, 123456789, 2**31 - 1, *range(100, 120)])


def steer(env_id, observation, draws):
    """Actions that make long and varied episodes: balancing, rocking, or as chance has it."""
    count = describe(env_id).num_actions
    action = draws.integers(count, size=len(observation))
    skilled = draws.random(len(observation)) < np.linspace(0, 1, len(observation))
    if "cartpole" in env_id:
        # Push to where the pole falls, with regard to the cart.
        lean = (
            observation[:, 2] + 0.3 * observation[:, 4] + 0.05 * observation[:, 0] + 0.1 * observation[:, 1]
        )
        action = np.where(skilled, 1 + np.sign(lean).astype(int), action)
    if "mountain_car" in env_id:
        action = np.where(skilled, 1 + np.sign(observation[:, 1]).astype(int), action)
    return action


@pytest.mark.parametrize("env_id", BUILDERS)
def test_slots_equal_bsuite_built_with_the_same_seed(env_id):
    theirs = [BUILDERS[env_id](seed=int(seed)) for seed in SEEDS]
    ours, spec = make(env_id, len(SEEDS)), describe(env_id)
    observation = ours.reset(SEEDS)
    assert observation.dtype == spec.observation_dtype == "float32"
    assert observation.shape == (len(SEEDS), *spec.observation_shape)
    assert theirs[0].action_spec().num_values == spec.num_actions
    shown = [environment.reset().observation.reshape(-1) for environment in theirs]
    np.testing.assert_array_equal(observation, shown)
    draws, ends = np.random.default_rng(0), 0
    for _ in range(2200 if describe(env_id).num_actions == 3 else 400):
        action = steer(env_id, observation, draws)
        observation, reward, terminated, truncated = ours.step(action)
        steps = [environment.step(int(a)) for environment, a in zip(theirs, action, strict=True)]
        np.testing.assert_array_equal(observation, [step.observation.reshape(-1) for step in steps])
        np.testing.assert_array_equal(reward, [step.reward for step in steps])
        np.testing.assert_array_equal(terminated, [step.last() and step.discount == 0 for step in steps])
        assert not truncated.any()
        if terminated.any():
            ends += terminated.sum()
            observation = ours.restart(terminated)
            for slot in np.flatnonzero(terminated):
                first = theirs[slot].reset().observation.reshape(-1)
                np.testing.assert_array_equal(observation[slot], first)
    assert ends > 0


def test_a_seeded_slot_begins_again_like_a_new_bsuite_environment():
    # Seeding draws what bsuite's constructor draws, which only the memory chain does.
    for env_id in ("bsuite/memory_len/2", "bsuite/cartpole/0"):
        vector = make(env_id, 5)
        first = vector.reset(np.arange(5))
        for _ in range(30):
            _, _, terminated, _ = vector.step(np.zeros(5, np.int64))
            vector.restart(terminated)
        np.testing.assert_array_equal(vector.reset(np.arange(5)), first)


def test_the_ids_are_bsuites_settings():
    ours = {env_id.removeprefix("bsuite/") for env_id in env_ids() if env_id.startswith("bsuite/")}
    names = ("catch", "cartpole", "mountain_car", "memory_len")
    assert ours == {name for name in bsuite_sweep.SETTINGS if name.split("/")[0] in names}


def test_an_episode_of_memory_len_has_its_settings_length():
    for number, length in ((0, 1), (9, 10), (10, 12), (22, 100)):
        assert bsuite_sweep.SETTINGS[f"memory_len/{number}"] == {"memory_length": length}
        vector = make(f"bsuite/memory_len/{number}", 1)
        bit = vector.reset(np.array([5]))[0, 2]
        steps = [vector.step(np.array([int(bit > 0)])) for _ in range(length + 1)]
        assert [bool(terminated[0]) for _, _, terminated, _ in steps] == [False] * length + [True]
        assert steps[-1][1][0] == 1, "the bit that was shown is the right answer"


def test_mountain_car_ends_by_termination_at_its_thousandth_step():
    vector = make("bsuite/mountain_car/0", 1)
    vector.reset(np.array([0]))
    ends = [vector.step(np.array([1]))[2:] for _ in range(1000)]
    assert [bool(terminated[0]) for terminated, _ in ends] == [False] * 999 + [True]
    assert not any(truncated[0] for _, truncated in ends)


def test_an_ended_slot_stands_still_until_it_is_restarted():
    vector = make("bsuite/catch/0", 2)
    vector.reset(np.array([3, 4]))
    for _ in range(9):
        observation, reward, terminated, _ = vector.step(np.array([1, 1]))
    assert terminated.all()
    assert (np.abs(reward) == 1).all()
    stood, reward, terminated, truncated = vector.step(np.array([0, 0]))
    np.testing.assert_array_equal(stood, observation)
    assert not reward.any()
    assert not (terminated | truncated).any()
    restarted = vector.restart(np.array([True, False]))
    assert restarted[0].reshape(10, 5)[0].sum() == 1
    np.testing.assert_array_equal(restarted[1], observation[1])


def test_the_random_reference_of_catch_is_the_uniform_policys_expected_return():
    # The paddle's distribution after nine uniform moves on five columns; the ball's column is uniform.
    move = np.zeros((5, 5))
    for column in range(5):
        for step in (-1, 0, 1):
            move[column, np.clip(column + step, 0, 4)] += 1 / 3
    paddle = np.eye(5)[2] @ np.linalg.matrix_power(move, 9)
    caught = (paddle * 0.2).sum()
    assert describe("bsuite/catch/0").score_reference.low == pytest.approx(2 * caught - 1)


def test_memory_is_normalised_by_guessing():
    np.testing.assert_array_equal(describe("bsuite/memory_len/3").normalise(np.array([0.0, 1.0])), [0, 1])
