"""The two-level factors of a space: which columns they are, and which of their levels is the control."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from search_spaces.space import Space
from search_spaces.trial import TrialConfig
from sweep.analysis.association import Floats
from sweep.analysis.frames import FOREIGN_FIELD, AnalysisError, configuration_fields, content


@dataclass(frozen=True)
class Factor:
    """A hyperparameter (or environment, or dataset) with two levels, as `level` writes them."""

    name: str
    control: str
    treatment: str
    rule: str
    """What said which level is the control: option, design, axis order, default, nearest default, name order."""
    together: tuple[str, ...] = ()
    """Other columns that change with it in every trial, such as a setting of what it switches on."""

    def signs(self, trials: pd.DataFrame) -> Floats:
        """-1 where a trial has the control, +1 the treatment, ``[T]`` float64."""
        return np.where(levels(trials[self.name]) == self.treatment, 1.0, -1.0)


@dataclass(frozen=True)
class Factors:
    """The factors of a space, and the columns that vary beside them."""

    factors: tuple[Factor, ...]
    others: Mapping[str, int]
    """More than two levels, or decided by a column that has: how many levels."""
    known: bool
    """Whether the study's own design named the factors."""

    @property
    def none(self) -> str:
        """The refusal where there is no factor."""
        others = ", ".join(f"{name} has {count}" for name, count in self.others.items())
        return f"refused: no hyperparameter has exactly two levels here ({others or 'none varies'})"

    def cells(self, trials: pd.DataFrame) -> Floats:
        """The combination of levels of each trial, ``[T, K]`` of -1 and +1."""
        return np.column_stack([f.signs(trials) for f in self.factors] or [np.empty((len(trials), 0))])


def level(value: object) -> str:
    """A level in words: ``relu``, ``3e-05``, ``64x64``, ``none``."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and value == value:
        return format(float(value), ".12g")
    return content(value) or "none"


def levels(column: pd.Series) -> pd.Series:
    """`level` of each cell."""
    try:
        codes, found = pd.factorize(column, use_na_sentinel=False)
    except TypeError:  # lists, of layers
        return column.map(level, na_action=None).astype(object)
    words = np.array([level(value) for value in found], dtype=object)
    return pd.Series(words[codes], index=column.index)


def find_factors(
    planned: pd.DataFrame, space: Space | None, control: Mapping[str, str], within: Sequence[str] = ()
) -> Factors:
    """The factors among trials ``planned``, in the order of the design's axes or of `TrialConfig`'s fields.

    Columns of one partition of the trials are one factor, under the name of the axis, or of the one that can be off;
    environment before dataset. ``control`` names a level by factor; names that are no factor are left to
    `check_control`. Raises `AnalysisError` for a level that the factor does not have.
    """
    fields = [f for f in configuration_fields(planned) if f not in within]
    words = {f: levels(planned[f]) for f in fields}
    counts = {f: int(words[f].nunique()) for f in fields}
    axes = list(space.axes) if space is not None else []
    groups: list[list[str]] = []
    for f in sorted((f for f in fields if counts[f] == 2), key=lambda f: _precedence(f, axes, words[f])):
        same = [group for group in groups if _one_partition(words[f], words[group[0]])]
        if same:
            same[0].append(f)
        else:
            groups.append([f])
    many = [f for f in fields if counts[f] > 2]
    decided = [g for g in groups if _decided(g, many, words, planned, axes)]
    factors = [
        _factor(group, words, planned, space, control)
        for group in sorted(groups, key=lambda g: _place(g, axes, fields))
        if group not in decided
    ]
    others = {name: counts[name] for name in (*many, *(g[0] for g in decided))}
    return Factors(tuple(factors), others, space is not None)


def read_control(control: Mapping[str, Any] | Sequence[str] | None) -> dict[str, str]:
    """``["activation=relu", "learning_rate=3e-4"]``, the same by commas, or a mapping, as levels by factor.

    Raises `AnalysisError` for what is not NAME=LEVEL.
    """
    if control is None:
        return {}
    if isinstance(control, Mapping):
        return {str(name): level(value) for name, value in control.items()}
    found = {}
    for text in control.split(",") if isinstance(control, str) else control:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise AnalysisError(
                f"control {text!r}: must be NAME=LEVEL by commas, such as activation=relu,learning_rate=3e-4."
            )
        found[name.strip()] = _as_level(value.strip())
    return found


def check_control(asked: Mapping[str, str], found: Iterable[Factors]) -> None:
    """Raise `AnalysisError` for a control of something that is a factor in none of the spaces ``found``."""
    known = {_own(name) for factors in found for f in factors.factors for name in (f.name, *f.together)}
    for name in asked:
        if _own(name) not in known:
            raise AnalysisError(
                f"control {name}={asked[name]}: {name!r} is no two-level factor of this sweep; "
                f"its factors are: {', '.join(sorted(known)) or 'none'}."
            )


def _own(name: str) -> str:
    return name.removeprefix(FOREIGN_FIELD)


def _as_level(text: str) -> str:
    try:
        return level(float(text))
    except ValueError:
        return text


def _factor(
    group: list[str],
    words: Mapping[str, pd.Series],
    planned: pd.DataFrame,
    space: Space | None,
    control: Mapping[str, str],
) -> Factor:
    name = group[0]
    two = sorted(set(words[name]))
    chosen, rule = _control(name, two, planned, space)
    asked = {_own(f): value for f, value in control.items()}
    for column in group:
        if (wanted := asked.get(_own(column))) is None:
            continue
        there = sorted(set(words[column]))
        if wanted not in there:
            raise AnalysisError(
                f"control {_own(column)}={wanted}: it has the levels {', '.join(there)}; name one of them."
            )
        chosen, rule = str(words[name][words[column] == wanted].iloc[0]), "option"
    treatment = next(word for word in two if word != chosen)
    return Factor(name, chosen, treatment, rule, tuple(group[1:]))


def _control(name: str, two: list[str], planned: pd.DataFrame, space: Space | None) -> tuple[str, str]:
    """The level that is the control, and by which rule."""
    if space is not None:
        axis = name if name in space.axes or name != "env" else "dataset"
        if axis in space.axes:
            first = (space.axes[axis].levels or (None,))[0]
            first = level((space.design.control or {}).get(axis, first))
            here = planned[name][levels(planned[axis]) == first]
            if len(here):
                said = space.design.kind in ("factorial", "one_at_a_time")
                return level(here.iloc[0]), "design" if said else "axis order"
    default = _default(name)
    if level(default) in two:
        return level(default), "default"
    if isinstance(default, int | float) and default > 0:
        numbers = {word: float(word) for word in two if word != "none"}
        if len(numbers) == 2 and min(numbers.values()) > 0:
            return min(two, key=lambda word: abs(np.log(numbers[word] / default))), "nearest default"
    return two[0], "name order"


def _default(name: str) -> object:
    """Of a field of `TrialConfig`; of anything else something that is no level."""
    field = TrialConfig.model_fields.get(name)
    return ... if field is None or field.is_required() else field.get_default()


def _precedence(name: str, axes: Sequence[str], words: pd.Series) -> tuple[bool, bool, bool]:
    """Which of several columns names a factor: smaller first."""
    off = _default(name) in (0, None, False) and level(_default(name)) in set(words)
    return (name != "env", name not in axes, not off)


def _place(group: Sequence[str], axes: Sequence[str], fields: Sequence[str]) -> tuple[int, int]:
    places = [axes.index(name) for name in group if name in axes]
    return (min(places, default=len(axes)), fields.index(group[0]))


def _one_partition(a: pd.Series, b: pd.Series) -> bool:
    return bool((pd.factorize(a)[0] == pd.factorize(b)[0]).all())


def _decided(
    group: Sequence[str],
    many: Sequence[str],
    words: Mapping[str, pd.Series],
    planned: pd.DataFrame,
    axes: Sequence[str],
) -> bool:
    """Whether a two-level column only follows from one of more levels, as a weight's setting from the weight."""
    if any(name in axes for name in group) or "env" in group:
        return False
    if axes:
        return True
    most = len(planned["configuration"].unique()) / 2
    return any(_follows(words[group[0]], words[f], most) for f in many if f != "dataset")


def _follows(word: pd.Series, other: pd.Series, most: float) -> bool:
    """Whether ``other``, of at most so many levels, says what ``word`` is."""
    return other.nunique() <= most and len(pd.unique(other + "\x1f" + word)) == other.nunique()
