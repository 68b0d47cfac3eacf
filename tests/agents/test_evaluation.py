"""Evaluation against policies whose return is known, and against bsuite stepped by hand."""

import numpy as np
import pytest
from bsuite.environments.catch import Catch

from agents.environments import ScoreReference, atari, describe, make
from agents.environments.perturbations import PerturbedVector
from agents.evaluation import evaluate, make_evaluation_environment
from agents.randomness import generator

CATCH = "bsuite/catch/0"
ASTERIX = "atari/Asterix"


def follow_the_ball(observations, sign=1):
    """Values [N, S, 3] whose greedy action moves the paddle towards the ball (sign 1) or away from it."""
    board = observations.reshape(*observations.shape[:2], 10, 5)
    ball, paddle = board[:, :, :9].sum(2).argmax(-1), board[:, :, 9].argmax(-1)
    return np.eye(3)[np.clip(sign * np.sign(ball - paddle) + 1, 0, 2).astype(int)]


def linear(weights):
    """Members of linear value functions, each with weights [50, 3]."""
    return lambda observations: np.einsum("nsd,nda->nsa", observations, weights)


def play(q_values, seeds, *, env_id=CATCH, step=100, episodes=20, epsilon=0.0, max_steps=27000, **options):
    return evaluate(
        q_values, env_id, seeds, step=step, episodes=episodes, epsilon=epsilon, max_steps=max_steps, **options
    )


def test_a_perfect_policy_scores_one_on_both_scales():
    result = play(follow_the_ball, [0, 1, 2])
    np.testing.assert_array_equal(result.returns, np.ones((3, 20)))
    np.testing.assert_array_equal(result.lengths, np.full((3, 20), 9))
    np.testing.assert_allclose(result.returns_normalized, 1)
    assert result.normalization == "optimal-normalised"
    assert result.returns.dtype == np.float64
    assert result.lengths.dtype == np.int64


def test_a_uniform_policy_scores_the_closed_form_on_average():
    result = play(lambda observations: np.zeros((*observations.shape[:2], 3)), range(50), epsilon=1.0)
    # Return 1 with probability 1/5, else -1: mean -0.6, standard deviation 0.8, 1000 episodes.
    assert result.returns.mean() == pytest.approx(-0.6, abs=4 * 0.8 / np.sqrt(1000))
    assert result.returns_normalized.mean() == pytest.approx(0, abs=0.07)


def test_epsilon_is_the_probability_of_a_uniform_action():
    epsilon, seen = 0.4, []

    def record(observations):
        board = observations.reshape(*observations.shape[:2], 10, 5)
        seen.append(board[:, :, 9].argmax(-1))
        return np.tile([0.0, 1.0, 0.0], (*observations.shape[:2], 1))

    play(record, range(40), epsilon=epsilon)
    paddle = np.stack(seen)
    # The greedy action stays, so the first move is left or right with probability 2/3 epsilon: 800 draws.
    moved = (paddle[1] != paddle[0]).mean()
    assert moved == pytest.approx(epsilon * 2 / 3, abs=4 * np.sqrt(0.2 / 800))


def test_episodes_equal_bsuite_stepped_by_hand_with_the_trials_seeds():
    weights = np.random.default_rng(0).normal(size=(2, 50, 3))
    result = play(linear(weights), [4, 9], step=300, episodes=7)
    for member, seed in enumerate([4, 9]):
        seeds = generator(seed, "evaluation", 300, "environment").integers(2**31, size=7)
        for episode, environment_seed in enumerate(seeds):
            environment = Catch(seed=int(environment_seed))
            timestep, total = environment.reset(), 0.0
            while not timestep.last():
                timestep = environment.step(
                    int((timestep.observation.reshape(-1) @ weights[member]).argmax())
                )
                total += timestep.reward
            assert result.returns[member, episode] == total


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_a_members_episodes_do_not_depend_on_its_pack(epsilon):
    weights = np.random.default_rng(1).normal(size=(5, 50, 3))
    together = play(linear(weights), [10, 11, 12, 13, 14], epsilon=epsilon)
    alone = play(linear(weights[3:4]), [13], epsilon=epsilon)
    np.testing.assert_array_equal(together.returns[3], alone.returns[0])
    swapped = play(linear(weights[[3, 0]]), [13, 10], epsilon=epsilon)
    np.testing.assert_array_equal(swapped.returns, together.returns[[3, 0]])


def test_seed_and_step_choose_the_episodes():
    weights = np.random.default_rng(2).normal(size=(1, 50, 3))
    base = play(linear(weights), [0], episodes=60).returns
    np.testing.assert_array_equal(base, play(linear(weights), [0], episodes=60).returns)
    assert (base != play(linear(weights), [1], episodes=60).returns).any()
    assert (base != play(linear(weights), [0], episodes=60, step=200).returns).any()


def test_long_episodes_are_cut_and_count_what_they_have():
    result = play(
        lambda o: np.tile([0.0, 1.0, 0.0], (*o.shape[:2], 1)),
        [0],
        env_id="bsuite/mountain_car/0",
        max_steps=37,
    )
    np.testing.assert_array_equal(result.returns, np.full((1, 20), -37.0))
    np.testing.assert_array_equal(result.lengths, np.full((1, 20), 37))
    assert result.returns_normalized is None
    assert result.normalization is None


def test_a_kept_environment_gives_the_same_results_as_a_new_one():
    weights = np.random.default_rng(3).normal(size=(2, 50, 3))
    kept = make_evaluation_environment(CATCH, members=2, episodes=20)
    for step in (100, 200):
        np.testing.assert_array_equal(
            play(linear(weights), [5, 6], step=step, environment=kept).returns,
            play(linear(weights), [5, 6], step=step).returns,
        )


def prefer(action):
    def q_values(observations):
        return np.tile(np.eye(9)[action], (*observations.shape[:2], 1))

    return q_values


def test_atari_members_play_their_episodes_one_after_another_and_independently():
    options = {"env_id": ASTERIX, "episodes": 6, "epsilon": 0.5, "max_steps": 60}
    environment = make_evaluation_environment(ASTERIX, members=2, episodes=6)
    assert environment.num_envs == 2 * atari.EVALUATION_SLOTS
    together = play(prefer(3), [20, 21], environment=environment, **options)
    environment.close()
    alone = play(prefer(3), [21], **options)
    np.testing.assert_array_equal(together.returns[1], alone.returns[0])
    np.testing.assert_array_equal(together.lengths, np.full((2, 6), 60))
    assert together.returns.sum() > 0
    np.testing.assert_allclose(together.returns_normalized, (together.returns - 210) / (8503.3 - 210))
    assert together.normalization == "human-normalised"
    # RL Unplugged's scale, from dopamine's mean return of an online DQN on Asterix.
    np.testing.assert_allclose(
        together.other_scales["online-DQN-normalised"], (together.returns - 210) / (2734.56 - 210)
    )


def test_whole_atari_episodes_equal_the_environment_stepped_by_hand(monkeypatch):
    monkeypatch.setattr(atari, "EVALUATION_SLOTS", 1)
    result = play(prefer(0), [3], env_id=ASTERIX, episodes=2, step=7)
    by_hand = make(ASTERIX, 1)
    by_hand.reset(generator(3, "evaluation", 7, "environment").integers(2**31, size=1))
    for episode in range(2):
        total, steps, ended = 0.0, 0, False
        while not ended:
            _, reward, terminated, truncated = by_hand.step(np.zeros(1, np.int64))
            total, steps, ended = total + reward[0], steps + 1, bool(terminated[0] or truncated[0])
        by_hand.restart(np.ones(1, bool))
        assert (result.returns[0, episode], result.lengths[0, episode]) == (total, steps)


@pytest.mark.parametrize(
    "wrong", [{"episodes": 0}, {"epsilon": 1.5}, {"max_steps": 0}], ids=["episodes", "epsilon", "max_steps"]
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(
        ValueError, match="evaluate needs at least one seed, episode and step, and epsilon in"
    ):
        play(follow_the_ball, [0], **wrong)


def test_an_environment_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"has 20 slots .* 2 members with 20 episodes need 40"):
        play(follow_the_ball, [0, 1], environment=make_evaluation_environment(CATCH, 1, 20))


def valued(value, sign=1):
    """Follow the ball; the action taken is worth ``value``."""
    return lambda observations: follow_the_ball(observations, sign) + value - 1


@pytest.mark.parametrize("sign", [1, -1])
def test_the_value_bias_is_the_first_value_less_the_discounted_return(sign):
    # Catch pays ±1 at its ninth step: γ⁸ of it at the start.
    result = play(valued(0.7, sign), [0, 1], discounts=[0.9, 0.5])
    np.testing.assert_allclose(result.first_values, 0.7)
    obtained = result.returns * np.array([[0.9**8], [0.5**8]])
    np.testing.assert_allclose(result.discounted_returns, obtained)
    np.testing.assert_allclose(result.value_bias, (0.7 - obtained).mean(1))


def test_the_value_bias_is_of_the_action_taken_and_of_rewards_as_learned():
    options = {"env_id": "bsuite/mountain_car/0", "episodes": 4, "max_steps": 3}
    ranked = np.array([5.0, 1.0, 9.0])
    result = play(
        lambda o: np.tile(ranked, (*o.shape[:2], 1)), [0], discounts=[0.5], reward_clip=0.1, **options
    )
    np.testing.assert_allclose(result.first_values, 9)
    np.testing.assert_allclose(result.discounted_returns, -0.1 * (1 + 0.5 + 0.25))
    np.testing.assert_allclose(result.returns, -3)
    explored = play(lambda o: np.tile(ranked, (*o.shape[:2], 1)), range(20), epsilon=1.0, **options)
    assert set(np.unique(explored.first_values)) == {1.0, 5.0, 9.0}


def test_later_episodes_of_a_slot_have_first_values_of_their_own(monkeypatch):
    monkeypatch.setattr(atari, "EVALUATION_SLOTS", 1)
    counter = iter(range(10_000))
    result = play(lambda o: prefer(0)(o) + next(counter), [3], env_id=ASTERIX, episodes=2, max_steps=10)
    # Values grow by 1 a step: the second episode begins at the eleventh.
    np.testing.assert_array_equal(result.first_values, [[1, 11]])


def test_returns_are_given_on_every_scale_that_is_known(monkeypatch):
    spec = describe(CATCH)
    other = ScoreReference(low=-1, low_name="worst", high=3, high_name="online DQN", source="this test")
    monkeypatch.setattr(
        "agents.evaluation.describe", lambda _: spec.model_copy(update={"other_score_references": (other,)})
    )
    result = play(follow_the_ball, [0])
    np.testing.assert_allclose(result.other_scales["online DQN-normalised"], 0.5)
    np.testing.assert_allclose(result.returns_normalized, 1)


def test_a_disturbed_evaluation_plays_the_same_episodes_and_depends_on_no_pack():
    weights = np.random.default_rng(4).normal(size=(3, 50, 3))

    def disturbed(members, seeds):
        environment = make_evaluation_environment(CATCH, members=len(members), episodes=20)
        noisy = PerturbedVector(environment, "noise", 0.4)
        return play(linear(weights[members]), seeds, environment=noisy).returns

    clean, together = play(linear(weights), [5, 6, 7]).returns, disturbed([0, 1, 2], [5, 6, 7])
    assert (clean != together).any()
    np.testing.assert_array_equal(disturbed([1], [6])[0], together[1])
    # So little noise that it changes nothing: the balls fall in the same columns.
    environment = make_evaluation_environment(CATCH, members=3, episodes=20)
    faint = PerturbedVector(environment, "noise", 1e-12)
    np.testing.assert_array_equal(play(linear(weights), [5, 6, 7], environment=faint).returns, clean)
