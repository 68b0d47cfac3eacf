"""Environments against the real emulator and the real bsuite, stepped beside them."""

import subprocess
import sys

import numpy as np
import pytest
from bsuite.environments.cartpole import Cartpole
from bsuite.environments.catch import Catch
from bsuite.environments.mountain_car import MountainCar

from agents.environments import atari, describe, env_ids, make
from agents.environments.atari_games import GAMES
from agents.errors import AgentError, EnvironmentUnavailable

BSUITE = {"bsuite/catch/0": Catch, "bsuite/cartpole/3": Cartpole, "bsuite/mountain_car/19": MountainCar}


def roll(env_id, seeds, actions, **options):
    """What ``actions`` [T, B] give, ended slots restarted: four arrays [T, B, ...] as from ``step``."""
    vector = make(env_id, len(seeds), **options)
    vector.reset(np.array(seeds))
    rows = []
    for action in actions:
        observation, reward, terminated, truncated = vector.step(action)
        rows.append((observation, reward, terminated, truncated))
        if (terminated | truncated).any():
            vector.restart(terminated | truncated)
    vector.close()
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("env_id", BSUITE)
def test_bsuite_slots_equal_bsuite_built_with_the_same_seed(env_id):
    seeds = np.array([0, 1, 7, 123456789, 2**31 - 1, *range(100, 120)])
    theirs = [BSUITE[env_id](seed=int(seed)) for seed in seeds]
    ours = make(env_id, len(seeds))
    spec = describe(env_id)
    observation = ours.reset(seeds)
    assert observation.dtype == spec.observation_dtype == "float32"
    assert observation.shape == (len(seeds), *spec.observation_shape)
    steps = [environment.reset() for environment in theirs]
    np.testing.assert_array_equal(observation, [step.observation.reshape(-1) for step in steps])
    draws, ends = np.random.default_rng(0), 0
    for _ in range(300):
        action = draws.integers(spec.num_actions, size=len(seeds))
        observation, reward, terminated, truncated = ours.step(action)
        steps = [environment.step(int(a)) for environment, a in zip(theirs, action, strict=True)]
        np.testing.assert_array_equal(observation, [step.observation.reshape(-1) for step in steps])
        np.testing.assert_array_equal(reward, [step.reward for step in steps])
        np.testing.assert_array_equal(terminated, [step.last() for step in steps])
        assert not truncated.any()
        if terminated.any():
            ends += terminated.sum()
            observation = ours.restart(terminated)
            for slot in np.flatnonzero(terminated):
                first = theirs[slot].reset().observation.reshape(-1)
                np.testing.assert_array_equal(observation[slot], first)
    assert ends > 0 or env_id.startswith("bsuite/mountain_car")


def test_mountain_car_ends_by_termination_at_its_thousandth_step():
    vector = make("bsuite/mountain_car/0", 1)
    vector.reset(np.array([0]))
    ends = [vector.step(np.array([1]))[2:] for _ in range(1000)]
    assert [bool(terminated[0]) for terminated, _ in ends] == [False] * 999 + [True]
    assert not any(truncated[0] for _, truncated in ends)


def test_an_ended_bsuite_slot_stands_still_until_it_is_restarted():
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


@pytest.mark.parametrize("env_id", ["bsuite/catch/0", "atari/Asterix"])
def test_what_a_slot_shows_depends_on_its_own_seed_and_actions_only(env_id):
    actions = np.random.default_rng(1).integers(3, size=(420, 3))
    together = roll(env_id, [5, 6, 7], actions)
    assert together[2].any(), "no episode ended, so restarts were not compared"
    order = [2, 0, 1]
    for one, other in zip(together, roll(env_id, [7, 5, 6], actions[:, order]), strict=True):
        np.testing.assert_array_equal(one[:, order], other)
    for one, other in zip(together, roll(env_id, [6], actions[:, [1]], num_threads=2), strict=True):
        np.testing.assert_array_equal(one[:, [1]], other)
    other_seed = roll(env_id, [8], actions[:, [1]])
    assert (other_seed[0] != together[0][:, [1]]).any()


def test_atari_plays_as_the_bare_emulator_with_sticky_actions_at_every_frame():
    import ale_py

    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 11)
    emulator.setFloat("repeat_action_probability", 0.25)
    emulator.setInt("frame_skip", 1)
    emulator.loadROM(ale_py.roms.get_rom_path("asterix"))
    emulator.reset_game()
    minimal = emulator.getMinimalActionSet()
    actions = np.random.default_rng(2).integers(len(minimal), size=600)
    vector = make("atari/Asterix", 1)
    vector.reset(np.array([11]))
    scored = 0.0
    for number, action in enumerate(actions):
        expected = 0
        for _ in range(4):
            if not emulator.game_over():
                expected += emulator.act(minimal[action])
        _, reward, terminated, _ = vector.step(np.array([action]))
        assert reward[0] == expected, f"step {number}"
        assert terminated[0] == emulator.game_over(), f"step {number}"
        scored += reward[0]
        if terminated[0]:
            break
    assert terminated[0]
    assert scored >= 50, "rewards are not clipped: Asterix pays 50 a helmet"


def test_atari_stacks_begin_black_and_an_episode_ends_on_its_own_last_frame():
    vector = make("atari/Asterix", 2)
    first = vector.reset(np.array([1, 2]))
    assert first.shape == (2, 4, 84, 84)
    assert first.dtype == np.uint8
    assert not first[:, :3].any()
    assert first[:, 3].any()
    previous, actions = first, np.random.default_rng(3).integers(9, size=(600, 2))
    for action in actions:
        observation, _, terminated, _ = vector.step(action)
        # Oldest frame first: what was newest is now one place back. At an episode's end too.
        np.testing.assert_array_equal(observation[:, :3], previous[:, 1:])
        previous = observation
        if terminated.any():
            break
    assert terminated.sum() == 1
    slot = int(np.argmax(terminated))
    _, reward, again, truncated = vector.step(np.zeros(2, np.int64))
    assert reward[slot] == 0
    assert not again[slot]
    assert not truncated[slot]
    restarted = vector.restart(terminated)
    assert not restarted[slot, :3].any()
    assert restarted[slot, 3].any()
    following, *_ = vector.step(np.zeros(2, np.int64))
    # No second reset follows the first: the stack goes on from the restart.
    np.testing.assert_array_equal(following[slot, 2], restarted[slot, 3])


def test_atari_truncates_at_its_frame_limit(monkeypatch):
    monkeypatch.setattr(atari, "MAX_FRAMES", 400)
    # Breakout waits for the fire button, so it would go on for ever.
    _, _, terminated, truncated = roll("atari/Breakout", [1], np.zeros((210, 1), np.int64))
    assert not terminated.any()
    assert np.flatnonzero(truncated[:, 0]).tolist() == [99, 199]


def test_the_frame_limit_is_thirty_minutes():
    assert atari.MAX_FRAMES == 30 * 60 * 60


def test_every_game_has_the_action_count_of_its_rom():
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    multiplayer = {"combat", "joust", "maze_craze", "warlords"}
    assert {game.rom for game in GAMES.values()} == set(ale_py.roms.get_all_rom_ids()) - multiplayer
    for name, game in GAMES.items():
        emulator = ale_py.ALEInterface()
        emulator.loadROM(ale_py.roms.get_rom_path(game.rom))
        assert len(emulator.getMinimalActionSet()) == game.num_actions, name
        assert name == game.rom.title().replace("_", "")


def test_scores_are_put_on_the_scale_of_their_references():
    assert sum(game.human_score is not None for game in GAMES.values()) == 57
    asterix = describe("atari/Asterix")
    assert asterix.score_reference.scale_name == "human-normalised"
    np.testing.assert_allclose(asterix.normalise(np.array([210.0, 8503.3, 4356.65])), [0, 1, 0.5])
    assert describe("atari/Pooyan").normalise(np.zeros(2)) is None


def test_the_random_reference_of_catch_is_the_uniform_policys_expected_return():
    # The paddle's distribution after nine uniform moves on five columns; the ball's column is uniform.
    move = np.zeros((5, 5))
    for column in range(5):
        for step in (-1, 0, 1):
            move[column, np.clip(column + step, 0, 4)] += 1 / 3
    paddle = np.eye(5)[2] @ np.linalg.matrix_power(move, 9)
    caught = (paddle * 0.2).sum()
    assert describe("bsuite/catch/0").score_reference.low == pytest.approx(2 * caught - 1)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("atari/asterix", "atari/Asterix"), ("bsuite/cach/0", "bsuite/catch/0"), ("Asterix", "atari/Asterix")],
)
def test_an_unknown_environment_is_refused_with_the_nearest_known(wrong, meant):
    with pytest.raises(EnvironmentUnavailable, match=f"unknown environment '{wrong}'.*'{meant}'"):
        make(wrong, 1)
    assert issubclass(EnvironmentUnavailable, AgentError)


def test_an_unknown_environment_without_a_neighbour_says_what_is_allowed():
    with pytest.raises(EnvironmentUnavailable, match=r"Families: .*such as bsuite/catch/0.*sweep data envs"):
        describe("zzz")


@pytest.mark.parametrize(
    ("env_id", "module", "remedy"),
    [
        ("bsuite/catch/0", "bsuite", "pip install 'bsuite"),
        ("atari/Pong", "ale_py.vector_env", r"pip install 'gymnasium\[atari\].*'ale-py"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, env_id, module, remedy):
    monkeypatch.setitem(sys.modules, module, None)
    describe(env_id)
    with pytest.raises(EnvironmentUnavailable, match=f"{env_id}.*{remedy}"):
        make(env_id, 1)


@pytest.mark.parametrize("seeds", [[1], [1, -1], [1, 2**31]])
@pytest.mark.parametrize("env_id", ["bsuite/catch/0", "atari/Pong"])
def test_seeds_that_an_emulator_would_misread_are_refused(env_id, seeds):
    vector = make(env_id, 2)
    with pytest.raises(ValueError, match=r"seeds must be \[2\] integers in \[0, 2147483648\)"):
        vector.reset(np.array(seeds))


def test_zero_slots_are_refused():
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        make("bsuite/catch/0", 0)


def test_describing_every_environment_starts_nothing():
    code = (
        "import sys; from agents.environments import describe, env_ids; [describe(e) for e in env_ids()];"
        "print(sorted({'torch', 'bsuite', 'ale_py', 'gymnasium', 'pandas'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert len(env_ids()) == 60 + 104
