"""Who acts: frozen policies, continuous actions, and agents that an environment cannot have."""

import numpy as np
import pytest
from pydantic import ValidationError

from agents.collect import CollectSpec, FrozenPolicy, collect
from agents.environments import describe, make
from agents.errors import AgentError
from agents.networks import build_network
from agents.randomness import generator
from agents.spec import LearnerShape

HOPPER = CollectSpec(env="mujoco/Hopper", agent="random", steps=600, num_envs=3)
PLAYED = CollectSpec(env="bsuite/catch/0", agent="policy", policy="weights", steps=1200, num_envs=8)


def policy(env="bsuite/catch/0", **shape):
    """A network with fresh weights: what it would do is worked out independently below."""
    about = describe(env)
    form = LearnerShape(
        observation_shape=about.observation_shape,
        observation_dtype=about.observation_dtype,
        num_actions=about.num_actions,
        **{"hidden_sizes": (16, 8), **shape},
    )
    fresh = build_network(form).init(generator(2, "init"))
    # Centred and large, so that what is seen decides and not the last layer's bias.
    params = {name: 3 * (array - array.mean(0)) for name, array in fresh.items()}
    return FrozenPolicy(form, params, {"note": "fresh"})


def greedy(frozen, observations):
    """Actions of a ReLU network, by numpy in double precision."""
    x = observations.reshape(len(observations), -1).astype(np.float64)
    for layer in range(len(frozen.shape.hidden_sizes)):
        x = np.maximum(x @ frozen.params[f"{layer}.weight"].T + frozen.params[f"{layer}.bias"], 0)
    last = len(frozen.shape.hidden_sizes)
    return (x @ frozen.params[f"{last}.weight"].T + frozen.params[f"{last}.bias"]).argmax(1)


def test_a_frozen_policy_plays_greedily_and_is_recorded(tmp_path):
    frozen = policy()
    dataset = collect(PLAYED, tmp_path / "one", policy=frozen)
    seen = dataset.observations(np.arange(len(dataset)))
    np.testing.assert_array_equal(dataset.arrays["action"], greedy(frozen, seen))
    assert len(set(dataset.arrays["action"].tolist())) > 1
    record = dataset.manifest.provenance
    assert record["policy"] == {"note": "fresh", "weights_sha256": frozen.weights_sha256}
    assert CollectSpec.model_validate(record["recipe"]) == PLAYED
    assert "checkpoint" not in dataset.arrays
    assert collect(PLAYED, tmp_path / "two", policy=frozen).fingerprint == dataset.fingerprint


def test_images_are_scaled_for_a_frozen_policy_as_they_are_for_a_learner(tmp_path):
    frozen = policy("atari/Pong", hidden_sizes=(1,))
    # The mean pixel, in [0, 1], against the constant 1: action 1, unless pixels are taken to be in [0, 255].
    weights = {name: np.zeros_like(array) for name, array in frozen.params.items()}
    weights["0.weight"][:] = 1 / weights["0.weight"].size
    weights["1.weight"][0], weights["1.bias"][1] = 1, 1
    spec = PLAYED.model_copy(update={"env": "atari/Pong", "steps": 40, "num_envs": 2})
    dataset = collect(spec, tmp_path / "pong", policy=FrozenPolicy(frozen.shape, weights))
    assert set(dataset.arrays["action"].tolist()) == {1}
    assert dataset.observations(np.arange(40)).mean(axis=(1, 2, 3)).min() > 1


def test_with_epsilon_the_frozen_policy_explores_and_records_what_it_did(tmp_path):
    frozen = policy()
    spec = PLAYED.model_copy(update={"epsilon": 0.3, "steps": 6000})
    dataset = collect(spec, tmp_path / "catch", policy=frozen)
    kept = dataset.arrays["action"] == greedy(frozen, dataset.observations(np.arange(6000)))
    # A uniform action is the greedy one in one case of three; 4 standard deviations of 6,000 draws.
    assert kept.mean() == pytest.approx(1 - 0.3 * 2 / 3, abs=4 * np.sqrt(0.2 * 0.8 / 6000))


def test_another_weight_is_another_policy():
    frozen = policy()
    changed = {name: array.copy() for name, array in frozen.params.items()}
    changed["0.bias"][3] += 1e-3
    assert FrozenPolicy(frozen.shape, changed).weights_sha256 != frozen.weights_sha256
    same = dict(reversed(list(frozen.params.items())))
    assert FrozenPolicy(frozen.shape, same).weights_sha256 == frozen.weights_sha256


@pytest.mark.parametrize(
    ("env", "shape", "message"),
    [
        (
            "bsuite/cartpole/0",
            {},
            r"reads float32 observations \(50,\).*bsuite/cartpole/0 shows float32 \(6,\)",
        ),
        ("atari/Pong", {}, r"atari/Pong shows uint8 \(4, 84, 84\)"),
        ("mujoco/Hopper", {}, "chooses among a number of actions"),
    ],
)
def test_a_policy_of_another_environment_is_refused_before_anything_is_made(tmp_path, env, shape, message):
    with pytest.raises(AgentError, match=message):
        collect(PLAYED.model_copy(update={"env": env}), tmp_path / "d", policy=policy(**shape))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_their_network_are_refused(tmp_path):
    frozen = policy()
    other = FrozenPolicy(frozen.shape.model_copy(update={"hidden_sizes": (16,)}), frozen.params)
    with pytest.raises(AgentError, match="saved by another configuration or version"):
        collect(PLAYED, tmp_path / "d", policy=other)


def test_agent_policy_needs_a_policy_and_the_others_take_none(tmp_path):
    with pytest.raises(AgentError, match="agent 'policy' plays the FrozenPolicy given as policy"):
        collect(PLAYED, tmp_path / "d")
    random = CollectSpec(env="bsuite/catch/0", agent="random", steps=10)
    with pytest.raises(AgentError, match="no other agent takes one"):
        collect(random, tmp_path / "d", policy=policy())
    for wrong in ({"agent": "random", "policy": "x"}, {"agent": "policy"}):
        with pytest.raises(ValidationError, match="policy names the network"):
            CollectSpec(env="bsuite/catch/0", steps=10, **wrong)


def test_random_continuous_actions_are_uniform_in_their_range(tmp_path):
    about = describe("mujoco/Hopper")
    dataset = collect(HOPPER, tmp_path / "hopper")
    action = dataset.arrays["action"]
    assert (action.dtype, action.shape) == (np.float32, (600, *about.action_shape))
    assert action.min() >= about.action_low
    assert action.max() <= about.action_high
    unit = np.sort((action.reshape(-1) - about.action_low) / (about.action_high - about.action_low))
    # Kolmogorov's distance exceeds 1.95 / √n once in a thousand times.
    assert np.abs(unit - (np.arange(len(unit)) + 0.5) / len(unit)).max() < 1.95 / np.sqrt(len(unit))
    assert collect(HOPPER, tmp_path / "again").fingerprint == dataset.fingerprint


def test_noise_on_continuous_actions_is_not_recorded_and_changes_what_happens(tmp_path):
    still = collect(HOPPER, tmp_path / "still").arrays
    noisy = collect(HOPPER.model_copy(update={"random_action_noise": 0.5}), tmp_path / "noisy").arrays
    # The agent draws from a stream of its own, so it chose the same; up to the first episode's end, at least.
    np.testing.assert_array_equal(still["action"], noisy["action"])
    assert not np.array_equal(still["reward"][:30], noisy["reward"][:30])


def test_what_is_shown_beside_the_observations_is_stored_with_each_frame(tmp_path):
    spec = CollectSpec(env="robotics/antmaze-umaze", agent="random", steps=1500, num_envs=2)
    dataset = collect(spec, tmp_path / "maze")
    vector = make(spec.env, 2)
    observation = vector.reset(generator(0, "collect", "environment").integers(2**31, size=2))
    goal = vector.extras()["goal"]
    index, goals = dataset.arrays["frame_index"], dataset.arrays["extra_goal"]
    for first in range(0, spec.steps, 2):
        rows = np.arange(first, first + 2)
        np.testing.assert_array_equal(dataset.observations(rows), observation)
        np.testing.assert_array_equal(goals[index[rows, 0]], goal)
        observation, _, terminated, truncated = vector.step(dataset.arrays["action"][rows])
        np.testing.assert_array_equal(goals[index[rows, 1]], vector.extras()["goal"])
        if (terminated | truncated).any():
            observation = vector.restart(terminated | truncated)
        goal = vector.extras()["goal"]
    vector.close()
    assert dataset.manifest.episodes >= 2
    assert len(np.unique(goals, axis=0)) > 1


def test_dqn_on_continuous_actions_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(AgentError, match=r"takes vectors of shape \(3,\) in \[-1.0, 1.0\].*agent: random"):
        collect(HOPPER.model_copy(update={"agent": "dqn"}), tmp_path / "hopper")
    assert list(tmp_path.iterdir()) == []


def test_interrupting_leaves_nothing_behind(tmp_path):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(PLAYED, tmp_path / "datasets" / "catch", interrupt, policy=policy())
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_learning_agents_transitions_say_how_far_its_training_was(tmp_path):
    spec = CollectSpec(
        env="bsuite/catch/0", agent="dqn", steps=1000, checkpoints=8, learning_starts=100, hidden_sizes=(8,)
    )
    dataset = collect(spec, tmp_path / "catch")
    np.testing.assert_array_equal(dataset.arrays["checkpoint"], np.repeat(np.arange(8), 125))
    seconds = dataset.manifest.provenance["collection"]["seconds_by_part"]
    assert set(seconds) == {"starting", "environment", "acting", "storing", "learning"}
    assert seconds["learning"] > 0
