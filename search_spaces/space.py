"""A named set of trials: axes and a design over them, seeds, and what all its trials share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from search_spaces.axis import SWEEPABLE, Axis
from search_spaces.design import Design, Point
from search_spaces.errors import Problem, SpecificationError, refusal, unknown
from search_spaces.protocol import Protocol
from search_spaces.specification import Name, Seed, Specification
from search_spaces.trial import TrialConfig, check_field

if TYPE_CHECKING:
    from search_spaces.study import Study

MOST_SEEDS = 100_000


def check_base(base: Any) -> Any:
    """Values for some fields of `TrialConfig`, each as the field would hold it."""
    if not isinstance(base, Mapping):
        return base  # refused by the field's own type
    problems: list[Problem] = []
    checked = {}
    for name, value in base.items():
        try:
            if name == "seed":
                raise refusal((), "is not shared by all trials: set the spaces' `seeds` instead", value)
            if name not in SWEEPABLE:
                raise refusal((), unknown("hyperparameter", name, SWEEPABLE), value)
            checked[name] = check_field(name, value)
        except SpecificationError as error:
            problems.extend(problem.under(name) for problem in error.problems)
    if problems:
        raise SpecificationError(problems)
    return checked


def _check_seeds(seeds: Any) -> Any:
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if not 1 <= seeds <= MOST_SEEDS:
            raise ValueError(f"a number of seeds is 1 to {MOST_SEEDS:,}")
        return tuple(range(seeds))
    if not isinstance(seeds, list | tuple):
        raise ValueError("must be a number of seeds, such as 4, or a list of them, such as [0, 1, 2, 3]")
    if not seeds:
        raise ValueError("is empty: give at least one seed")
    return tuple(seeds)


Base = Annotated[dict[str, Any], BeforeValidator(check_base)]


class Space(Specification):
    """`base` and `protocol` override the study's; `seeds` is a number n (seeds 0 to n - 1) or a list.

    In YAML `axes` is a mapping from the hyperparameter to a list of values or a range:
    ``axes: {learning_rate: {low: 1e-4, high: 1e-2, num: 5, scale: log}, activation: [relu, tanh]}``.
    """

    name: Name
    title: str = ""
    axes: dict[str, Axis] = Field(default={})
    design: Design = Design()
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_check_seeds)] = (0,)
    base: Base = Field(default={}, description="hyperparameters that all trials of the space share")
    protocol: dict[str, Any] = Field(default={}, description="keys of the study's protocol to override")

    @field_validator("axes", mode="before")
    @classmethod
    def _read_axes(cls, given: Any) -> Any:
        if isinstance(given, list | tuple) and all(isinstance(axis, Axis) for axis in given):
            _refuse_repeated([axis.name for axis in given])
            return {axis.name: axis for axis in given}
        if not isinstance(given, Mapping):
            raise ValueError("must be a mapping from hyperparameters to their values")
        axes, problems = {}, []
        for name, content in given.items():
            try:
                axes[name] = _read_axis(name, content)
            except SpecificationError as error:
                # A list stands directly under its name: there is no `values` in the file.
                skip = 1 if isinstance(content, list | tuple) else 0
                problems += [Problem((name, *p.path[skip:]), p.message, p.value) for p in error.problems]
        if problems:
            raise SpecificationError(problems)
        return axes

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [
            Problem(("base", name), "is an axis of this space too: remove one of them", value)
            for name, value in self.base.items()
            if name in self.axes
        ]
        for i, seed in enumerate(self.seeds):
            if seed in self.seeds[:i]:
                problems.append(Problem(("seeds", i), "is given twice", seed))
        try:
            self.design.check(tuple(self.axes.values()))
        except SpecificationError as error:
            problems.extend(error.problems)
        if problems:
            raise SpecificationError(problems)
        return self

    def __len__(self) -> int:
        """The number of trials, without making them."""
        return self.design.count(tuple(self.axes.values())) * len(self.seeds)

    @property
    def resolution(self) -> int | None:
        """Of a fractional factorial design (see `Fraction.resolution`); None for every other design."""
        if self.design.kind != "factorial":
            return None
        return self.design.fraction(tuple(self.axes.values())).resolution

    def points(self) -> Iterator[Point]:
        """The design's points: a value for each axis."""
        return self.design.points(tuple(self.axes.values()))

    def trials(self, study: Study) -> Iterator[TrialConfig]:
        """The trials in a fixed order, the seeds varying fastest.

        `env` is the dataset's where neither the bases nor the axes give it.
        Raises `SpecificationError` at the first point that makes no valid trial.
        """
        for point in self.points():
            yield from self.replicates(study, point)

    def replicates(self, study: Study, point: Point) -> Iterator[TrialConfig]:
        """The trials of one point, a seed each: checked once, for no rule looks at the seed but its own type's."""
        first = self.trial(study, point, self.seeds[0])
        yield first
        for seed in self.seeds[1:]:
            yield first.model_copy(update={"seed": seed})

    def trial(self, study: Study, point: Point, seed: int) -> TrialConfig:
        """The trial of one point and seed: axes override the space's base, and that the study's."""
        values = {**study.base, **self.base, **point, "seed": seed}
        if "dataset" not in values:
            raise refusal(("dataset",), f"is missing: must be one of {', '.join(study.datasets)}")
        if values["dataset"] not in study.datasets:
            message = unknown("dataset", values["dataset"], study.datasets)
            raise refusal(("dataset",), message, values["dataset"])
        recipe = study.datasets[values["dataset"]]
        config = TrialConfig(**{"env": recipe.env, **values})
        if config.env != recipe.env:
            message = f"dataset {recipe.name!r} is of {recipe.env!r}: leave env out, or name another dataset"
            raise refusal(("env",), message, config.env)
        return config

    def settle_protocol(self, study: Protocol) -> Protocol:
        """The study's protocol with this space's overrides."""
        try:
            return Protocol(**{**study.model_dump(exclude_unset=True), **self.protocol})
        except SpecificationError as error:
            raise SpecificationError([problem.under("protocol") for problem in error.problems]) from None


def _read_axis(name: str, content: Any) -> Axis:
    if isinstance(content, Axis):
        axis = content
    elif isinstance(content, Mapping):
        axis = Axis(**{"name": name, **content})
    elif isinstance(content, list | tuple):
        axis = Axis(name=name, values=tuple(content))
    else:
        message = "must be a list of values, or a range with low and high; one value is a list of one"
        raise refusal((), message, content)
    if axis.name != name:
        raise refusal(("name",), f"must be {name!r}, the key it stands under", axis.name)
    return axis


def _refuse_repeated(names: list[str]) -> None:
    problems = [Problem((i,), "is an axis twice", name) for i, name in enumerate(names) if name in names[:i]]
    if problems:
        raise SpecificationError(problems)
