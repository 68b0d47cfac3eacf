"""YAML by the rules of version 1.2, refused where it is ambiguous or could make objects."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SpecificationError
from search_spaces.yaml_loader import load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("+1.5e+3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("010", 10),
        ("-7", -7),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1e-4'", "1e-4"),
        (".inf", math.inf),
    ],
)
def test_scalars_are_read_as_yaml_1_2(text: str, value: object) -> None:
    found = load_yaml(f"key: {text}", "x")["key"]
    assert (found, type(found)) == (value, type(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back(value: float) -> None:
    assert load_yaml(f"[{value!r}]", "x") == [value]


@given(st.integers())
def test_every_integer_comes_back(value: int) -> None:
    assert load_yaml(f"[{value}]", "x") == [value]


def test_anchors_and_merges_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n"
    assert load_yaml(text, "x") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


def test_every_repeated_key_is_named_with_both_lines() -> None:
    text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\ne: {f: 1, f: 2}\n"
    with pytest.raises(SpecificationError) as caught:
        load_yaml(text, "my.yaml")
    assert sorted(str(caught.value).splitlines()) == [
        "my.yaml: 'a': line 6: this key was given in line 1 already: remove one",
        "my.yaml: 'c': line 5: this key was given in line 3 already: remove one",
        "my.yaml: 'f': line 7: this key was given in line 7 already: remove one",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: a", "my.yaml: '1': line 1: a key must be text: put it in quotes"),
        ("true: a", "my.yaml: 'true': line 1: a key must be text"),
        ("[a]: b", "line 1: a key must be text"),
        ("a: [1, 2", "line 1, column 9: expected ',' or ']'"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("a: *b", "line 1, column 4: found undefined alias 'b'"),
        ("\tb: 1", "line 1, column 1: found character '\\t' that cannot start any token"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("a: !!int x", "cannot be read as YAML"),
        (f"a: {'9' * 5000}", "cannot be read as YAML"),
        ("a: \x00", "cannot be read as YAML"),
        ("[" * 5000, "is nested too deeply"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
    ],
)
def test_yaml_that_cannot_be_read_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        load_yaml(text, "my.yaml")
    assert message in str(caught.value)
    assert all(line.startswith("my.yaml: ") for line in str(caught.value).splitlines())
