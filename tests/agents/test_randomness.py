"""Streams that belong to a seed and a purpose."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from agents.randomness import BLOCK_STEPS, generator, minibatch_positions, stream_key


def test_equal_arguments_give_equal_streams():
    first, second = (generator(7, "minibatch", 3).random(100) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a"), (2, "a")),
        ((1, "a"), (1, "b")),
        ((1, "a", "bc"), (1, "ab", "c")),
        ((1, "a", 2), (1, "a", "2")),
        ((1, "a", 12), (1, "a", 1, 2)),
        ((1, "a"), (1, "a", "")),
    ],
)
def test_streams_of_different_purposes_differ(one, other):
    assert stream_key(*one) != stream_key(*other)
    correlation = np.corrcoef(generator(*one).random(2000), generator(*other).random(2000))[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)


def test_the_key_is_blake2b_of_the_typed_and_measured_parts():
    digest = hashlib.blake2b(digest_size=16)
    for text in (b"int:5", b"str:dropout"):
        digest.update(bytes([len(text), 0, 0, 0]) + text)
    assert stream_key(5, "dropout") == int.from_bytes(digest.digest(), "little")


def test_streams_are_the_same_in_every_release():
    # A change here changes the minibatches of every trial and makes stored results not repeatable.
    assert stream_key(0, "init") == 0xAB8989C38B4405EE37726103CAFB62FE
    golden = [0.26214481837285464, 0.6646945892840728, 0.9230801186907854]
    np.testing.assert_array_equal(generator(0, "init").random(3), golden)


@pytest.mark.parametrize("first", [0, 1, BLOCK_STEPS - 1, BLOCK_STEPS, 3 * BLOCK_STEPS - 5])
def test_minibatch_draws_depend_on_the_step_and_not_on_how_steps_are_asked_for(first):
    whole = minibatch_positions(3, 0, 4 * BLOCK_STEPS, 8)
    for steps in (1, 7, BLOCK_STEPS + 3):
        part = minibatch_positions(3, first, steps, 8)
        np.testing.assert_array_equal(part, whole[first : first + steps])


def test_minibatch_draws_are_uniform_and_independent_between_blocks():
    draws = minibatch_positions(11, 0, 4 * BLOCK_STEPS, 32)
    assert draws.dtype == np.float64
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    blocks = draws.reshape(4, -1)
    assert np.abs(np.corrcoef(blocks) - np.eye(4)).max() < 4 / np.sqrt(blocks.shape[1])
