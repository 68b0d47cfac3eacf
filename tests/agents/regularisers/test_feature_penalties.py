"""DR3, the singular-value penalty and the feature norm against autograd on one plain network."""

import numpy as np
import pytest
import torch
from plain_passes import assert_terms_equal, passes_of, plain_features, random_batch
from small_packs import a_member, a_pack, a_shape, assert_close, member_state, one_batch, train, vector_data

from agents.pack import Pack
from agents.regularisers.singular_values import (
    extreme_eigenvectors,
    extreme_projections,
    spread_by_squaring,
    squared_spread,
)

DATA = vector_data(reward_scale=3.0)
VARIANTS = ("dot", "stop_gradient", "absolute")


@pytest.mark.parametrize("variant", VARIANTS)
def test_dr3s_gradient_is_that_of_autograd(variant):
    members = [a_member(0, dr3_weight=0.1), a_member(1, dr3_weight=3.0)]
    # tanh, whose products have both signs: relu's are their own absolute values.
    pack = a_pack(a_shape(activation="tanh", dr3=variant), members, DATA)
    batch = random_batch(pack)
    signs = []

    def expected(place, params):
        phi_tm1, _ = plain_features(params, "tanh", batch.s_tm1)
        phi_t, _ = plain_features(params, "tanh", batch.s_t)
        if variant == "stop_gradient":
            phi_t = phi_t.detach()
        products = torch.stack([a @ b for a, b in zip(phi_tm1, phi_t, strict=True)])
        signs.extend(products.sign().tolist())
        return members[place].dr3_weight * (products.abs() if variant == "absolute" else products).mean()

    assert_terms_equal(pack, batch, expected)
    assert {-1.0, 1.0} <= set(signs)


def test_dr3_with_the_absolute_value_is_dot_where_features_are_positive():
    batch, found = None, []
    for variant in ("dot", "absolute"):
        pack = a_pack(a_shape(dr3=variant), [a_member(0, dr3_weight=1.0)], DATA)
        batch = random_batch(pack) if batch is None else batch
        found.append(pack.agent.regularisers[0].term(passes_of(pack, 0, batch)).item())
    assert found[0] == pytest.approx(found[1])
    assert found[0] > 0


def test_the_feature_norms_gradient_is_that_of_autograd():
    members = [a_member(0, feature_norm_weight=0.1), a_member(1, feature_norm_weight=2.0)]
    pack = a_pack(a_shape(feature_norm=True), members, DATA)
    batch = random_batch(pack)

    def expected(place, params):
        phi, _ = plain_features(params, "relu", batch.s_tm1)
        return members[place].feature_norm_weight * sum(row @ row for row in phi) / len(phi)

    assert_terms_equal(pack, batch, expected)


@pytest.mark.parametrize("count", [16, 64], ids=["fewer inputs than features", "more inputs"])
def test_the_singular_value_penaltys_gradient_is_that_of_an_svd(count):
    members = [a_member(0, srank_penalty=0.001), a_member(1, srank_penalty=0.5)]
    pack = a_pack(a_shape(activation="tanh", srank_penalty=True), members, DATA)
    batch = random_batch(pack, count)

    def expected(place, params):
        phi, _ = plain_features(params, "tanh", batch.s_tm1)
        sigma = torch.linalg.svdvals(phi.double())
        assert len(sigma) == min(count, 20)
        assert sigma[-1] > 1e-4
        return (members[place].srank_penalty * (sigma[0] ** 2 - sigma[-1] ** 2)).float()

    assert_terms_equal(pack, batch, expected)


def outer_products(gram):
    return [torch.outer(vector, vector) for vector in extreme_eigenvectors(gram)]


@pytest.mark.parametrize("extremes", [outer_products, extreme_projections])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (64, 32), (5, 1), (1, 5)])
def test_projections_hold_the_extreme_eigenvectors(extremes, shape):
    phi = np.random.default_rng(0).normal(size=shape)
    gram = phi @ phi.T if shape[0] < shape[1] else phi.T @ phi
    values, vectors = np.linalg.eigh(gram)
    for found, place in zip(extremes(torch.from_numpy(gram)), (-1, 0), strict=True):
        np.testing.assert_allclose(found, np.outer(vectors[:, place], vectors[:, place]), atol=1e-6)
        assert np.sum(found.numpy() * gram) == pytest.approx(values[place], rel=1e-9, abs=1e-9 * values[-1])


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("rank", [3, 31, 32])
def test_the_spread_and_its_gradient_are_an_svds_at_any_scale_and_rank(scale, rank):
    draws = torch.Generator().manual_seed(rank)
    left, right = (torch.randn(n, rank, generator=draws, dtype=torch.float64) for n in (32, 64))
    phi = (scale * left @ right.T).float()
    spread, gradient = spread_and_gradient(phi)
    u, sigma, vt = torch.linalg.svd(phi.double(), full_matrices=False)
    assert spread == pytest.approx((sigma[0] ** 2 - sigma[-1] ** 2).item(), rel=1e-6)
    expected = 2 * (sigma[0] * torch.outer(u[:, 0], vt[0]) - sigma[-1] * torch.outer(u[:, -1], vt[-1]))
    torch.testing.assert_close(gradient, expected.float(), rtol=1e-5, atol=1e-6 * expected.abs().max().item())


def spread_and_gradient(features):
    features = features.clone().requires_grad_()
    spread = squared_spread(features)
    (gradient,) = torch.autograd.grad(spread, features)
    return spread.item(), gradient


@pytest.fixture(params=["eigenvectors", "squaring"])
def way(request, monkeypatch):
    """Both ways to the penalty: that of a CPU and that of a card."""
    if request.param == "squaring":
        monkeypatch.setattr("agents.regularisers.singular_values.spread_by_eigenvectors", spread_by_squaring)


@pytest.mark.usefixtures("way")
def test_features_that_are_all_zero_have_no_spread_and_no_gradient():
    for shape in ((4, 6), (6, 4)):
        spread, gradient = spread_and_gradient(torch.zeros(shape))
        assert spread == 0
        assert not gradient.any()


@pytest.mark.usefixtures("way")
def test_of_rank_one_features_only_the_largest_singular_value_pulls():
    generator = torch.Generator().manual_seed(0)
    phi = torch.outer(torch.randn(6, generator=generator), torch.randn(9, generator=generator))
    spread, gradient = spread_and_gradient(phi)
    # σ²max is the squared Frobenius norm, whose gradient is 2 Φ; the least singular value is 0, and so its pull.
    assert spread == pytest.approx(phi.square().sum().item(), rel=1e-5)
    torch.testing.assert_close(gradient, 2 * phi, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("way")
def test_equal_singular_values_have_no_spread_and_a_finite_gradient():
    spread, gradient = spread_and_gradient(3.0 * torch.eye(5, 8))
    assert spread == pytest.approx(0.0, abs=1e-5)
    assert torch.isfinite(gradient).all()
    repeated = torch.diag(torch.tensor([2.0, 2.0, 1.0, 1.0]))
    spread, gradient = spread_and_gradient(repeated)
    assert spread == pytest.approx(3.0, rel=1e-5)
    # The derivative along Φ itself is twice the value whatever vectors are chosen: the penalty is of degree two.
    assert (gradient * repeated).sum().item() == pytest.approx(6.0, rel=1e-5)


@pytest.mark.usefixtures("way")
def test_a_minibatch_of_one_has_no_spread():
    spread, gradient = spread_and_gradient(torch.randn(1, 7, generator=torch.Generator().manual_seed(0)))
    assert spread == pytest.approx(0.0, abs=1e-6)
    assert gradient.abs().max() < 1e-6


@pytest.mark.usefixtures("way")
def test_a_member_with_broken_features_has_no_number_and_its_neighbour_keeps_its_own():
    healthy = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for broken in (torch.nan, torch.inf, 3e38):
        stacked = torch.stack([healthy, torch.full((6, 4), broken)])
        found = torch.func.vmap(squared_spread)(stacked)
        assert found[0].item() == pytest.approx(squared_spread(healthy).item(), rel=1e-6)
        assert not torch.isfinite(found[1])


ALL = {
    "dr3": a_shape(dr3="dot"),
    "stop_gradient": a_shape(dr3="stop_gradient", activation="tanh"),
    "absolute": a_shape(dr3="absolute", activation="tanh"),
    "label_noise": a_shape(dr3="label_noise", activation="tanh", hidden_sizes=(9,)),
    "srank_penalty": a_shape(srank_penalty=True),
    "feature_norm": a_shape(feature_norm=True),
    "all": a_shape(dr3="dot", srank_penalty=True, feature_norm=True, curl=True, sam=True, dropout=True),
}


def weighted(shape, seed, weight):
    weights = {
        "dr3_weight": weight if shape.dr3 else 0.0,
        "srank_penalty": weight / 10 if shape.srank_penalty else 0.0,
        "feature_norm_weight": weight if shape.feature_norm else 0.0,
        "curl_weight": weight if shape.curl else 0.0,
        "sam_weight": 0.5 if shape.sam else 0.0,
        "dropout": 0.2 if shape.dropout else 0.0,
    }
    return a_member(seed, optimizer_epsilon=1e-4, **weights)


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL)
def test_a_pack_trains_its_members_as_packs_of_one_do(shape):
    members = [weighted(shape, seed, weight) for seed, weight in ((0, 0.01), (1, 0.1), (2, 0.0))]
    together = train(a_pack(shape, members, DATA), DATA, 8)
    for place, member in enumerate(members):
        alone = train(a_pack(shape, [member], DATA), DATA, 8)
        mine, theirs = member_state(together, place), member_state(alone, 0)
        assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
        assert all(np.isfinite(theirs[f"params.{name}"]).all() for name in alone.params)


def test_a_member_whose_weight_is_zero_learns_what_it_would_without_the_term():
    shape = a_shape(dr3="dot", srank_penalty=True, feature_norm=True, curl=True, sam=True)
    plain = train(a_pack(a_shape(), [a_member(3)], DATA), DATA, 12)
    silent = train(a_pack(shape, [a_member(3)], DATA), DATA, 12)
    for name, param in plain.params.items():
        torch.testing.assert_close(silent.params[name], param, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", list(ALL.values())[:6], ids=list(ALL)[:6])
def test_a_minibatch_of_one_gives_finite_gradients(shape):
    pack = a_pack(shape.model_copy(update={"batch_size": 1}), [weighted(shape, 0, 1.0)], DATA)
    batch = torch.utils._pytree.tree_map(lambda leaf: leaf.unsqueeze(0), one_batch(pack, np.array([3])))
    grads, _ = pack.part(0, 1).gradients(batch)
    assert all(torch.isfinite(grad).all() for grad in grads.values())


# Compiling it takes a minute where the processor is shared: every term, and SAM, in one pack.
@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_a_compiled_pack_with_every_term_trains_like_an_eager_one():
    shape = ALL["all"].model_copy(update={"activation": "tanh", "hidden_sizes": (9,)})
    assert_compiled_like_eager(shape, steps=5)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_a_compiled_pack_with_the_singular_value_penalty_trains_like_an_eager_one():
    assert_compiled_like_eager(a_shape(srank_penalty=True, activation="tanh", hidden_sizes=(9,)), steps=5)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.usefixtures("compile_cache")
def test_a_compiled_pack_with_label_noise_trains_like_an_eager_one():
    assert_compiled_like_eager(ALL["label_noise"], steps=5)


def assert_compiled_like_eager(shape, steps):
    members = [weighted(shape, seed, 0.05) for seed in range(2)]
    compiled = train(Pack(shape, members, DATA), DATA, steps)
    if not compiled.compiled:
        pytest.skip("no C++ compiler here")
    eager = train(a_pack(shape, members, DATA), DATA, steps)
    for place in range(2):
        assert_close(member_state(compiled, place), member_state(eager, place), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    "shape", [ALL["srank_penalty"], ALL["label_noise"], ALL["all"]], ids=["srank", "label noise", "all"]
)
def test_what_needs_linear_algebra_works_where_passes_are_in_bfloat16(shape):
    pack = a_pack(shape, [weighted(shape, 0, 0.01)], DATA, precision="bfloat16")
    train(pack, DATA, 5)
    assert pack.active.all()
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in pack.params.values())
