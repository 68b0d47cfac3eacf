"""Atari against the bare emulator, stepped beside it."""

import numpy as np
from slots import check_dataset, roll

from agents.environments import atari, describe, make
from agents.environments.atari_games import GAMES
from agents.environments.atari_scores import ONLINE_DQN, RL_UNPLUGGED_GAMES, TUNING_GAMES


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
    shown = roll(make("atari/Breakout", 1), [1], np.zeros((210, 1), np.int64))
    assert not shown["terminated"].any()
    assert np.flatnonzero(shown["truncated"][:, 0]).tolist() == [99, 199]


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


def test_a_dataset_holds_what_was_shown(tmp_path):
    check_dataset("atari/Asterix", tmp_path, 12)


def test_rl_unpluggeds_46_games_are_there():
    assert len(RL_UNPLUGGED_GAMES) == len(set(RL_UNPLUGGED_GAMES)) == 46
    assert set(RL_UNPLUGGED_GAMES) <= set(GAMES)
    assert len(TUNING_GAMES) == 9
    assert set(TUNING_GAMES) <= set(RL_UNPLUGGED_GAMES)
    # Of Dopamine's 60 games these 14 are not in RL Unplugged.
    left_out = (
        "AirRaid Asteroids Berzerk Bowling ElevatorAction JourneyEscape MontezumaRevenge Pitfall PrivateEye"
    )
    left_out += " Skiing Solaris Tennis Tutankham Venture"
    assert not set(RL_UNPLUGGED_GAMES) & set(left_out.split())


def test_a_second_scale_runs_from_random_play_to_an_online_dqn():
    without = {"Carnival", "Pooyan"}
    for name, game in GAMES.items():
        spec = describe(f"atari/{name}")
        if name not in RL_UNPLUGGED_GAMES or name in without:
            assert spec.other_score_references == ()
            continue
        (scale,) = spec.other_score_references
        assert (scale.scale_name, scale.low) == ("online-DQN-normalised", game.random_score)
        assert scale.low < scale.high == ONLINE_DQN[name]
        assert "training returns, iterations 189-198 of 5 runs" in scale.source
    assert {
        name for name in RL_UNPLUGGED_GAMES if describe(f"atari/{name}").score_reference is None
    } == without


def test_an_online_dqns_score_is_the_mean_of_its_last_ten_iterations():
    # The Values of Iteration 189 to 198 of Agent "DQN" in google/dopamine baselines/atari/data/pong.json.
    runs = [
        [17.524272, 17.679612, 17.847619, 17.588235, 17.699029, 17.485437, 16.960784, 17.186275, 17.330097, 17.460784],
        [16.776596, 16.8125, 17.166667, 16.894737, 16.276596, 16.694737, 17.041667, 16.463158, 16.157895, 16.43617],
        [16.15, 16.14, 15.94, 16.11, 15.6, 15.920792, 16.621359, 16.480392, 16.692308, 17.152381],
        [11.22619, 6.146667, 3.728571, 6.3625, 11.662791, 9.4, 4.030769, 11.197531, 12.566265, 13.023256],
        [18.688, 18.688, 18.52459, 18.577236, 18.836066, 18.672131, 18.845528, 18.739837, 18.888, 18.976],
    ]  # fmt: skip
    assert np.shape(runs) == (5, 10)
    assert ONLINE_DQN["Pong"] == round(float(np.mean(runs)), 2)
