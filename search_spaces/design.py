"""Which points of the axes are taken: grid, random, one at a time, two-level factorial."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from search_spaces.axis import Axis
from search_spaces.errors import Problem, SpecificationError, refusal, unknown
from search_spaces.factorial import LETTERS, Fraction, choose_generators, parse_generators
from search_spaces.specification import Count, Seed, Specification
from search_spaces.trial import check_field

Kind = Literal["grid", "random", "one_at_a_time", "factorial"]
Point = dict[str, Any]
Uniform = Callable[[], float]

_OPTIONS = {
    "grid": (),
    "random": ("n", "seed"),
    "one_at_a_time": ("control",),
    "factorial": ("generators", "fraction_exponent"),
}


class Design(Specification):
    """How the points of a space are chosen from its axes.

    `grid`: every combination, the last axis varying fastest. `random`: `n` distinct points, uniform on the
    scale of each axis; a greater `n` keeps the points of a smaller one, and the order of the axes does not
    matter. `one_at_a_time`: the control, then each other value of each axis with the rest at control (by
    default the first value of each axis). `factorial`: every axis has two values, (control, treatment);
    `generators` or `fraction_exponent` (p of 2^(k-p)) take a fraction. The letters of generators are the
    axes in order: A, B, …, without I.
    """

    kind: Kind = "grid"
    n: Count | None = None
    seed: Seed = 0
    control: dict[str, Any] | None = None
    generators: tuple[Annotated[str, Field(strict=True)], ...] | None = None
    fraction_exponent: Count | None = None
    max_trials: Count | None = Field(default=None, description="cap on the trials of this space")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        problems = []
        for kind, options in _OPTIONS.items():
            for name in options:
                if kind != self.kind and name in self.model_fields_set and getattr(self, name) is not None:
                    message = f"belongs to kind {kind!r}, and this design is {self.kind!r}: remove it"
                    problems.append(Problem((name,), message, getattr(self, name)))
        if self.kind == "random" and self.n is None:
            problems.append(Problem(("n",), "is missing: a random design needs the number of points"))
        if self.generators is not None and self.fraction_exponent is not None:
            message = "give either generators or fraction_exponent, not both"
            problems.append(Problem(("fraction_exponent",), message, self.fraction_exponent))
        if problems:
            raise SpecificationError(problems)
        return self

    def check(self, axes: Sequence[Axis]) -> None:
        """Refuse axes that this design cannot take: `SpecificationError`, paths relative to the space."""
        problems = []
        if self.kind != "random":
            for axis in axes:
                if axis.levels is None:
                    message = f"is missing: {self.kind} needs a number of values; only random can do without"
                    problems.append(Problem(("axes", axis.name, "num"), message))
        if self.kind != "grid" and not axes:
            problems.append(Problem(("axes",), f"a {self.kind} design needs at least one axis"))
        if not problems:
            checks = {
                "random": self._check_n,
                "one_at_a_time": self._check_control,
                "factorial": self._check_two_levels,
            }
            problems = checks[self.kind](axes) if self.kind in checks else []
        if problems:
            raise SpecificationError(problems)

    def count(self, axes: Sequence[Axis]) -> int:
        """How many points the design has, without making them."""
        sizes = [len(axis.levels or ()) for axis in axes]
        if self.kind == "random":
            return self.n or 0
        if self.kind == "one_at_a_time":
            return 1 + sum(size - 1 for size in sizes)
        if self.kind == "factorial":
            return len(self.fraction(axes))
        return math.prod(sizes)

    def points(self, axes: Sequence[Axis]) -> Iterator[Point]:
        """The points in a fixed order, each a value for every axis by name."""
        if self.kind == "random":
            return _random_points(axes, self.n or 0, self.seed)
        if self.kind == "one_at_a_time":
            return _one_at_a_time(axes, self._control(axes))
        if self.kind == "factorial":
            return (_point(axes, [level > 0 for level in run]) for run in self.fraction(axes).runs())
        sizes = [len(axis.levels or ()) for axis in axes]
        return (_point(axes, at) for at in itertools.product(*map(range, sizes)))

    def fraction(self, axes: Sequence[Axis]) -> Fraction:
        """The factorial design over these axes, with its defining relation and resolution."""
        if self.generators:
            return parse_generators(self.generators, len(axes))
        if self.fraction_exponent:
            return choose_generators(len(axes), self.fraction_exponent)
        return Fraction(len(axes))

    def _check_n(self, axes: Sequence[Axis]) -> list[Problem]:
        most = math.prod(math.inf if axis.levels is None else len(axis.levels) for axis in axes)
        if (self.n or 0) > most:
            return [Problem(("design", "n"), f"the axes have only {most:,} distinct points", self.n)]
        return []

    def _check_control(self, axes: Sequence[Axis]) -> list[Problem]:
        by_name, problems = {axis.name: axis for axis in axes}, []
        for name, value in (self.control or {}).items():
            path = ("design", "control", name)
            if name not in by_name:
                problems.append(Problem(path, unknown("axis", name, by_name), value))
                continue
            levels = by_name[name].levels or ()
            try:
                given = check_field(name, value)
            except SpecificationError as error:
                problems += [problem.under(*path) for problem in error.problems]
                continue
            if given not in levels:
                message = f"must be a value of the axis: {', '.join(map(repr, levels))}"
                problems.append(Problem(path, message, value))
        return problems

    def _check_two_levels(self, axes: Sequence[Axis]) -> list[Problem]:
        problems = [
            Problem(
                ("axes", axis.name),
                f"a factorial design needs exactly 2 values (control, treatment), not {len(axis.levels)}",
            )
            for axis in axes
            if axis.levels is not None and len(axis.levels) != 2
        ]
        option = "generators" if self.generators is not None else "fraction_exponent"
        if getattr(self, option) is None:
            return problems
        if len(axes) > len(LETTERS):
            message = f"a fraction takes at most {len(LETTERS)} axes, not {len(axes)}"
            return [*problems, Problem(("axes",), message)]
        try:
            self.fraction(axes)
        except SpecificationError as error:
            problems += [problem.under("design", option) for problem in error.problems]
        return problems

    def _control(self, axes: Sequence[Axis]) -> Point:
        first = {axis.name: (axis.levels or (None,))[0] for axis in axes}
        return first | {name: check_field(name, value) for name, value in (self.control or {}).items()}


def _point(axes: Sequence[Axis], at: Sequence[int]) -> Point:
    return {axis.name: (axis.levels or ())[i] for axis, i in zip(axes, at, strict=True)}


def _one_at_a_time(axes: Sequence[Axis], control: Mapping[str, Any]) -> Iterator[Point]:
    yield dict(control)
    for axis in axes:
        for level in axis.levels or ():
            if level != control[axis.name]:
                yield {**control, axis.name: level}


def _random_points(axes: Sequence[Axis], n: int, seed: int) -> Iterator[Point]:
    # Only `random()` of an int seed is promised to be the same in every Python release and on every
    # platform; `sample`, `shuffle` and `choice` are not. Sorted, so that reordered axes give the same points.
    uniform = random.Random(seed).random
    by_name = sorted(axes, key=lambda axis: axis.name)
    sizes = [None if axis.levels is None else len(axis.levels) for axis in by_name]
    finite = [size for size in sizes if size is not None]
    # random() has 53 bits, too few to number the points of a larger grid.
    if len(finite) == len(sizes) and math.prod(finite) <= 2**50:
        drawn = _without_replacement(by_name, finite, n, uniform)
    else:
        drawn = _by_rejection(by_name, n, uniform)
    for point in drawn:
        yield {axis.name: point[axis.name] for axis in axes}


def _without_replacement(
    axes: Sequence[Axis], sizes: Sequence[int], n: int, uniform: Uniform
) -> Iterator[Point]:
    total, moved = math.prod(sizes), dict[int, int]()
    for i in range(n):
        # Fisher-Yates over range(total), of which only the swapped entries are kept.
        j = i + int(uniform() * (total - i))
        number, moved[j] = moved.get(j, j), moved.get(i, i)
        at = []
        for size in reversed(sizes):
            number, k = divmod(number, size)
            at.append(k)
        yield _point(axes, at[::-1])


def _by_rejection(axes: Sequence[Axis], n: int, uniform: Uniform) -> Iterator[Point]:
    seen: set[tuple[Any, ...]] = set()
    misses = 0
    while len(seen) < n:
        shares = [uniform() for _ in axes]
        values = tuple(
            axis.place(share) if axis.levels is None else axis.levels[int(share * len(axis.levels))]
            for axis, share in zip(axes, shares, strict=True)
        )
        if values in seen:
            misses += 1
            if misses > 1000:
                message = f"the axes have only {len(seen):,} distinct points after rounding: ask for fewer"
                raise refusal(("design", "n"), message, n)
            continue
        misses = 0
        seen.add(values)
        yield {axis.name: value for axis, value in zip(axes, values, strict=True)}
