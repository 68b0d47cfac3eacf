"""How a dataset is cut out of another one of the study."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from search_spaces.errors import Problem, SpecificationError, refusal
from search_spaces.specification import Name, Natural, Positive, Probability, Seed, Specification

Share = Annotated[Positive, Field(le=1)]


class Subset(Specification):
    """A part of the dataset `of`; frames are shared, not copied.

    Selections are applied in this order: checkpoints, prefix, returns, fraction. For another order make a
    subset of a subset.
    """

    of: Name = Field(description="another dataset of this study")
    checkpoints: tuple[Natural, Natural] | None = Field(
        default=None, description="training checkpoints of the behaviour policy, first and last included"
    )
    prefix: Share | None = Field(default=None, description="the share that was collected first")
    returns: tuple[Probability, Probability] | None = Field(
        default=None, description="completed episodes between two quantiles of episode return"
    )
    fraction: Share | None = Field(default=None, description="the share of transitions drawn at random")
    seed: Seed = Field(default=0, description="of the draw of `fraction`")

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if not (self.checkpoints or self.prefix or self.returns or self.fraction):
            raise refusal((), "needs at least one of checkpoints, prefix, returns and fraction")
        if self.checkpoints is not None and self.checkpoints[0] > self.checkpoints[1]:
            problems.append(
                Problem(("checkpoints",), "must be [first, last], first <= last", self.checkpoints)
            )
        if self.returns is not None and self.returns[0] >= self.returns[1]:
            problems.append(Problem(("returns",), "must be [low, high], low < high", self.returns))
        if self.fraction is None and self.seed != 0:
            problems.append(Problem(("seed",), "is used with `fraction` only: leave it out", self.seed))
        if problems:
            raise SpecificationError(problems)
        return self
