"""Numbers and names as readers meet them."""

import numpy as np
import pytest

from sweep.report.words import (
    decimals,
    equals,
    in_words,
    interval_text,
    level_words,
    listed,
    percent,
    sentence,
    setting,
    short,
    value_words,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0003, "0.0003"),
        (3.16228e-5, "3.16e-5"),
        (12500.0, "12,500"),
        (-0.25, "\u22120.25"),
        (np.nan, "\u2013"),
    ],
)
def test_three_figures_are_enough(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([64, 64], "64\u00d764"),
        ([64] * 16, "16 layers of 64"),
        (np.array([512]), "512"),
        (True, "on"),
        (np.float64(1e-3), "0.001"),
        (None, ""),
        ("relu", "relu"),
    ],
)
def test_values_of_hyperparameters_read_as_words(value: object, text: str) -> None:
    assert value_words(value) == text


def test_settings_say_what_they_are_of_unless_the_value_does() -> None:
    assert setting("learning_rate", 3e-4) == "learning rate 0.0003"
    assert setting("activation", "relu") == "relu"
    assert setting("hidden_sizes", [64] * 8) == "8 layers of 64"
    assert setting("dropout", None) == ""


@pytest.mark.parametrize(
    ("level", "text"),
    [("True", "on"), ("0.0001", "0.0001"), ("64x64", "64\u00d764"), ("relu", "relu"), (None, "")],
)
def test_levels_of_factors_read_as_words(level: object, text: str) -> None:
    assert level_words(level) == text


def test_names_of_columns_become_words_and_names_of_environments_stay() -> None:
    told = "learning_rate and srank on bsuite/mountain_car/0: layer_norm True, config.n_layers 3, seed"
    assert in_words(told) == (
        "learning rate and effective rank on bsuite/mountain_car/0: layer norm on, n layers 3, seed"
    )


def test_an_interval_shows_two_figures_of_its_width() -> None:
    assert decimals(1234.5, 1200, 1300) == 0
    assert interval_text(0.0123, 0.0101, 0.0145, None) == "0.0123 [0.0101, 0.0145]"
    assert interval_text(0.5, np.nan, np.nan) == "0.50 [no interval]"


def test_shares_are_never_rounded_to_none_or_all() -> None:
    assert [percent(s) for s in (0.0, 0.001, 0.5, 0.999, 1.0, np.nan)] == [
        "0 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "100 %",
        "\u2013",
    ]


def test_sentences_begin_and_end_as_sentences() -> None:
    assert sentence("refused: 3 configurations") == "Not given: 3 configurations."
    assert sentence("a; b.") == "A; b."
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert [equals(0.04), equals(1e-5)] == ["= 0.040", "< 0.001"]
