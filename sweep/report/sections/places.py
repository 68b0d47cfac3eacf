"""An environment and a space: the groups that estimates are of."""

import pandas as pd

from sweep.analysis.samples import TOGETHER

Place = tuple[str, str]
"""Environment, or `TOGETHER`, and space."""

MOST_PLACES = 6
"""Of which a section draws a figure each; tables have all."""


def places(table: pd.DataFrame) -> list[Place]:
    """Those of a table's rows, in their order."""
    return list(dict.fromkeys(zip(table["env"].astype(str), table["space"].astype(str), strict=True)))


def of_place(table: pd.DataFrame, place: Place) -> pd.DataFrame:
    """The rows about one place."""
    return table[(table["env"] == place[0]) & (table["space"] == place[1])]


def env_words(env: object) -> str:
    """The environment, or all of a space together."""
    return "all environments" if env == TOGETHER else str(env)


def place_words(place: Place) -> str:
    """``broad, bsuite/catch/0``."""
    return f"{place[1]}, {env_words(place[0])}"


def undrawn(number: int) -> str:
    """What a section says of places that have no figure."""
    return (
        f" Drawn for the first {MOST_PLACES} of {number}; the table has all." if number > MOST_PLACES else ""
    )
