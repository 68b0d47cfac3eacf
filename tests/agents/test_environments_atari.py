"""Atari against the bare emulator, stepped beside it."""

import numpy as np
from slots import roll

from agents.environments import atari, describe, make
from agents.environments.atari_games import GAMES


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
