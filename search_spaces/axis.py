"""One hyperparameter and the values it takes."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import Field, model_serializer, model_validator

from search_spaces.errors import Problem, SpecificationError, refusal, unknown
from search_spaces.specification import Specification
from search_spaces.trial import TrialConfig, check_field

Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]

SWEEPABLE = tuple(name for name in TrialConfig.model_fields if name != "seed")
_HINTS = get_type_hints(TrialConfig)
_INTEGERS = frozenset(name for name in SWEEPABLE if _HINTS[name] is int)
_FLOATS = frozenset(name for name in SWEEPABLE if float in (_HINTS[name], *get_args(_HINTS[name])))


class Axis(Specification):
    """A field of `TrialConfig` with a list of `values`, or `num` of them spaced from `low` to `high`.

    Without `num` the axis is continuous, which only a random design can sample. Spaced and sampled values
    are rounded (`place`), so that the last bit of a platform's `pow` does not change a trial's id.
    """

    name: str
    values: tuple[Any, ...] | None = None
    low: Bound | None = None
    high: Bound | None = None
    num: Annotated[int, Field(strict=True, ge=2, le=100_000)] | None = None
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = _check_name(self.name)
        if not problems:
            problems = self._check_values() if self.values is not None else self._check_range()
        if not problems:
            problems = self._check_distinct()
        if problems:
            raise SpecificationError(problems)
        return self

    @cached_property
    def levels(self) -> tuple[Any, ...] | None:
        """All values in order, each as the field holds it; None for a continuous axis."""
        if self.values is not None:
            return tuple(check_field(self.name, value) for value in self.values)
        if self.num is None:
            return None
        return tuple(self.place(i / (self.num - 1)) for i in range(self.num))

    def place(self, share: float) -> Any:
        """The value at `share` in [0, 1] of the way from `low` to `high`, on the axis's scale.

        To 6 significant digits on a log scale, 12 on a linear one, and to the nearest integer where the
        field is one; the ends are exact.
        """
        if self.low is None or self.high is None:
            raise TypeError(f"axis {self.name!r} is a list of values: it has no range to place {share} on")
        if self.scale == "log":
            value = float(f"{self.low * (self.high / self.low) ** share:.6g}")
        else:
            value = float(f"{self.low + (self.high - self.low) * share:.12g}")
        if share in (0, 1):
            value = self.high if share else self.low
        value = min(max(value, self.low), self.high)
        return check_field(self.name, round(value) if self.name in _INTEGERS else value)

    def _check_values(self) -> list[Problem]:
        set_too = [key for key in ("low", "high", "num", "scale") if key in self.model_fields_set]
        if set_too:
            message = "give either values, or low and high, not both"
            return [Problem((set_too[0],), message, getattr(self, set_too[0]))]
        assert self.values is not None
        if not self.values:
            return [Problem(("values",), "is empty: give at least one value, or remove the axis", [])]
        problems: list[Problem] = []
        for i, value in enumerate(self.values):
            try:
                check_field(self.name, value)
            except SpecificationError as error:
                problems.extend(problem.under("values", i) for problem in error.problems)
        return problems

    def _check_range(self) -> list[Problem]:
        if self.low is None or self.high is None:
            return [Problem((), f"axis {self.name!r} needs either values, or low and high")]
        if self.name not in _INTEGERS | _FLOATS:
            return [Problem((), f"{self.name} is not a number: give a list of values, not low and high")]
        problems: list[Problem] = []
        for key, bound in (("low", self.low), ("high", self.high)):
            try:
                if self.scale == "log" and bound <= 0:
                    raise refusal((), "must be greater than 0 on a log scale", bound)
                check_field(self.name, int(bound) if self.name in _INTEGERS and bound.is_integer() else bound)
            except SpecificationError as error:
                problems.extend(problem.under(key) for problem in error.problems)
        if not problems and not self.low < self.high:
            problems.append(Problem(("high",), f"must be greater than low, {self.low!r}", self.high))
        if not problems and self.scale == "log" and math.isinf(self.high / self.low):
            problems.append(Problem(("high",), f"is too far from low, {self.low!r}", self.high))
        return problems

    def _check_distinct(self) -> list[Problem]:
        seen: dict[Any, int] = {}
        for i, level in enumerate(self.levels or ()):
            first = seen.setdefault(level, i)
            if first != i and self.values is not None:
                message = f"repeats value {first} of the axis: every value must be given once"
                return [Problem(("values", i), message, self.values[i])]
            if first != i:
                message = f"gives the value {level!r} twice after rounding: ask for fewer, or a wider range"
                return [Problem(("num",), message, self.num)]
        return []

    @model_serializer
    def _serialise(self) -> Any:
        # As YAML writes it: the name is the key that this stands under.
        if self.values is not None:
            return [list(value) if isinstance(value, tuple) else value for value in self.values]
        given = {"low": self.low, "high": self.high, "num": self.num, "scale": self.scale}
        return {key: value for key, value in given.items() if value is not None}


def _check_name(name: str) -> list[Problem]:
    if name == "seed":
        return [Problem((), "seed is no axis: set the space's `seeds` instead")]
    if name not in SWEEPABLE:
        return [Problem((), unknown("hyperparameter", name, SWEEPABLE), name)]
    return []
