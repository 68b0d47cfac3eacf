"""Networks against nn.Modules with the same weights, and their initial weights and dropout."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from small_packs import a_shape, image_shape
from torch import nn

from agents.errors import AgentError
from agents.networks import build_network
from agents.networks.base import Dropout
from agents.randomness import generator

MODULES = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "identity": nn.Identity,
}


def parameters(network, seed=0):
    return {name: torch.from_numpy(p) for name, p in network.init(generator(seed, "init")).items()}


def load(layers, params, names):
    """``layers`` as one module with the weights of ``params``; ``names`` are those of the layers with weights."""
    module, names = nn.Sequential(*layers), iter(names)
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                name = next(names)
                layer.weight.copy_(params[f"{name}.weight"])
                layer.bias.copy_(params[f"{name}.bias"])
    assert next(names, None) is None
    return module


def mlp_modules(shape, params):
    """Features and head of the MLP as plain modules."""
    sizes = (int(np.prod(shape.observation_shape)), *shape.hidden_sizes)
    layers = [nn.Flatten()]
    for fan_in, out in pairwise(sizes):
        layers += [nn.Linear(fan_in, out), MODULES[shape.activation]()]
    depth = len(shape.hidden_sizes)
    body = load(layers, params, [str(layer) for layer in range(depth)])
    return body, load([nn.Linear(sizes[-1], shape.num_actions)], params, [str(depth)])


@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("hidden_sizes", [(), (8,), (100, 50, 4)])
def test_an_mlp_is_the_stack_of_modules_with_its_weights(hidden_sizes, activation):
    shape = a_shape(hidden_sizes=hidden_sizes, activation=activation, observation_shape=(2, 3))
    network = build_network(shape)
    params = parameters(network)
    body, head = mlp_modules(shape, params)
    observation = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))
    q, features = network.apply(params, observation)
    torch.testing.assert_close(features, body(observation))
    torch.testing.assert_close(q, head(body(observation)))
    assert features.shape == (7, network.feature_size)
    assert network.feature_size == (hidden_sizes[-1] if hidden_sizes else 6)


TORSOS = {
    "nature_dqn": [(32, 8, 4), (64, 4, 2), (64, 3, 1)],  # Mnih et al. (2015)
    "minatar": [(16, 3, 1)],  # Young & Tian (2019)
}


@pytest.mark.parametrize(
    ("name", "observation_shape", "hidden_sizes", "flat"),
    [
        ("nature_dqn", (4, 84, 84), (512,), 3136),
        ("nature_dqn", (1, 40, 52), (32, 16), 192),
        ("minatar", (4, 10, 10), (128,), 1024),
    ],
)
def test_a_convolutional_network_is_the_stack_of_modules_with_its_weights(
    name, observation_shape, hidden_sizes, flat
):
    shape = image_shape(network=name, observation_shape=observation_shape, hidden_sizes=hidden_sizes)
    network = build_network(shape)
    params = parameters(network)
    channels, layers = observation_shape[0], []
    for out, kernel, stride in TORSOS[name]:
        layers += [nn.Conv2d(channels, out, kernel, stride), nn.ReLU()]
        channels = out
    layers.append(nn.Flatten())
    for fan_in, out in zip((flat, *hidden_sizes), hidden_sizes, strict=False):
        layers += [nn.Linear(fan_in, out), nn.ReLU()]
    names = [f"conv{layer}" for layer in range(len(TORSOS[name]))] + [
        str(i) for i in range(len(hidden_sizes))
    ]
    body = load(layers, params, names)
    head = load([nn.Linear(hidden_sizes[-1], 3)], params, [str(len(hidden_sizes))])
    observation = torch.rand(3, *observation_shape, generator=torch.Generator().manual_seed(0))
    q, features = network.apply(params, observation)
    torch.testing.assert_close(features, body(observation))
    torch.testing.assert_close(q, head(body(observation)))


def test_nature_dqn_at_84_pixels_has_the_papers_number_of_weights():
    params = parameters(build_network(image_shape(observation_shape=(4, 84, 84), hidden_sizes=(512,))))
    convolutions = (4 * 64 * 32 + 32) + (32 * 16 * 64 + 64) + (64 * 9 * 64 + 64)
    assert sum(p.numel() for p in params.values()) == convolutions + (3136 * 512 + 512) + (512 * 3 + 3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (a_shape(network="nature_dqn"), r"needs image observations .* gives \(5,\)\. Use network: mlp"),
        (
            image_shape(observation_shape=(4, 36, 35)),
            r"cannot see observations of \(4, 36, 35\): they are too small",
        ),
        (image_shape(hidden_sizes=()), r"at least one hidden size, e\.g\. hidden_sizes: \[512\]"),
    ],
)
def test_observations_that_nature_dqn_cannot_see_are_refused(shape, message):
    with pytest.raises(AgentError, match=message):
        build_network(shape)


@pytest.mark.parametrize("shape", [a_shape(hidden_sizes=(64, 48)), image_shape(hidden_sizes=(128,))])
def test_initial_weights_are_uniform_within_one_over_root_fan_in(shape):
    params = build_network(shape).init(generator(5, "init"))
    for name, weight in params.items():
        assert weight.dtype == np.float32
        if weight.size < 1000:
            continue
        bound = 1 / np.sqrt(np.prod(weight.shape[1:]))
        assert np.abs(weight).max() <= bound
        assert stats.kstest(weight.ravel(), "uniform", args=(-bound, 2 * bound)).pvalue > 1e-3, name


def test_initial_weights_come_from_the_generator_alone():
    network = build_network(a_shape())
    first, again, other = (network.init(generator(seed, "init")) for seed in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def dropout(probability, key=17):
    return Dropout(torch.tensor(probability), torch.tensor(key))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_zeroes_at_its_rate_and_scales_the_rest_to_keep_the_mean(probability):
    x = torch.full((512, 512), 3.0)
    dropped = dropout(probability)(x, 0)
    kept = dropped != 0
    assert kept.double().mean().item() == pytest.approx(1 - probability, abs=0.005)
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 3.0 / (1 - probability)))
    assert dropped.mean().item() == pytest.approx(3.0, rel=0.02)


def test_dropout_of_zero_changes_nothing():
    x = torch.randn(32, 32)
    assert torch.equal(dropout(0.0)(x, 0), x)


@pytest.mark.parametrize("shape", [a_shape(), image_shape(hidden_sizes=(16, 8))])
def test_dropout_acts_after_each_hidden_layer_and_features_are_taken_before_it(shape):
    network = build_network(shape)
    params = parameters(network)
    observation = torch.rand(6, *shape.observation_shape, generator=torch.Generator().manual_seed(0))
    drop, x = dropout(0.4), observation
    if shape.network == "nature_dqn":
        for layer, stride in enumerate((4, 2, 1)):
            weight, bias = params[f"conv{layer}.weight"], params[f"conv{layer}.bias"]
            x = torch.relu(torch.conv2d(x, weight, bias, stride=stride))
    x = x.flatten(1)
    for layer in range(2):
        features = torch.relu(x @ params[f"{layer}.weight"].T + params[f"{layer}.bias"])
        x = drop(features, layer)
    expected = x @ params["2.weight"].T + params["2.bias"]
    q, phi = network.apply(params, observation, drop)
    torch.testing.assert_close(q, expected)
    torch.testing.assert_close(phi, features)
    assert not torch.allclose(q, network.apply(params, observation)[0])
