"""Axes: lists and ranges, each value one that the field can hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Axis, SpecificationError


def test_a_list_is_kept_in_order_as_the_field_holds_it() -> None:
    assert Axis(name="learning_rate", values=[1, 1e-3]).levels == (1.0, 0.001)
    assert Axis(name="hidden_sizes", values=[[64], [], [64, 64]]).levels == ((64,), (), (64, 64))
    assert Axis(name="reward_clip", values=[None, 1]).levels == (None, 1.0)


@given(st.floats(1e-8, 1e2), st.floats(1.5, 1e6), st.integers(2, 30))
def test_log_axes_agree_with_numpy_to_six_digits_and_keep_their_ends(
    low: float, ratio: float, num: int
) -> None:
    axis = Axis(name="learning_rate", low=low, high=low * ratio, num=num, scale="log")
    assert axis.levels is not None
    np.testing.assert_allclose(axis.levels, np.geomspace(low, low * ratio, num), rtol=5.1e-6)
    assert (axis.levels[0], axis.levels[-1]) == (low, low * ratio)
    assert all(float(f"{level:.6g}") == level for level in axis.levels[1:-1])


def test_decades_come_out_exactly() -> None:
    axis = Axis(name="learning_rate", low=1e-5, high=1e-2, num=7, scale="log")
    assert axis.levels == (1e-5, 3.16228e-5, 1e-4, 3.16228e-4, 1e-3, 3.16228e-3, 1e-2)


def test_linear_axes_have_no_binary_dust() -> None:
    assert Axis(name="dropout", low=0, high=0.5, num=6).levels == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def test_integer_fields_get_integers() -> None:
    axis = Axis(name="batch_size", low=32, high=512, num=5, scale="log")
    assert axis.levels == (32, 64, 128, 256, 512)
    assert all(type(level) is int for level in axis.levels)


def test_a_range_without_num_is_continuous() -> None:
    axis = Axis(name="learning_rate", low=1e-4, high=1e-2, scale="log")
    assert axis.levels is None
    assert axis.place(0.5) == 1e-3


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"name": "learning_rat", "values": [1]},
            (),
            "unknown hyperparameter; did you mean 'learning_rate'?",
        ),
        ({"name": "seed", "values": [1]}, (), "set the space's `seeds` instead"),
        (
            {"name": "dropout", "values": []},
            ("values",),
            "is empty: give at least one value, or remove the axis",
        ),
        ({"name": "dropout", "values": [0.1, 1.5]}, ("values", 1), "must be less than 1"),
        (
            {"name": "hidden_sizes", "values": [[64, -1]]},
            ("values", 0, 1),
            "must be greater than or equal to 1",
        ),
        ({"name": "learning_rate", "values": [1e-4, 0.0001]}, ("values", 1), "repeats value 0 of the axis"),
        ({"name": "discount", "values": [1, 1.0]}, ("values", 1), "repeats value 0 of the axis"),
        (
            {"name": "dropout", "values": [0.1], "low": 0},
            ("low",),
            "either values, or low and high, not both",
        ),
        ({"name": "dropout", "values": [0.1], "scale": "log"}, ("scale",), "not both"),
        ({"name": "dropout"}, (), "needs either values, or low and high"),
        ({"name": "dropout", "low": 0}, (), "needs either values, or low and high"),
        ({"name": "dropout", "low": 0.5, "high": 0.1, "num": 3}, ("high",), "must be greater than low, 0.5"),
        ({"name": "dropout", "low": 0.1, "high": 1, "num": 3}, ("high",), "must be less than 1"),
        (
            {"name": "dropout", "low": 0, "high": 0.5, "num": 1},
            ("num",),
            "must be greater than or equal to 2",
        ),
        (
            {"name": "dropout", "low": 0, "high": 0.5, "num": 3, "scale": "log"},
            ("low",),
            "greater than 0 on a log",
        ),
        ({"name": "dropout", "low": 0, "high": 0.5, "scale": "lin"}, ("scale",), "must be 'linear' or 'log'"),
        ({"name": "learning_rate", "low": -0.1, "high": 1, "num": 3}, ("low",), "must be greater than 0"),
        ({"name": "learning_rate", "low": 1e-300, "high": math.inf}, ("high",), "must be a finite number"),
        ({"name": "batch_size", "low": 1.5, "high": 4, "num": 2}, ("low",), "must be a valid integer"),
        ({"name": "batch_size", "low": 1, "high": 4, "num": 9}, ("num",), "gives the value"),
        ({"name": "activation", "low": 1, "high": 4, "num": 9}, (), "is not a number: give a list of values"),
        (
            {"name": "optimizer_epsilon", "low": 5e-324, "high": 1, "scale": "log"},
            ("high",),
            "is too far from low",
        ),
        ({"name": "dropout", "values": [0.1], "num_": 3}, ("num_",), "unknown key; did you mean 'num'?"),
        ({"name": "dropout", "low": 0, "high": "0.5", "num": 3}, ("high",), "must be a valid number"),
    ],
)
def test_an_axis_that_cannot_be_is_refused(
    fields: dict[str, object], path: tuple[object, ...], message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        Axis(**fields)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message


def test_every_bad_value_of_an_axis_is_named() -> None:
    with pytest.raises(SpecificationError) as caught:
        Axis(name="activation", values=["relu", "rleu", 3])
    assert [problem.path for problem in caught.value.problems] == [("values", 1), ("values", 2)]
    assert [problem.value for problem in caught.value.problems] == ["rleu", 3]
