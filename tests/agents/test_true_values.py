"""Errors of members' values against the gridworld's true ones."""

import numpy as np
import pytest

from agents.environments import tabular_model
from agents.true_values import TrueValues

SMOOTH = "gridworld/smooth/3"


def test_the_states_are_those_that_can_be_reached():
    grid, truth = tabular_model(SMOOTH), TrueValues(SMOOTH, [0.95])
    assert grid.reachable.sum() == 204, "205 free cells, one of them walled in"
    np.testing.assert_array_equal(truth.observations, grid.observations[grid.reachable])
    np.testing.assert_array_equal(truth.q[0], grid.q_optimal(0.95)[grid.reachable])


def test_errors_are_root_mean_squares_at_each_members_discount():
    truth = TrueValues(SMOOTH, [0.9, 0.5, 0.9])
    assert (truth.q[0] > truth.q[1]).any()
    np.testing.assert_array_equal(truth.errors(lambda seen: truth.q), 0)
    shifted = truth.q + np.array([1.0, -2.0, 0.0])[:, None, None]
    np.testing.assert_allclose(truth.errors(lambda seen: shifted), [1, 2, 0])
    noise = np.random.default_rng(0).normal(size=truth.q.shape)
    np.testing.assert_allclose(
        truth.errors(lambda seen: truth.q + noise), [np.sqrt((n**2).mean()) for n in noise]
    )


def test_values_are_asked_for_as_at_evaluation():
    truth, seen = TrueValues(SMOOTH, [0.9, 0.5]), []
    truth.errors(lambda observations: seen.append(observations) or np.zeros((2, 204, 5)))
    assert seen[0].shape == (2, 204, 16)
    assert seen[0].dtype == np.float32


def test_clipped_rewards_have_lower_values():
    assert TrueValues(SMOOTH, [0.9], reward_clip=0.2).q.max() == pytest.approx(0.2 / (1 - 0.9), rel=0.02)


def test_without_discounting_there_is_no_value_and_no_error():
    errors = TrueValues(SMOOTH, [1.0, 0.9]).errors(lambda seen: np.zeros((2, 204, 5)))
    assert np.isnan(errors).tolist() == [True, False]


def test_an_environment_without_a_table_has_no_true_values():
    assert TrueValues.where_known("bsuite/catch/0", [0.9]) is None
    with pytest.raises(ValueError, match="true values need a transition table, which bsuite/catch/0 has not"):
        TrueValues("bsuite/catch/0", [0.9])
