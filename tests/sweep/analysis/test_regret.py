import numpy as np
import pytest

from sweep.analysis.training.regret import candidate_sets, chosen_value, regret, regret_of_sets

VALUES = np.array([10.0, 4.0, 8.0, 0.0])


def test_regret_is_0_for_the_best_and_1_for_the_worst() -> None:
    assert [regret(value, VALUES) for value in VALUES] == pytest.approx([0.0, 0.6, 0.2, 1.0])
    assert [regret(value, -VALUES) for value in -VALUES] == pytest.approx([1.0, 0.4, 0.8, 0.0])


def test_regret_does_not_depend_on_the_scale_of_returns() -> None:
    assert regret(8.0, VALUES) == pytest.approx(float(regret(-3 + 100 * 8.0, -3 + 100 * VALUES)))


def test_nothing_can_be_regretted_where_all_are_worth_the_same() -> None:
    assert np.isnan(regret(3.0, np.full(4, 3.0)))


def test_ties_share_the_choice_and_the_unscored_are_never_chosen() -> None:
    assert chosen_value(np.array([1.0, 3.0, 3.0, 2.0]), VALUES) == 6.0
    assert chosen_value(np.array([np.nan, 1.0, 0.0, np.nan]), VALUES) == 4.0
    assert chosen_value(np.array([9.0, 1.0, 0.0, 0.0]), np.array([np.nan, 4.0, 8.0, 0.0])) == 4.0
    assert np.isnan(chosen_value(np.full(4, np.nan), VALUES))


@pytest.mark.parametrize("scored", [True, False])
def test_regret_of_sets_is_the_regret_within_each_set(scored: bool) -> None:
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(size=11), np.nan]
    scores = np.r_[rng.integers(0, 4, 10).astype(float), np.nan, 9.0] if scored else None
    present = candidate_sets(12, 300, rng)
    expected = []
    for here in present:
        mine = values[here]
        if scores is None:
            expected.append(regret(np.nanmean(mine), mine))
        else:
            expected.append(regret(chosen_value(scores[here], mine), mine))
    assert regret_of_sets(scores, values, present) == pytest.approx(np.array(expected), nan_ok=True)


def test_sets_are_drawn_with_replacement() -> None:
    present = candidate_sets(12, 20_000, np.random.default_rng(1))
    assert present.mean() == pytest.approx(1 - (1 - 1 / 12) ** 12, abs=0.005)


def test_regret_by_chance_is_that_of_the_mean() -> None:
    every = np.ones((1, 4), dtype=bool)
    assert regret_of_sets(None, VALUES, every)[0] == pytest.approx(
        np.mean([regret(v, VALUES) for v in VALUES])
    )
