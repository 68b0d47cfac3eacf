"""Grid, random and one-at-a-time designs."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Axis, Design, Space, SpecificationError

ACTIVATION = Axis(name="activation", values=["relu", "tanh", "elu"])
BATCH = Axis(name="batch_size", values=[32, 256])
DROPOUT = Axis(name="dropout", values=[0.0, 0.1, 0.2, 0.3])
AXES = (ACTIVATION, BATCH, DROPOUT)


def test_a_grid_is_the_product_with_the_last_axis_varying_fastest() -> None:
    points = [tuple(point.values()) for point in Design().points(AXES)]
    assert points == list(itertools.product(["relu", "tanh", "elu"], [32, 256], [0.0, 0.1, 0.2, 0.3]))
    assert Design().count(AXES) == 24


def test_a_space_without_axes_is_one_point() -> None:
    assert list(Design().points(())) == [{}]


def test_one_at_a_time_changes_one_axis_from_the_control() -> None:
    design = Design(kind="one_at_a_time", control={"dropout": 0.1})
    points = list(design.points(AXES))
    control = {"activation": "relu", "batch_size": 32, "dropout": 0.1}
    assert points[0] == control
    assert len(points) == design.count(AXES) == 1 + 2 + 1 + 3
    differing = [tuple(name for name in control if point[name] != control[name]) for point in points[1:]]
    assert Counter(differing) == {("activation",): 2, ("batch_size",): 1, ("dropout",): 3}
    assert len({tuple(point.values()) for point in points}) == len(points)


def test_the_random_design_is_pinned() -> None:
    """Other points under the same seed would make every random study in the world another one."""
    points = Design(kind="random", n=5, seed=1).points(AXES)
    assert [tuple(point.values()) for point in points] == [
        ("relu", 32, 0.3),
        ("elu", 256, 0.0),
        ("elu", 32, 0.2),
        ("tanh", 32, 0.0),
        ("tanh", 256, 0.1),
    ]
    continuous = Axis(name="learning_rate", low=1e-4, high=1e-2, scale="log")
    points = Design(kind="random", n=3, seed=1).points((continuous, ACTIVATION))
    assert [tuple(point.values()) for point in points] == [
        (4.95299e-3, "relu"),
        (3.23697e-4, "elu"),
        (7.92469e-4, "tanh"),
    ]


@given(st.integers(1, 24), st.integers(0, 2**63 - 1))
def test_a_random_design_is_the_head_of_a_shuffled_grid(n: int, seed: int) -> None:
    """Fisher and Yates over the whole grid, as the textbook has it."""
    uniform = random.Random(seed).random
    grid = list(Design().points(AXES))
    for i in range(n):
        j = i + int(uniform() * (len(grid) - i))
        grid[i], grid[j] = grid[j], grid[i]
    assert list(Design(kind="random", n=n, seed=seed).points(AXES)) == grid[:n]


@given(st.integers(1, 24), st.integers(0, 2**63 - 1), st.permutations(AXES))
def test_random_points_are_distinct_points_of_the_grid_whatever_the_order_of_the_axes(
    n: int, seed: int, axes: list[Axis]
) -> None:
    points = list(Design(kind="random", n=n, seed=seed).points(axes))
    assert len({tuple(sorted(point.items())) for point in points}) == n
    assert all(point in list(Design().points(AXES)) for point in points)
    assert points == list(Design(kind="random", n=n, seed=seed).points(AXES))


@given(st.integers(1, 23), st.integers(0, 1000))
def test_a_grown_random_design_keeps_its_points(n: int, seed: int) -> None:
    small, large = (list(Design(kind="random", n=size, seed=seed).points(AXES)) for size in (n, n + 1))
    assert large[:n] == small


def test_another_seed_gives_other_points() -> None:
    one, other = (list(Design(kind="random", n=12, seed=seed).points(AXES)) for seed in (0, 1))
    assert one != other


def test_every_point_of_a_grid_is_equally_likely() -> None:
    draws, n, total = 4000, 5, 24
    taken = Counter(
        tuple(point.values())
        for seed in range(draws)
        for point in Design(kind="random", n=n, seed=seed).points(AXES)
    )
    share = n / total
    spread = math.sqrt(draws * share * (1 - share))
    assert len(taken) == total
    assert max(abs(count - draws * share) for count in taken.values()) < 4.5 * spread


def test_continuous_draws_are_uniform_on_the_scale_of_the_axis() -> None:
    from scipy.stats import kstest

    rate = Axis(name="learning_rate", low=1e-5, high=1e-1, scale="log")
    drop = Axis(name="dropout", low=0.2, high=0.6)
    points = list(Design(kind="random", n=2000, seed=3).points((rate, drop)))
    assert (
        kstest([math.log10(point["learning_rate"]) for point in points], "uniform", args=(-5, 4)).pvalue
        > 0.01
    )
    assert kstest([point["dropout"] for point in points], "uniform", args=(0.2, 0.4)).pvalue > 0.01


def test_a_sample_of_a_grid_too_large_to_number_is_distinct_too() -> None:
    names = ("learning_rate", "optimizer_epsilon", "beta1", "beta2", "discount", "data_fraction")
    axes = [Axis(name=name, low=0.1, high=0.9, num=1000) for name in names]
    points = list(Design(kind="random", n=50, seed=0).points(axes))
    assert len({tuple(point.values()) for point in points}) == 50
    assert all(point[axis.name] in (axis.levels or ()) for point in points for axis in axes)


@pytest.mark.parametrize(
    ("design", "path", "message"),
    [
        ({"kind": "random"}, ("n",), "a random design needs the number of points"),
        ({"kind": "grid", "n": 3}, ("n",), "belongs to kind 'random', and this design is 'grid'"),
        ({"kind": "grid", "seed": 3}, ("seed",), "belongs to kind 'random'"),
        ({"kind": "factorial", "control": {"dropout": 0.1}}, ("control",), "belongs to kind 'one_at_a_time'"),
        ({"kind": "grid", "generators": ["C=AB"]}, ("generators",), "belongs to kind 'factorial'"),
        ({"kind": "random", "n": 0}, ("n",), "must be greater than or equal to 1"),
        ({"kind": "gird"}, ("kind",), "did you mean 'grid'?"),
        ({"kind": "random", "n": 2, "sed": 1}, ("sed",), "unknown key; did you mean 'seed'?"),
        (
            {"kind": "factorial", "generators": ["C=AB"], "fraction_exponent": 1},
            ("fraction_exponent",),
            "either generators or fraction_exponent, not both",
        ),
    ],
)
def test_a_design_with_wrong_options_is_refused(
    design: dict[str, object], path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        Design(**design)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message


RATE = {"low": 1e-4, "high": 1e-2, "scale": "log"}


@pytest.mark.parametrize(
    ("axes", "design", "path", "message"),
    [
        (
            {"learning_rate": RATE},
            {"kind": "grid"},
            ("axes", "learning_rate", "num"),
            "only random can do without",
        ),
        ({}, {"kind": "random", "n": 1}, ("axes",), "needs at least one axis"),
        ({"batch_size": [1, 2]}, {"kind": "random", "n": 3}, ("design", "n"), "have only 2 distinct points"),
        (
            {"batch_size": {"low": 1, "high": 4}},
            {"kind": "random", "n": 5},
            ("design", "n"),
            "have only 4 distinct points after rounding",
        ),
        (
            {"batch_size": [1, 2]},
            {"kind": "one_at_a_time", "control": {"batchsize": 1}},
            ("design", "control", "batchsize"),
            "unknown axis; did you mean 'batch_size'? Allowed: batch_size",
        ),
        (
            {"batch_size": [1, 2]},
            {"kind": "one_at_a_time", "control": {"batch_size": 3}},
            ("design", "control", "batch_size"),
            "must be a value of the axis: 1, 2",
        ),
        (
            {"batch_size": [1, 2]},
            {"kind": "one_at_a_time", "control": {"batch_size": "1"}},
            ("design", "control", "batch_size"),
            "must be a valid integer",
        ),
    ],
)
def test_a_design_that_does_not_fit_its_axes_is_refused(
    axes: dict[str, object], design: dict[str, object], path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        list(Space(name="s", axes=axes, design=design).points())
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
