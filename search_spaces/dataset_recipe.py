"""Where a study's data come from: a dataset that exists, or a recipe to make one."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from search_spaces.canonical import digest
from search_spaces.collect_recipe import Collect
from search_spaces.errors import refusal
from search_spaces.specification import Name, Specification
from search_spaces.trial import Environment


class DatasetRecipe(Specification):
    """A dataset by its name in the study: `existing: true` under the root's `datasets/`, or `collect`."""

    name: Name = Field(description="the key under `datasets`")
    env: Environment = Field(description="the environment of the data, such as 'bsuite/catch/0'")
    existing: Annotated[bool, Field(strict=True)] = False
    collect: Collect | None = None

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if self.existing == (self.collect is not None):
            message = "needs either `existing: true` (under the root) or `collect` (a recipe), and not both"
            raise refusal((), message)
        return self

    def recipe_id(self) -> str:
        """`recipe:` and 16 hexadecimal digits; stands for the fingerprint of data that are yet to be made.

        Equal recipes have equal ids under any name. An existing dataset has no recipe, so its name counts.
        """
        if self.collect is None:
            return "recipe:" + digest({"env": self.env, "existing": self.name})
        return "recipe:" + digest({"env": self.env, "collect": self.collect.non_defaults()})
