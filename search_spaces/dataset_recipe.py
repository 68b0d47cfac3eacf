"""Where a study's data come from: a dataset that exists, or a recipe to make one."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from search_spaces.canonical import digest
from search_spaces.collect_recipe import Collect
from search_spaces.errors import refusal
from search_spaces.import_recipe import Import
from search_spaces.specification import Name, Specification
from search_spaces.subset_recipe import Subset
from search_spaces.trial import Environment

Kind = Literal["existing", "collect", "import", "url", "subset"]
_ONE_WAY: Final = (
    "needs either `existing: true` (under the root) or one recipe (`collect`, `import`, `url` or `subset`), "
    "and not both"
)


def _check_url(url: str) -> str:
    if not re.fullmatch(r"(gs|s3|https?)://[^\s?#]+", url):
        raise ValueError("must be the address of a dataset's folder at gs://, s3:// or https://")
    return url.rstrip("/")


Url = Annotated[str, Field(strict=True), AfterValidator(_check_url)]


class DatasetRecipe(Specification):
    """A dataset by its name in the study: it is under the root's `datasets/`, or is made there once.

    `url` is a dataset of our own format that lies elsewhere: the root gets its manifest, and each node that
    trains fetches the data into its own cache.
    """

    # `import` is no name in Python; the key of a study it is.
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    name: Name = Field(description="the key under `datasets`")
    env: Environment = Field(description="the environment of the data, such as 'bsuite/catch/0'")
    existing: Annotated[bool, Field(strict=True)] = False
    collect: Collect | None = None
    import_: Import | None = Field(default=None, alias="import")
    url: Url | None = None
    subset: Subset | None = None

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        ways = (self.collect, self.import_, self.url, self.subset)
        if self.existing + sum(way is not None for way in ways) != 1:
            raise refusal((), _ONE_WAY)
        if self.subset is not None and self.subset.of == self.name:
            raise refusal(
                ("subset", "of"), "is the dataset itself: name the one to take a part of", self.name
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which of the five ways it is."""
        if self.collect is not None:
            return "collect"
        if self.import_ is not None:
            return "import"
        if self.url is not None:
            return "url"
        return "existing" if self.subset is None else "subset"

    def recipe_id(self, parent: str | None = None) -> str:
        """`recipe:` and 16 hexadecimal digits; stands for the fingerprint of data that are yet to be made.

        Equal recipes have equal ids under any name. An existing dataset has no recipe, so its name counts. For
        a subset `parent` is what stands for the dataset that it is a part of.
        """
        content: object = self.name
        if self.collect is not None:
            content = self.collect.non_defaults()
        elif self.import_ is not None:
            content = self.import_.non_defaults()
        elif self.url is not None:
            content = self.url
        elif self.subset is not None:
            content = {**self.subset.non_defaults(), "of": parent or self.subset.of}
        return "recipe:" + digest({"env": self.env, self.kind: content})
