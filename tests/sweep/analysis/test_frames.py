"""Configurations are told apart by the text of their cells, whatever the columns' types."""

import numpy as np
import pandas as pd
import pytest

from sweep.analysis.frames import (
    CONFIGURATION_FIELDS,
    configuration_codes,
    content,
    contents,
    places_among,
    varying,
)

COLUMNS = {
    "float": pd.Series([1e-4, np.nan, 0.1, 1e-4, 1.0]),
    "int": pd.Series([3, 1, 2, 3, 1]),
    "nullable": pd.Series([1, None, 2, 1, None], dtype="Int64"),
    "text": pd.Series(["relu", "tanh", None, "relu", ""], dtype=object),
    "categorical": pd.Series(["b", "a", None, "b", "a"], dtype="category"),
    "flag": pd.Series([True, False, True, True, False]),
    "flag or null": pd.Series([True, None, False, True, None], dtype=object),
    "nothing": pd.Series([None] * 5, dtype=object),
    "lists": pd.Series([[64, 64], [64], None, [64, 64], []], dtype=object),
    "tuples": pd.Series([(64, 64), (64,), None, (64, 64), (32,)], dtype=object),
    "arrays": pd.Series(
        [np.array([1, 2]), np.array([1]), None, np.array([1, 2]), np.array([])], dtype=object
    ),
    "sizes": pd.Series([(64, 64), (64,), (64, 64), (32,), (64,)], dtype=object),
    "mixed": pd.Series([1, 1.0, True, "1", None], dtype=object),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_contents_are_the_content_of_every_cell(name: str) -> None:
    texts, number = contents(COLUMNS[name])
    assert texts.tolist() == [content(value) for value in COLUMNS[name]]
    assert number == len(set(texts))


def test_configurations_are_numbered_in_the_order_of_their_text() -> None:
    rng = np.random.default_rng(0)
    fields = CONFIGURATION_FIELDS[: len(COLUMNS)]
    rows = {
        field: column.take(rng.integers(0, 2 if place % 2 else 5, 400)).reset_index(drop=True)
        for place, (field, column) in enumerate(zip(fields, COLUMNS.values(), strict=True))
    }
    trials = pd.DataFrame(rows)
    plain = ["\x1f".join(content(trials[field][row]) for field in fields) for row in range(len(trials))]
    expected = [sorted(set(plain)).index(text) for text in plain]
    assert configuration_codes(trials).tolist() == expected


def test_trials_that_differ_in_nothing_are_one_configuration() -> None:
    trials = pd.DataFrame({"learning_rate": [1e-3] * 3, "seed": [0, 1, 2]})
    assert configuration_codes(trials).tolist() == [0, 0, 0]
    assert varying(trials) == []


def test_places_of_categories_are_those_of_their_texts() -> None:
    ids = pd.Index(["c", "a", "b"], dtype=object)
    column = pd.Series(["a", "z", "b", None, "c", "a"])
    assert places_among(ids, column).tolist() == [1, -1, 2, -1, 0, 1]
    assert places_among(ids, column.astype("category")).tolist() == [1, -1, 2, -1, 0, 1]
