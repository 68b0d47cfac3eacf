"""Two-level factorial designs against their definition, computed another way, and the published tables."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Axis, Design, Space, SpecificationError
from search_spaces.factorial import LETTERS, Fraction, choose_generators, parse_generators

NAMES = (
    *("learning_rate", "beta1", "beta2", "dropout", "discount", "data_fraction", "reward_clip"),
    *("batch_size", "target_update_period", "train_steps", "optimizer_epsilon"),
)
LEVELS = {
    name: (32, 256) if name in ("batch_size", "target_update_period", "train_steps") else (0.1, 0.5)
    for name in NAMES
}

# (factors, exponent): highest possible resolution. Box, Hunter and Hunter, 2nd ed., table 6.22, and the
# NIST/SEMATECH e-handbook of statistical methods, 5.3.3.4.7.
PUBLISHED = {
    (3, 1): 3,
    (4, 1): 4,
    (5, 1): 5,
    (5, 2): 3,
    (6, 1): 6,
    (6, 2): 4,
    (6, 3): 3,
    (7, 1): 7,
    (7, 2): 4,
    (7, 3): 4,
    (7, 4): 3,
    (8, 2): 5,
    (8, 3): 4,
    (8, 4): 4,
    (9, 2): 6,
    (9, 3): 4,
    (9, 4): 4,
    (9, 5): 3,
    (10, 3): 5,
    (10, 4): 4,
    (10, 5): 4,
    (10, 6): 3,
    (11, 4): 5,
    (11, 5): 4,
    (11, 6): 4,
    (11, 7): 3,
    (15, 11): 3,
}


def constant_words(runs: np.ndarray) -> set[str]:
    """Every set of columns whose product is one constant over all runs: the definition, by brute force."""
    factors = runs.shape[1]
    return {
        "".join(LETTERS[i] for i in columns)
        for size in range(1, factors + 1)
        for columns in itertools.combinations(range(factors), size)
        if len(set(runs[:, columns].prod(axis=1))) == 1
    }


fractions = st.integers(3, 8).flatmap(
    lambda k: st.tuples(st.just(k), st.sampled_from([p for p in range(k) if 2 ** (k - p) > k]))
)


@given(fractions)
def test_columns_are_balanced_and_orthogonal_and_runs_distinct(size: tuple[int, int]) -> None:
    factors, exponent = size
    fraction = choose_generators(factors, exponent) if exponent else Fraction(factors)
    runs = np.array(list(fraction.runs()))
    assert runs.shape == (2 ** (factors - exponent), factors) == (len(fraction), factors)
    np.testing.assert_array_equal(runs.sum(axis=0), 0)
    np.testing.assert_array_equal(runs.T @ runs, len(runs) * np.eye(factors))
    assert len({tuple(run) for run in runs}) == len(runs)


@given(fractions)
def test_the_defining_relation_and_resolution_are_those_of_the_runs(size: tuple[int, int]) -> None:
    factors, exponent = size
    fraction = choose_generators(factors, exponent) if exponent else Fraction(factors)
    words = constant_words(np.array(list(fraction.runs())))
    assert set(fraction.defining_relation()) == words
    assert fraction.resolution == min(map(len, words), default=None)


@pytest.mark.parametrize(("size", "resolution"), PUBLISHED.items())
def test_chosen_generators_reach_the_published_resolution(size: tuple[int, int], resolution: int) -> None:
    assert choose_generators(*size).resolution == resolution


def test_the_fraction_of_the_textbook() -> None:
    """Box, Hunter and Hunter, chapter 6.5: the 2^(5-1) half fraction with E=ABCD, resolution V."""
    fraction = parse_generators(["E=ABCD"], 5)
    runs = np.array(list(fraction.runs()))
    np.testing.assert_array_equal(runs[:, 4], runs[:, :4].prod(axis=1))
    assert fraction.defining_relation() == ("ABCDE",)
    assert fraction.resolution == 5


def test_a_negative_generator_is_the_other_half() -> None:
    halves = [set(parse_generators([text], 4).runs()) for text in ("D=ABC", "D=-ABC")]
    assert halves[0] | halves[1] == set(itertools.product((-1, 1), repeat=4))
    assert not halves[0] & halves[1]


def test_generators_may_set_any_factor_not_only_the_last() -> None:
    runs = np.array(list(parse_generators(["A = BCD"], 4).runs()))
    np.testing.assert_array_equal(runs[:, 0], runs[:, 1:].prod(axis=1))


def test_the_first_value_is_the_low_level() -> None:
    axes = [Axis(name="activation", values=["relu", "tanh"]), Axis(name="batch_size", values=[256, 32])]
    points = [tuple(point.values()) for point in Design(kind="factorial").points(axes)]
    assert points == [("relu", 256), ("relu", 32), ("tanh", 256), ("tanh", 32)]


def test_a_space_reports_its_resolution() -> None:
    axes = {name: LEVELS[name] for name in NAMES[:7]}
    space = Space(name="screen", axes=axes, design={"kind": "factorial", "fraction_exponent": 3}, seeds=2)
    assert space.resolution == 4
    assert len(space) == 2 * 2**4
    assert len(list(space.points())) == 2**4
    assert Space(name="full", axes=axes, design={"kind": "factorial"}).resolution is None
    assert Space(name="grid", axes=axes).resolution is None


@pytest.mark.parametrize(
    ("factors", "generators", "path", "message"),
    [
        (5, ["E:ABCD"], ("design", "generators", 0), "must read like 'E=ABCD' or 'E=-ABCD'"),
        (4, ["E=ABC"], ("design", "generators", 0), "names E, but the axes in order are A, B, C, D"),
        (5, ["D=AB", "D=AC"], ("design", "generators", 0), "sets D, which another generator sets too"),
        (5, ["D=AB", "E=AD"], ("design", "generators", 1), "uses D, which a generator sets"),
        (4, ["D=AAB"], ("design", "generators", 0), "repeats a letter"),
        (4, ["D=A"], ("design", "generators"), "confounds main effects with each other (I=AD)"),
        (5, ["D=AB", "E=AB"], ("design", "generators"), "confounds main effects with each other (I=DE)"),
    ],
)
def test_generators_that_make_no_design_are_refused(
    factors: int, generators: list[str], path: tuple[object, ...], message: str
) -> None:
    axes = {name: LEVELS[name] for name in NAMES[:factors]}
    with pytest.raises(SpecificationError) as caught:
        Space(name="s", axes=axes, design={"kind": "factorial", "generators": generators})
    problem = caught.value.problems[0]
    assert problem.path == path
    assert message in problem.message


@pytest.mark.parametrize(("factors", "exponent", "most"), [(3, 2, 1), (4, 4, 1), (7, 5, 4), (8, 9, 4)])
def test_a_fraction_too_small_for_its_factors_is_refused(factors: int, exponent: int, most: int) -> None:
    axes = {name: LEVELS[name] for name in NAMES[:factors]}
    with pytest.raises(SpecificationError, match=f"{factors} factors apart: must be at most {most}$"):
        Space(name="s", axes=axes, design={"kind": "factorial", "fraction_exponent": exponent})
    assert len(choose_generators(factors, most)) > factors


def test_a_fraction_too_large_to_search_asks_for_generators() -> None:
    with pytest.raises(SpecificationError, match="leaves 2\\^13 runs; beyond 2\\^12 write `generators`"):
        choose_generators(14, 1)


def test_axes_with_other_than_two_values_are_refused_each() -> None:
    with pytest.raises(SpecificationError) as caught:
        Space(
            name="s",
            axes={"dropout": [0.1], "activation": ["relu", "tanh", "elu"], "batch_size": [1, 2]},
            design={"kind": "factorial"},
        )
    assert [problem.path for problem in caught.value.problems] == [
        ("axes", "dropout"),
        ("axes", "activation"),
    ]
    assert "needs exactly 2 values (control, treatment), not 3" in caught.value.problems[1].message


def test_a_fraction_of_more_axes_than_letters_is_refused() -> None:
    axes = [Axis(name="dropout", values=[0.0, 0.1])] * 26
    with pytest.raises(SpecificationError, match="a fraction takes at most 25 axes, not 26"):
        Design(kind="factorial", generators=["C=AB"]).check(axes)
