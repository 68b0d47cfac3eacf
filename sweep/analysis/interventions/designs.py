"""What a sweep's study says of its spaces, beside its trials: the axes, their levels in order, the seeds.

Trials alone do not tell which of two levels was meant as the control. A table's function takes trials as any
DataFrame; where they come from the store, `with_study` lets them know their study.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import pandas as pd

from search_spaces import SpecificationError
from search_spaces.space import Space
from search_spaces.yaml_loader import load_yaml

_STUDY: Final = "study"
CHOSEN: Final = "configurations_chosen"
"""A column that says how configurations were chosen; there, and "unknown", for runs that something else trained."""


def choice_unknown(trials: pd.DataFrame) -> bool:
    """Whether a search that followed the outcome may have chosen these configurations, for all that is known."""
    return CHOSEN in trials.columns and bool((trials[CHOSEN] == "unknown").any())


def with_study(trials: pd.DataFrame, record: Mapping[str, Any] | None) -> pd.DataFrame:
    """The same ``trials``, which know the text of their study from the sweep's ``record`` (None: they do not)."""
    if record is not None and "study_text" in record:
        trials.attrs[_STUDY] = record["study_text"]
    return trials


def space_of(trials: pd.DataFrame, name: object) -> Space | None:
    """The space ``name`` as the study has it; None where the trials do not know, or an older study cannot be read."""
    text = trials.attrs.get(_STUDY)
    return None if text is None else _spaces(str(text)).get(str(name))


@lru_cache(maxsize=8)
def _spaces(text: str) -> Mapping[str, Space]:
    # Space by space: a study that is read whole makes all its trials.
    found = {}
    try:
        for given in load_yaml(text, "the sweep's study")["spaces"]:
            space = Space.parse(given, "the sweep's study")
            found[space.name] = space
    except (SpecificationError, KeyError, TypeError):
        return {}
    return found
