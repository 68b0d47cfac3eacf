"""The gridworld against its transition table, and its true values against independent solvers."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from slots import check_end, check_slots

from agents.environments import describe, env_ids, family_of, make, tabular_model
from agents.environments.gridworld import LAYOUTS, layout

SMOOTH, ONE_HOT = "gridworld/smooth/0", "gridworld/onehot/0"


@pytest.fixture(scope="module")
def grid():
    return tabular_model(SMOOTH)


def greedy(q):
    return np.eye(q.shape[1])[q.argmax(1)]


def test_a_grid_is_as_the_paper_and_its_code_describe_it(grid):
    walls, goal = layout(0)
    assert walls.shape == (16, 16)
    assert walls.sum() == 51, "a wall in a fifth of 256 cells"
    assert not walls[8, 8]
    assert not walls[goal[1], goal[0]]
    assert grid.transitions.shape == (256, 5, 256)
    assert grid.start[8 + 16 * 8] == 1
    np.testing.assert_allclose(grid.transitions.sum(2), 1)
    spec = describe(SMOOTH)
    assert (spec.observation_shape, spec.num_actions) == ((16,), 5)
    assert describe(ONE_HOT).observation_shape == (32,)


def test_the_layouts_are_drawn_as_the_reference_code_draws_them():
    # Worked out from justinjfu/diagnosing_qlearning by hand: walls and goals of the seeds must never change,
    # or datasets of another Python would be of other grids.
    assert layout(0)[1] == (0, 0)
    assert layout(1)[1] == (14, 0)
    assert layout(5)[1] == (1, 0)
    assert np.packbits(layout(0)[0].reshape(-1)).tobytes().hex() == (
        "0c5400804a88200814232016004012004901408e850006540102084800800a40"
    )
    assert sum(env_id.startswith("gridworld/smooth/") for env_id in env_ids()) == LAYOUTS == 50


def test_moves_are_blocked_by_walls_and_borders(grid):
    walls, goal = layout(0)
    cells = {(x, y): x + 16 * y for x in range(16) for y in range(16)}
    for (x, y), state in cells.items():
        expected = np.zeros((5, 256))
        for action, (dx, dy) in enumerate([(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)]):
            there = (x + dx, y + dy)
            free = there in cells and not walls[there[1], there[0]] and not walls[y, x]
            expected[action, cells[there] if free else state] = 1
        expected = 0.95 * expected + 0.05 * expected.mean(0)
        np.testing.assert_allclose(grid.transitions[state], expected)
        away, home = abs(x - goal[0]) + abs(y - goal[1]), abs(8 - goal[0]) + abs(8 - goal[1])
        np.testing.assert_allclose(grid.rewards[state], max(0, 1 - away / home))


def test_reachable_states_are_those_of_a_flood_fill(grid):
    walls, _ = layout(0)
    found, edge = {(8, 8)}, [(8, 8)]
    while edge:
        x, y = edge.pop()
        for near in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if min(near) >= 0 and max(near) < 16 and not walls[near[1], near[0]] and near not in found:
                found.add(near)
                edge.append(near)
    assert {(s % 16, s // 16) for s in np.flatnonzero(grid.reachable)} == found


def test_one_hot_observations_name_column_and_row():
    shown = tabular_model(ONE_HOT).observations
    np.testing.assert_array_equal(shown.sum(1), 2)
    assert (shown[:, :16].argmax(1) + 16 * shown[:, 16:].argmax(1) == np.arange(256)).all()


def test_smooth_observations_are_random_vectors_smoothed_in_place_ten_times(grid):
    # Plain loops over cells and their five moves.
    walls, _ = layout(0)
    features = np.random.RandomState(0).randn(256, 16).astype(np.float32)
    for _ in range(10):
        for state in range(256):
            features[state] = (grid.transitions[state].mean(0)[:, None] * features).sum(0)
    np.testing.assert_allclose(grid.observations, features, atol=1e-5)
    # Neighbours look alike, far cells do not.
    free = ~walls.reshape(-1)
    beside = [(s, s + 1) for s in range(255) if s % 16 < 15 and free[s] and free[s + 1]]
    near = np.mean([np.linalg.norm(grid.observations[a] - grid.observations[b]) for a, b in beside])
    cells = np.flatnonzero(free)
    far = np.linalg.norm(grid.observations[cells] - grid.observations[cells[::-1]], axis=1).mean()
    assert near < 0.5 * far


def test_what_is_played_follows_the_transition_table(grid):
    slots, steps = 200, 200
    vector = make(ONE_HOT, slots)
    state = 16 * vector.reset(np.arange(slots))[:, 16:].argmax(1) + 8
    draws = np.random.default_rng(0)
    counts = np.zeros((256, 5, 256))
    for step in range(steps):
        action = draws.integers(5, size=slots)
        observation, reward, terminated, truncated = vector.step(action)
        after = observation[:, :16].argmax(1) + 16 * observation[:, 16:].argmax(1)
        np.testing.assert_array_equal(reward, grid.rewards[state, action].astype(np.float32))
        np.add.at(counts, (state, action, after), 1)
        assert not terminated.any()
        assert truncated.all() == truncated.any() == ((step + 1) % 50 == 0)
        state = after
        if truncated.any():
            vector.restart(truncated)
            state = np.full(slots, 8 + 16 * 8)
    assert (counts[grid.transitions == 0] == 0).all(), "a move that the table does not know"
    often = counts.sum(2) >= 400
    assert often.sum() > 10
    frequency = counts[often] / counts[often].sum(1, keepdims=True)
    np.testing.assert_allclose(frequency, grid.transitions[often], atol=0.05)


def test_slots_depend_on_their_seed_alone():
    shown = check_slots(SMOOTH, 120, differs=False)
    assert shown["truncated"].any()
    assert (shown["observation"][:, 0] != shown["observation"][:, 1]).any()
    assert check_end(ONE_HOT, np.array([1, 1]), 60) == (50, False, True)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.95])
def test_optimal_values_are_those_of_value_iteration(grid, discount):
    q = np.zeros((256, 5))
    for _ in range(700):
        q = grid.rewards + discount * np.einsum("sat,t->sa", grid.transitions, q.max(1))
    np.testing.assert_allclose(grid.q_optimal(discount), q, atol=1e-9)


@pytest.mark.parametrize("discount", [0.99, 0.9999, 0.9999999])
def test_optimal_values_hold_in_bellmans_equation_up_to_the_last_digits(grid, discount):
    q = grid.q_optimal(discount)
    backup = grid.rewards + discount * np.einsum("sat,t->sa", grid.transitions, q.max(1))
    assert np.abs(backup - q).max() <= 1e-11 * q.max()
    step = np.einsum("sa,sat->st", greedy(q), grid.transitions)
    value = scipy.linalg.solve(np.eye(256) - discount * step, (greedy(q) * grid.rewards).sum(1))
    np.testing.assert_allclose(q.max(1), value, rtol=1e-7)


def test_optimal_values_solve_the_linear_programme(grid):
    # min Σ V subject to V(s) ≥ r(s, a) + γ Σ P V, for every s and a (Puterman 1994, section 6.9).
    inside = np.flatnonzero(grid.reachable)
    step = grid.transitions[np.ix_(inside, range(5), inside)].reshape(-1, len(inside))
    rows = 0.9 * step - np.repeat(np.eye(len(inside)), 5, axis=0)
    solved = scipy.optimize.linprog(
        np.ones(len(inside)), A_ub=rows, b_ub=-grid.rewards[inside].reshape(-1), bounds=(None, None)
    )
    np.testing.assert_allclose(grid.q_optimal(0.9)[inside].max(1), solved.x, atol=1e-6)


def test_values_of_a_policy_are_the_limit_of_repeated_backups(grid):
    policy = np.random.default_rng(1).dirichlet(np.ones(5), size=256)
    q = np.zeros((256, 5))
    for _ in range(600):
        q = grid.rewards + 0.95 * np.einsum("sat,t->sa", grid.transitions, (policy * q).sum(1))
    np.testing.assert_allclose(grid.q_policy(policy, 0.95), q, atol=1e-9)
    np.testing.assert_allclose(
        grid.q_policy(greedy(grid.q_optimal(0.95)), 0.95), grid.q_optimal(0.95), atol=1e-8
    )


def test_a_reward_clip_clips_the_rewards_of_the_values(grid):
    np.testing.assert_allclose(grid.q_optimal(0.5, reward_clip=0.1).max(), 0.1 / (1 - 0.5), atol=1e-6)
    uniform = np.full((256, 5), 0.2)
    assert grid.q_policy(uniform, 0.5, reward_clip=0.1).max() <= 0.2


@pytest.mark.parametrize("seed", [0, 5, 31])
def test_reference_scores_are_the_returns_of_the_uniform_and_the_best_policy(seed):
    grid, scores = (
        tabular_model(f"gridworld/onehot/{seed}"),
        describe(f"gridworld/onehot/{seed}").score_reference,
    )
    uniform = np.full((256, 5), 0.2)
    assert scores.low == pytest.approx(grid.expected_return(50, uniform))
    assert scores.high == pytest.approx(grid.expected_return(50))
    # Played: 2000 uniform episodes.
    vector = make(f"gridworld/smooth/{seed}", 2000)
    vector.reset(np.arange(2000))
    draws, total = np.random.default_rng(2), np.zeros(2000)
    for _ in range(50):
        total += vector.step(draws.integers(5, size=2000))[1]
    assert total.mean() == pytest.approx(scores.low, abs=4 * total.std() / np.sqrt(2000))
    assert scores.scale_name == "optimal-normalised"


def test_the_first_states_expected_return_is_that_of_matrix_powers(grid):
    uniform = np.full((256, 5), 0.2)
    step, occupancy, total = np.einsum("sa,sat->st", uniform, grid.transitions), grid.start, 0.0
    for _ in range(50):
        total += occupancy @ grid.rewards[:, 0]
        occupancy = occupancy @ step
    assert grid.expected_return(50, uniform) == pytest.approx(total)


@pytest.mark.parametrize("discount", [1.0, -0.1, 1.5])
def test_values_without_a_limit_are_refused(grid, discount):
    with pytest.raises(ValueError, match=rf"a value needs a discount in \[0, 1\), got {discount}"):
        grid.q_optimal(discount)
    with pytest.raises(ValueError, match=r"a value needs a discount in \[0, 1\)"):
        grid.q_policy(np.full((256, 5), 0.2), discount)


@pytest.mark.parametrize("policy", [np.full((256, 5), 0.3), np.full((256, 4), 0.25), -np.eye(256, 5)])
def test_what_is_no_policy_is_refused(grid, policy):
    with pytest.raises(ValueError, match=r"a policy is \[256, 5\] probabilities, each row of sum 1"):
        grid.q_policy(policy, 0.9)


def test_only_the_gridworld_has_a_table():
    assert tabular_model("bsuite/catch/0") is None
    assert family_of(SMOOTH).installed()
    assert family_of(SMOOTH).install_command == ""
