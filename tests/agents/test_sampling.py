"""Minibatches: uniform over a member's share, and a function of seed, fraction and step alone."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from small_packs import a_member

from agents.sampling import MinibatchSampler

ORDER = np.random.default_rng(0).permutation(1000).astype(np.int32)


def test_indices_have_the_form_that_a_pack_wants():
    indices = MinibatchSampler([a_member(0), a_member(1)], ORDER, 16).indices(0, 5)
    assert indices.shape == (5, 2, 16)
    assert indices.dtype == np.int64


def test_a_members_minibatches_do_not_depend_on_who_else_is_in_the_pack():
    members = [a_member(seed, data_fraction=fraction) for seed, fraction in ((3, 0.5), (1, 1.0), (2, 0.05))]
    together = MinibatchSampler(members, ORDER, 16).indices(250, 20)
    turned = MinibatchSampler(members[::-1], ORDER, 16).indices(250, 20)
    np.testing.assert_array_equal(together, turned[:, ::-1])
    for place, member in enumerate(members):
        np.testing.assert_array_equal(
            together[:, [place]], MinibatchSampler([member], ORDER, 16).indices(250, 20)
        )


def test_a_trial_with_another_learning_rate_sees_the_same_minibatches():
    indices = MinibatchSampler(
        [a_member(4, learning_rate=1e-4), a_member(4, learning_rate=1.0)], ORDER, 16
    ).indices(0, 10)
    np.testing.assert_array_equal(indices[:, 0], indices[:, 1])


@pytest.mark.parametrize("total", [1, 3, 100, 999, 1000])
@pytest.mark.parametrize("fraction", ["1e-9", "0.01", "0.05", "0.07", "0.29", "0.5", "0.57", "0.999", "1.0"])
def test_the_share_is_the_exact_ceiling_of_the_fraction(fraction, total):
    order = np.arange(total)
    draws = MinibatchSampler([a_member(0, data_fraction=float(fraction))], order, 64).indices(0, 256)
    size = -(-Fraction(fraction) * total // 1)
    assert draws.max() < size
    # 16,384 draws with replacement miss none of at most 1000.
    assert len(np.unique(draws)) == size


def test_smaller_fractions_are_subsets_of_larger_ones_in_the_datasets_order():
    members = [a_member(0, data_fraction=fraction) for fraction in (0.05, 0.2, 1.0)]
    seen = [
        set(MinibatchSampler(members, ORDER, 256).indices(0, 256)[:, place].ravel()) for place in range(3)
    ]
    assert seen[0] == set(ORDER[:50])
    assert seen[1] == set(ORDER[:200])
    assert seen[2] == set(ORDER)


def test_a_prefix_is_what_was_collected_first():
    draws = MinibatchSampler([a_member(0, data_prefix=0.07)], ORDER, 64).indices(0, 256)
    np.testing.assert_array_equal(np.unique(draws), np.arange(70))


def test_a_fraction_of_a_prefix_is_its_first_part_in_the_datasets_random_order():
    members = [a_member(0, data_prefix=0.2, data_fraction=fraction) for fraction in (0.1, 0.25, 1.0)]
    draws = MinibatchSampler(members, ORDER, 256).indices(0, 256)
    # Independently: walk the dataset's order and keep what lies in the prefix.
    kept = [transition for transition in ORDER.tolist() if transition < 200]
    assert len(kept) == 200
    for place, size in enumerate((20, 50, 200)):
        assert set(draws[:, place].ravel().tolist()) == set(kept[:size])


def test_members_with_different_prefixes_share_a_pack_and_do_not_notice_each_other():
    members = [a_member(3, data_prefix=0.1), a_member(3), a_member(3, data_prefix=0.5, data_fraction=0.5)]
    together = MinibatchSampler(members, ORDER, 16).indices(100, 20)
    for place, member in enumerate(members):
        np.testing.assert_array_equal(
            together[:, [place]], MinibatchSampler([member], ORDER, 16).indices(100, 20)
        )


def test_without_a_prefix_nothing_is_copied_and_minibatches_are_what_they_always_were():
    draw = MinibatchSampler([a_member(0), a_member(1, data_fraction=0.05, data_prefix=1.0)], ORDER, 4)
    assert draw.orders[0] is ORDER
    assert draw.orders[1] is ORDER
    # Pinned from the version before prefixes existed: every trial ever run saw these.
    assert draw.indices(255, 2).tolist() == GOLDEN


GOLDEN = [[[182, 409, 65, 86], [209, 954, 144, 970]], [[53, 689, 345, 941], [631, 421, 945, 81]]]


@pytest.mark.parametrize("prefix", [1e-9, 1.0])
def test_the_smallest_prefix_is_one_transition(prefix):
    draws = MinibatchSampler([a_member(0, data_prefix=prefix)], np.arange(1), 4).indices(0, 2)
    assert not draws.any()


def test_transitions_of_the_share_are_drawn_uniformly():
    draws = MinibatchSampler([a_member(9, data_fraction=0.05)], ORDER, 64).indices(0, 1000)
    counts = np.array([(draws == transition).sum() for transition in ORDER[:50]])
    assert stats.chisquare(counts).pvalue > 1e-3
