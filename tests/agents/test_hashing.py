"""Dropout's bits against 32-bit arithmetic in numpy, and as random numbers."""

import numpy as np
import pytest
import torch
from numpy_hash import lowbias32, numpy_mask
from scipy import stats

from agents.hashing import keep_mask, mix32, step_key

EDGES = [0, 1, 2, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


def mask(key, layer=0, shape=(64, 64), probability=0.3):
    return keep_mask(torch.tensor(key), layer, torch.Size(shape), torch.tensor(probability)).numpy()


def test_mix32_is_the_published_permutation():
    values = np.concatenate([EDGES, np.random.default_rng(0).integers(0, 2**32, 100_000)]).astype(np.int64)
    mixed = mix32(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(mixed, lowbias32(values.astype(np.uint32)).astype(np.int64))
    assert len(np.unique(mixed)) == len(np.unique(values))


@pytest.mark.parametrize("key", EDGES)
@pytest.mark.parametrize("layer", [0, 1, 7])
def test_masks_are_those_of_32_bit_arithmetic(key, layer):
    for shape, probability in (((3, 5), 0.5), ((32, 512), 0.1), ((1,), 0.9), ((4, 4), 0.0)):
        np.testing.assert_array_equal(
            mask(key, layer, shape, probability), numpy_mask(key, layer, shape, probability)
        )


def test_step_key_is_that_of_32_bit_arithmetic():
    for member in EDGES:
        for step in (0, 1, 99_999, 2**40 + 3):
            expected = lowbias32((lowbias32(step % 2**32).item() + member) % 2**32).item()
            assert step_key(torch.tensor(member), torch.tensor(step)).item() == expected


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_the_share_dropped_is_the_probability(probability):
    count = 512 * 512
    dropped = count - int(mask(123, 1, (512, 512), probability).sum())
    spread = np.sqrt(count * probability * (1 - probability))
    assert abs(dropped - count * probability) <= 4 * spread


def test_masks_of_steps_layers_and_members_are_unrelated():
    keys = [
        step_key(torch.tensor(member), torch.tensor(step)).item() for member in (5, 6) for step in range(3)
    ]
    masks = [mask(key, layer, (64, 64), 0.5).ravel() for key in keys for layer in (0, 1)]
    correlations = np.corrcoef(masks) - np.eye(len(masks))
    assert np.abs(correlations).max() < 5 / np.sqrt(64 * 64)


def test_neighbouring_elements_are_unrelated():
    drops = mask(77, 0, (100_000,), 0.5)
    pairs = np.histogram2d(drops[:-1], drops[1:], bins=2)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_masks_under_vmap_are_those_of_the_members_one_by_one():
    keys, probabilities = torch.tensor([3, 99, 2**32 - 1]), torch.tensor([0.1, 0.5, 0.0])
    together = torch.func.vmap(lambda key, p: keep_mask(key, 2, torch.Size((8, 16)), p))(keys, probabilities)
    for place in range(3):
        alone = keep_mask(keys[place], 2, torch.Size((8, 16)), probabilities[place])
        assert torch.equal(together[place], alone)
