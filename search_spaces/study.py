"""Spaces that share a question: what a sweep runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from search_spaces.dataset_recipe import DatasetRecipe
from search_spaces.design import Point
from search_spaces.errors import PathPart, Problem, SpecificationError, refusal, unknown
from search_spaces.protocol import Protocol, ResolvedProtocol
from search_spaces.scale import Change, ScaleName
from search_spaces.space import Base, Space
from search_spaces.specification import Count, Name, Specification, StudyName, Text
from search_spaces.trial import TrialConfig

DEFAULT_CAP = 100_000


class PlannedTrial(NamedTuple):
    """A trial of the study, the names of the spaces that hold it, and how it is measured."""

    config: TrialConfig
    spaces: tuple[str, ...]
    protocol: ResolvedProtocol


class Study(Specification):
    """A question, the datasets and the spaces that answer it, and the protocol they share.

    A study that was constructed has been expanded and checked whole: `trials()` cannot fail.
    """

    study: StudyName = Field(description="the study's name, or PAPER/STUDY")
    title: Text = Field(description="one line for `sweep list`")
    question: Text = Field(description="what the study is to answer")
    paper: str | None = None
    datasets: dict[Name, DatasetRecipe]
    base: Base = Field(default={}, description="hyperparameters that all spaces share")
    protocol: Protocol = Protocol()
    spaces: tuple[Space, ...]
    max_trials: Count = Field(default=DEFAULT_CAP, description="cap on the trials of all spaces together")
    scale: ScaleName | None = Field(
        default=None, description="which scale this is, where a study has several"
    )
    changed: tuple[Change, ...] = Field(default=(), description="what that scale changed of the paper's")

    _text: str | None = PrivateAttr(default=None)
    _by_id: tuple[dict[str, str], dict[str, PlannedTrial]] | None = PrivateAttr(default=None)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study

    @property
    def sweep_name(self) -> str:
        """What a sweep of it is called by default: `paper-study`, and the scale where it is not the paper's."""
        scale = "" if self.scale in (None, "paper") else f"-{self.scale}"
        return self.study.replace("/", "-") + scale

    @property
    def text(self) -> str:
        """The YAML that this study was loaded from, as it stood; from Python, YAML that means the same."""
        if self._text is not None:
            return self._text
        import yaml

        return yaml.safe_dump(self.content(), sort_keys=False, allow_unicode=True)

    def content(self) -> dict[str, Any]:
        """What the YAML holds: plain values, without what was left to its default."""
        content = self.model_dump(mode="json", exclude_unset=True)
        for recipe in content["datasets"].values():
            recipe.pop("name", None)
        return content

    def trials(self) -> list[PlannedTrial]:
        """Each distinct trial once, in the order of the spaces, their points and their seeds."""
        return list(self._trials)

    def trials_by_id(self, fingerprints: Mapping[str, str]) -> dict[str, PlannedTrial]:
        """The trials in their order by id; `fingerprints` are those of its datasets by name.

        Kept for who asks again with the same ones: a hundred thousand ids take a second.
        """
        if self._by_id is None or self._by_id[0] != fingerprints:
            found = {t.config.trial_id(fingerprints[t.config.dataset]): t for t in self._trials}
            self._by_id = (dict(fingerprints), found)
        return dict(self._by_id[1])

    def space(self, name: str) -> Space:
        """The space of that name; KeyError when there is none."""
        return {space.name: space for space in self.spaces}[name]

    @field_validator("datasets", mode="before")
    @classmethod
    def _name_recipes(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        named = {key: {"name": key, **r} if isinstance(r, dict) else r for key, r in given.items()}
        for key, recipe in named.items():
            name = recipe.get("name") if isinstance(recipe, dict) else getattr(recipe, "name", key)
            if name != key:
                raise refusal((key, "name"), f"must be {key!r}, the key it stands under", name)
        return named

    @field_validator("datasets", "spaces")
    @classmethod
    def _refuse_empty(cls, given: Any) -> Any:
        # Not `min_length`, which reports an empty tuple when every item was refused.
        if not given:
            raise ValueError("is empty: give at least one")
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [space.name for space in self.spaces]
        problems = self._check_subsets()
        problems += [
            Problem(("spaces", i, "name"), "is the name of an earlier space: names must differ", name)
            for i, name in enumerate(names)
            if name in names[:i]
        ]
        # Counted before anything is expanded: the cap is there so that a slip does not fill the memory.
        problems = problems or self._check_caps()
        if problems:
            raise SpecificationError(problems)
        _ = self._trials
        return self

    def _check_subsets(self) -> list[Problem]:
        """A subset is of a dataset of the study, in the same environment, and in the end of one that is none."""
        problems = []
        for name, recipe in self.datasets.items():
            if recipe.subset is None:
                continue
            of, where = recipe.subset.of, ("datasets", name, "subset", "of")
            parent = self.datasets.get(of)
            if parent is None:
                problems.append(Problem(where, unknown("dataset", of, self.datasets), of))
                continue
            if parent.env != recipe.env:
                message = f"must be {parent.env!r}, the environment of {of!r}"
                problems.append(Problem(("datasets", name, "env"), message, recipe.env))
            above, seen = parent, {name}
            while above.subset is not None and above.name not in seen and above.subset.of in self.datasets:
                seen.add(above.name)
                above = self.datasets[above.subset.of]
            if above.name in seen:
                problems.append(Problem(where, "leads back to the dataset itself", of))
        return problems

    def _check_caps(self) -> list[Problem]:
        problems = []
        for i, space in enumerate(self.spaces):
            own = space.design.max_trials
            cap, whose = self.max_trials, "the study's"
            if own is not None and own < cap:
                cap, whose = own, "the design's"
            if len(space) > cap:
                seeds = len(space.seeds)
                message = (
                    f"{len(space) // seeds:,} points x {seeds:,} seeds are {len(space):,} trials, more than "
                    f"{whose} max_trials, {cap:,}: use fewer values, sample or take a fraction, or raise it"
                )
                problems.append(Problem(("spaces", i), message, space.name))
        total = sum(len(space) for space in self.spaces)
        if not problems and total > self.max_trials:
            message = f"the spaces have {total:,} trials together: take some away, or raise max_trials"
            problems.append(Problem(("max_trials",), message, self.max_trials))
        return problems

    @cached_property
    def _trials(self) -> tuple[PlannedTrial, ...]:
        found: dict[TrialConfig, PlannedTrial] = {}
        refused: dict[tuple[tuple[PathPart, ...], str], tuple[Problem, list[Point]]] = {}
        for i, space in enumerate(self.spaces):
            for point, outcome in self._expand(space):
                if isinstance(outcome, SpecificationError):
                    for problem in outcome.problems:
                        where = self._place(i, problem)
                        refused.setdefault((where.path, where.message), (where, []))[1].append(point)
                    continue
                config, protocol = outcome
                earlier = found.get(config, PlannedTrial(config, (), protocol))
                if earlier.protocol != protocol:
                    where = Problem(("spaces", i, "protocol"), _clash(earlier, protocol))
                    refused.setdefault((where.path, where.message), (where, []))[1].append(point)
                found[config] = PlannedTrial(config, (*earlier.spaces, space.name), earlier.protocol)
        if refused:
            raise SpecificationError([_with_points(problem, points) for problem, points in refused.values()])
        return tuple(found.values())

    def _expand(
        self, space: Space
    ) -> Iterator[tuple[Point, tuple[TrialConfig, ResolvedProtocol] | SpecificationError]]:
        """Each point with the trial it makes, or with what is wrong with it."""
        try:
            protocol = space.settle_protocol(self.protocol)
            resolved: dict[int, ResolvedProtocol] = {}
            for point in space.points():
                try:
                    for config in space.replicates(self, point):
                        steps = config.train_steps
                        if steps not in resolved:
                            resolved[steps] = protocol.resolve(steps)
                        yield point, (config, resolved[steps])
                except SpecificationError as error:
                    yield point, error
        except SpecificationError as error:
            yield {}, error

    def _place(self, i: int, problem: Problem) -> Problem:
        """Point to where the offending field was set: the space's axes or base, else the study's base."""
        space, field = self.spaces[i], problem.path[0] if problem.path else None
        if field in space.axes:
            return Problem(("spaces", i, "axes", *problem.path), problem.message, problem.value)
        if field in self.base and field not in space.base:
            return Problem(("base", *problem.path), problem.message, problem.value)
        if field in TrialConfig.model_fields:
            return Problem(("spaces", i, "base", *problem.path), problem.message, problem.value)
        return problem.under("spaces", i)


def _clash(earlier: PlannedTrial, protocol: ResolvedProtocol) -> str:
    ours, theirs = protocol.model_dump(), earlier.protocol.model_dump()
    # Without probes a protocol has no such key.
    keys = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    differing = ", ".join(f"{key} {ours.get(key)!r} against {theirs.get(key)!r}" for key in keys)
    return (
        f"shares trials with space {earlier.spaces[0]!r}, which measures them otherwise ({differing}): "
        "a trial runs once, so give both spaces one protocol, or keep them disjoint"
    )


def _with_points(problem: Problem, points: list[Point]) -> Problem:
    points = [point for i, point in enumerate(points) if point and point not in points[:i]]
    if not points:
        return problem
    first = ", ".join(f"{name}={value!r}" for name, value in points[0].items())
    more = f" and {len(points) - 1:,} more" if len(points) > 1 else ""
    return Problem(problem.path, f"{problem.message} (at {first}{more})", problem.value)
