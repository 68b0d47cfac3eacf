"""What every family of environments has to do, whatever it wraps."""

import numpy as np

from agents.data import DatasetWriter
from agents.environments import describe, make


def random_actions(spec, steps, slots, seed=0):
    """Uniform actions [steps, slots, ...]."""
    draws = np.random.default_rng(seed)
    if not spec.continuous:
        return draws.integers(spec.num_actions, size=(steps, slots))
    size = (steps, slots, *spec.action_shape)
    return draws.uniform(spec.action_low, spec.action_high, size).astype(np.float32)


def roll(vector, seeds, actions):
    """What a reset and ``actions`` [T, B, ...] show, ended slots restarted at once.

    Arrays by name: reward and the flags [T, B]; observation and extras [2 T + 1, B, ...], each step's last
    one and the one that the next step begins with.
    """
    spec = vector.spec
    columns = {"observation": [], "reward": [], "terminated": [], "truncated": []}
    columns |= {name: [] for name in spec.extras}

    def see(observation):
        shown = vector.extras()
        assert shown.keys() == spec.extras.keys()
        assert (observation.dtype, observation.shape[1:]) == (spec.observation_dtype, spec.observation_shape)
        columns["observation"].append(observation)
        for name, one in spec.extras.items():
            assert (shown[name].dtype, shown[name].shape[1:]) == (one.dtype, one.shape)
            columns[name].append(shown[name])

    see(vector.reset(np.array(seeds)))
    for action in actions:
        observation, reward, terminated, truncated = vector.step(action)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float32, np.bool_, np.bool_)
        see(observation)
        columns["reward"].append(reward)
        columns["terminated"].append(terminated)
        columns["truncated"].append(truncated)
        ended = terminated | truncated
        see(vector.restart(ended) if ended.any() else observation)
    return {name: np.stack(column) for name, column in columns.items()}


def check_slots(env_id, steps, *, differs=True):
    """A slot depends on its own seed and actions only: not on its place, and not on what it played before."""
    spec = describe(env_id)
    actions = random_actions(spec, steps, 2)
    vector = make(env_id, 2)
    first = roll(vector, [5, 6], actions)
    again = roll(vector, [5, 6], actions)
    swapped = roll(vector, [6, 5], actions[:, ::-1])
    vector.close()
    vector.close()
    alone = make(env_id, 1)
    second = roll(alone, [6], actions[:, 1:])
    alone.close()
    for name, expected in first.items():
        np.testing.assert_array_equal(again[name], expected, err_msg=f"{name}, seeded again")
        np.testing.assert_array_equal(swapped[name][:, ::-1], expected, err_msg=f"{name}, places swapped")
        np.testing.assert_array_equal(second[name][:, 0], expected[:, 1], err_msg=f"{name}, alone")
    if differs:
        assert (first["observation"][0, 0] != first["observation"][0, 1]).any(), (
            "the seeds make no difference"
        )
    return first


def check_end(env_id, action, limit):
    """Play ``action`` until slot 0 ends: it stays ended, shows its last observation, and restarts alone.

    Returns the number of steps, terminated and truncated of the end.
    """
    vector = make(env_id, 2)
    vector.reset(np.array([1, 2]))
    number, terminated, truncated = 0, np.zeros(2, bool), np.zeros(2, bool)
    while number < limit and not (terminated[0] | truncated[0]):
        last, _, terminated, truncated = vector.step(action)
        number += 1
    assert terminated[0] | truncated[0]
    stood, reward, again, cut = vector.step(action)
    assert (reward[0], again[0], cut[0]) == (0, False, False)
    np.testing.assert_array_equal(stood[0], last[0])
    restarted = vector.restart(np.array([True, False]))
    np.testing.assert_array_equal(restarted[1], stood[1])
    following, *_ = vector.step(action)
    assert (following[0] != last[0]).any()
    vector.close()
    return number, bool(terminated[0]), bool(truncated[0])


def check_dataset(env_id, path, steps):
    """A dataset of ``steps`` random steps of two slots holds what was shown, extras too."""
    spec, slots = describe(env_id), 2
    channels = 1 if spec.frame_stack == 1 else spec.observation_shape[0] // spec.frame_stack

    def newest(shown):
        return shown if spec.frame_stack == 1 else shown[:, -channels:].reshape(-1, *spec.frame_shape)

    vector = make(env_id, slots)
    observation = vector.reset(np.array([3, 4]))
    shown = {"s": [], "s'": [], **{f"{name} {when}": [] for name in spec.extras for when in ("s", "s'")}}
    actions, rewards = random_actions(spec, steps, slots), []
    with DatasetWriter(path / "played", spec, steps * slots) as writer:
        index = np.zeros((slots, spec.frame_stack), np.int32)
        index[:, -1] = writer.add_frames(newest(observation), vector.extras())
        episode, begun = np.arange(slots, dtype=np.int32), slots
        for action in actions:
            shown["s"].append(observation)
            for name, array in vector.extras().items():
                shown[f"{name} s"].append(array)
            observation, reward, terminated, truncated = vector.step(action)
            shown["s'"].append(observation)
            for name, array in vector.extras().items():
                shown[f"{name} s'"].append(array)
            added = writer.add_frames(newest(observation), vector.extras())
            rows = np.concatenate([index, added[:, None]], axis=1)
            discount = np.where(terminated, 0, 1).astype(np.float32)
            executed = action if spec.continuous else action.astype(np.int32)
            writer.add_transitions(rows, executed, reward, discount, episode)
            rewards.append(reward)
            index, ended = rows[:, 1:].copy(), terminated | truncated
            if ended.any():
                observation = vector.restart(ended)
                extras = {name: array[ended] for name, array in vector.extras().items()}
                index[ended] = 0
                index[ended, -1] = writer.add_frames(newest(observation[ended]), extras)
                episode[ended] = np.arange(begun, begun + ended.sum())
                begun += int(ended.sum())
        dataset = writer.finish(0, None, {})
    vector.close()
    dataset.verify()
    every = np.arange(steps * slots)
    np.testing.assert_array_equal(dataset.observations(every), np.concatenate(shown["s"]))
    np.testing.assert_array_equal(dataset.observations(every, following=True), np.concatenate(shown["s'"]))
    np.testing.assert_array_equal(dataset.arrays["action"], actions.reshape(-1, *spec.action_shape))
    np.testing.assert_array_equal(dataset.arrays["reward"], np.concatenate(rewards))
    frames = dataset.arrays["frame_index"]
    for name in spec.extras:
        stored = dataset.arrays[f"extra_{name}"]
        np.testing.assert_array_equal(stored[frames[:, -2]], np.concatenate(shown[f"{name} s"]))
        np.testing.assert_array_equal(stored[frames[:, -1]], np.concatenate(shown[f"{name} s'"]))
    return dataset
