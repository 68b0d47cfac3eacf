"""QR-DQN, CQL on it, and C51: gradients against loops and numpy, and distributions of returns that are known."""

import math

import numpy as np
import pytest
import torch
from plain_learner import VARIANTS, assert_gradients, bootstrapped
from small_packs import a_member, a_pack, a_shape, vector_data

from agents.data import Transitions
from agents.errors import AgentError
from agents.objectives.categorical import by_neighbours, by_pairs, project
from agents.objectives.quantile import quantile_huber

NUM = 5
DISTRIBUTIONAL = [name for name in VARIANTS if name != "mse"]


def quantile_loss(theta, target):
    """Dabney et al. 2018, eq. 10 and Algorithm 1, pair by pair; both ``[N]``."""
    total = 0.0
    for i in range(len(theta)):
        midpoint = (i / len(theta) + (i + 1) / len(theta)) / 2
        for j in range(len(target)):
            u = target[j] - theta[i]
            huber = 0.5 * u * u if abs(u.item()) <= 1 else abs(u) - 0.5
            total = total + abs(midpoint - float(u.item() < 0)) * huber / len(target)
    return total


def qr_dqn(learner, batch):
    rows = torch.arange(len(batch.a_tm1))
    theta = learner.online_tm1.view(-1, 3, NUM)[rows, batch.a_tm1]
    theta_t = learner.target_t.view(-1, 3, NUM)
    target = bootstrapped(learner, batch, theta_t[rows, theta_t.mean(2).argmax(1)])
    loss = sum(quantile_loss(one, goal) for one, goal in zip(theta, target, strict=True)) / len(rows)
    return loss, target.mean(1) - theta.mean(1), theta.mean(1)


def qr_cql(learner, batch):
    loss, td_error, qa = qr_dqn(learner, batch)
    q = learner.online_tm1.view(-1, 3, NUM).mean(2)
    penalty = (torch.log(torch.exp(q).sum(1)) - q[torch.arange(len(q)), batch.a_tm1]).mean()
    return loss + learner.member.cql_alpha * penalty, td_error, qa


def c51_projection(p, moved, v_max):
    """Bellemare et al. 2017, Algorithm 1: each atom's share goes to its floor and its ceiling. ``[K]`` float64."""
    count, found = len(p), np.zeros(len(p))
    for j in range(count):
        b = (min(max(moved[j], -v_max), v_max) + v_max) / (2 * v_max / (count - 1))
        low, high = math.floor(b), math.ceil(b)
        if low == high:
            found[low] += p[j]
        else:
            found[low] += p[j] * (high - b)
            found[high] += p[j] * (b - low)
    return found


def c51(learner, batch):
    rows, v_max = torch.arange(len(batch.a_tm1)), learner.member.v_max
    z = torch.linspace(-v_max, v_max, NUM, dtype=torch.float64)
    p_t = learner.target_t.view(-1, 3, NUM).softmax(2)
    p_t = p_t[rows, (p_t * z).sum(2).argmax(1)]
    moved = bootstrapped(learner, batch, z.expand(len(rows), -1))
    target = torch.from_numpy(
        np.stack([c51_projection(p.numpy(), m.numpy(), v_max) for p, m in zip(p_t, moved, strict=True)])
    )
    log_p = learner.online_tm1.view(-1, 3, NUM).log_softmax(2)[rows, batch.a_tm1]
    q = (log_p.exp() * z).sum(1)
    return -(target * log_p).sum(1).mean(), (target * z).sum(1) - q, q


@pytest.mark.parametrize("variant", DISTRIBUTIONAL)
@pytest.mark.parametrize("objective", ["qr_dqn", "qr_cql"])
def test_gradients_of_quantiles_are_those_of_a_loop_over_pairs(objective, variant):
    loss = {"qr_dqn": qr_dqn, "qr_cql": qr_cql}[objective]
    assert_gradients(loss, objective, num_quantiles=NUM, **VARIANTS[variant])


@pytest.mark.parametrize("variant", DISTRIBUTIONAL)
def test_gradients_of_c51_are_those_of_the_projection_of_algorithm_1(variant):
    assert_gradients(c51, "c51", num_atoms=NUM, **VARIANTS[variant])


def test_a_projection_keeps_the_mass_and_inside_the_support_the_mean():
    draws = np.random.default_rng(0)
    p = torch.from_numpy(draws.dirichlet(np.ones(51), 20))
    moved = torch.from_numpy(draws.uniform(-1, 1, (20, 51)))
    found = project(p, moved)
    atoms = torch.linspace(-1, 1, 51, dtype=torch.float64)
    torch.testing.assert_close(found.sum(1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close((found * atoms).sum(1), (p * moved).sum(1))
    # On an atom, and beyond the ends.
    one = torch.zeros(1, 51, dtype=torch.float64)
    one[0, :3] = torch.tensor([0.5, 0.25, 0.25])
    places = torch.zeros(1, 51, dtype=torch.float64)
    places[0, :3] = torch.tensor([atoms[7], -3.0, 40.0])
    expected = torch.zeros(1, 51, dtype=torch.float64)
    expected[0, [7, 0, 50]] = one[0, :3]
    torch.testing.assert_close(project(one, places), expected)


@pytest.mark.parametrize("count", [2, 3, 51])
def test_both_ways_to_a_projection_are_algorithm_1(count):
    draws = np.random.default_rng(1)
    p = draws.dirichlet(np.ones(count), 30)
    moved = np.concatenate(
        [draws.uniform(-1.5, 1.5, (28, count)), np.full((1, count), -1), np.ones((1, count))]
    )
    expected = np.stack([c51_projection(one, at, 1.0) for one, at in zip(p, moved, strict=True)])
    place = torch.from_numpy((moved.clip(-1, 1) + 1) * ((count - 1) / 2))
    for way in (by_neighbours, by_pairs):
        torch.testing.assert_close(way(torch.from_numpy(p), place), torch.from_numpy(expected))


def test_places_that_are_no_numbers_leave_other_members_projections_alone():
    p = torch.full((3, 4, 5), 0.2)
    moved = torch.linspace(-2, 2, 5).expand(3, 4, 5).clone()
    moved[1] = torch.nan
    found = torch.func.vmap(project)(p, moved)
    assert torch.isnan(found[1]).any(1).all()
    for place in (0, 2):
        torch.testing.assert_close(found[place], project(p[place], moved[place]))


@pytest.mark.parametrize("count", [1, 4])
def test_quantiles_of_a_sample_have_the_least_loss_at_the_samples_quantiles(count):
    target = torch.linspace(-1000, 1000, 401, dtype=torch.float64)[None]
    midpoints = (np.arange(count) + 0.5) / count
    best = torch.from_numpy(np.quantile(target[0].numpy(), midpoints))[None].requires_grad_()
    grad = torch.autograd.grad(quantile_huber(best, target).sum(), best)[0]
    # The spacing of the sample is 5, within which the loss is flat up to 1 / 401 and κ.
    assert grad.abs().max() < 0.005


@pytest.mark.parametrize("most_pairs", [1, 100, 10**6])
def test_the_quantile_loss_and_two_derivatives_are_those_of_the_loop_however_it_is_cut(
    monkeypatch, most_pairs
):
    monkeypatch.setattr("agents.objectives.quantile._PAIRS", most_pairs)
    draws = torch.Generator().manual_seed(2)
    theta, target = (torch.randn(n, generator=draws, dtype=torch.float64) for n in (4, 7))

    def ours(x):
        return quantile_huber(x[None], target[None]).sum()

    def loop(x):
        return quantile_loss(x, target)

    torch.testing.assert_close(ours(theta), loop(theta))
    torch.testing.assert_close(torch.func.grad(ours)(theta), torch.autograd.functional.jacobian(loop, theta))
    curvature = torch.autograd.functional.hessian(loop, theta)
    assert curvature.diagonal().min() > 0
    torch.testing.assert_close(torch.func.hessian(ours)(theta), curvature)
    torch.testing.assert_close(torch.autograd.functional.hessian(ours, theta), curvature)


CHAIN = torch.eye(2)
ROWS = 100


def chain(final):
    """State 0 leads to state 1 with reward 5; from there rewards ``final`` end the episode, each as often."""
    rewards = np.concatenate([np.full(ROWS, 5.0), final])
    first = np.repeat([0, 1], ROWS)
    return Transitions(
        frames=CHAIN,
        frame_index=torch.from_numpy(np.stack([first, np.ones(2 * ROWS)], 1).astype(np.int32)),
        action=torch.zeros(2 * ROWS, dtype=torch.int32),
        reward=torch.from_numpy(rewards.astype(np.float32)),
        discount=torch.from_numpy((first == 0).astype(np.float32)),
        subset_order=torch.arange(2 * ROWS).int(),
    )


def learnt(final, objective, steps, member, **changes):
    """The head's outputs ``[2, O]`` for both states, after ``steps`` on the whole dataset."""
    shape = a_shape(
        objective=objective,
        hidden_sizes=(),
        observation_shape=(2,),
        num_actions=1,
        batch_size=2 * ROWS,
        **changes,
    )
    pack = a_pack(shape, [member], chain(final))
    pack.update(np.broadcast_to(np.arange(2 * ROWS), (steps, 1, 2 * ROWS)))
    return pack, pack.part(0, 1).apply_shared(CHAIN)[0][0]


UNIFORM = np.linspace(-20, 20, ROWS)
TWO_POINTS = np.where(np.arange(ROWS) < 0.7 * ROWS, 0.0, 20.0)


@pytest.mark.parametrize("final", [UNIFORM, TWO_POINTS], ids=["uniform", "two points"])
def test_quantiles_become_those_of_the_return(final):
    member = a_member(0, learning_rate=1.0, discount=0.9, target_update_period=25)
    pack, theta = learnt(final, "qr_dqn", 300, member, num_quantiles=8)
    expected = np.quantile(final, (np.arange(8) + 0.5) / 8)
    # Within κ = 1 of a return the Huber loss is squared, and moves a quantile by less than that.
    np.testing.assert_allclose(theta[1].numpy(), expected, atol=1.0)
    np.testing.assert_allclose(theta[0].numpy(), 5 + 0.9 * expected, atol=1.5)
    q = pack.q_values(CHAIN[None])[0, :, 0].numpy()
    np.testing.assert_allclose(q, theta.mean(1).numpy(), rtol=1e-6)


@pytest.mark.parametrize("final", [UNIFORM / 4, TWO_POINTS / 8], ids=["uniform", "two points"])
def test_probabilities_of_c51_become_those_of_the_return(final):
    member = a_member(0, learning_rate=0.3, discount=0.5, target_update_period=25, v_max=10.0)
    pack, logits = learnt(final, "c51", 250, member, num_atoms=21)
    atoms, shares = np.linspace(-10, 10, 21), np.full(ROWS, 1 / ROWS)
    last = project_sample(final, shares, atoms)
    # The atoms of state 1, moved to 5 + 0.5 z.
    first = project_sample(5 + 0.5 * atoms, last, atoms)
    found = logits.softmax(1).numpy()
    np.testing.assert_allclose(found, np.stack([first, last]), atol=0.005)
    q = pack.q_values(CHAIN[None])[0, :, 0].numpy()
    np.testing.assert_allclose(q, [5 + 0.5 * final.mean(), final.mean()], atol=0.05)


def project_sample(values, shares, atoms):
    """Linear interpolation between the two neighbours, by numpy's own."""
    return np.array([(shares * np.interp(values, atoms, one)).sum() for one in np.eye(len(atoms))])


def test_v_max_is_each_members_own():
    members = [a_member(0, v_max=v_max) for v_max in (1.0, 10.0)]
    pack = a_pack(a_shape(objective="c51"), members, vector_data())
    q = pack.q_values(torch.randn(1, 6, 5).expand(2, -1, -1))
    torch.testing.assert_close(10 * q[0], q[1])
    assert q[0].abs().max() <= 1


@pytest.mark.parametrize("objective", ["qr_dqn", "qr_cql", "c51"])
def test_another_loss_is_refused(objective):
    with pytest.raises(AgentError, match=f"loss 'mse' has no meaning for objective '{objective}'"):
        a_pack(a_shape(objective=objective, loss="mse"), [a_member()], vector_data())
