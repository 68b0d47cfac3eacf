"""What every model of this package shares: frozen, no unknown keys, and errors that name all problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.canonical import normalise
from search_spaces.errors import NO_VALUE, Problem, SpecificationError, did_you_mean, unknown

NAME_RULE = "1 to 64 of a-z 0-9 . _ -, and begins with a letter or a digit"
_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"


def _check_name(name: str) -> str:
    # Names become folder names under the root: this pattern holds neither a separator nor a leading dot.
    if not re.fullmatch(_NAME, name):
        raise ValueError(f"a name is {NAME_RULE}")
    return name


def _check_study_name(name: str) -> str:
    if not re.fullmatch(f"({_NAME}/)?{_NAME}", name):
        raise ValueError(f"a name is {NAME_RULE}; before a study's may stand its paper's, PAPER/STUDY")
    return name


Name = Annotated[str, Field(strict=True), AfterValidator(_check_name)]
StudyName = Annotated[str, Field(strict=True), AfterValidator(_check_study_name)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
# Philox is keyed by 64 bits, and JSON, Parquet and MLflow keep integers up to int64.
Seed = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1)]
BelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]


class Specification(BaseModel):
    """Base of all models here. Types are strict, save that an integer is taken where a float is asked for.

    Raises `SpecificationError`, never pydantic's own error, with the problems of nested models in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **data: Any) -> None:
        # pydantic calls this for nested models too; `problems_in` unfolds what they raised.
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecificationError(problems_in(error, type(self)), source=type(self).__name__) from None

    @classmethod
    def parse(cls, data: object, source: str) -> Self:
        """Validate what a file held; the errors name the file as `source`."""
        if not isinstance(data, Mapping):
            problem = Problem((), f"must be a mapping with the keys {', '.join(cls.model_fields)}", data)
            raise SpecificationError([problem], source)
        try:
            return cls(**data)
        except SpecificationError as error:
            raise SpecificationError(error.problems, source) from None

    def non_defaults(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as JSON types: the content that ids are taken of."""
        content, values = {}, self.__dict__
        for name, default, follows in _defaults(type(self)):
            value = values[name]
            if value != (default if follows is None else follows(values)):
                content[name] = normalise(value)
        return content


@cache
def _defaults(model: type[BaseModel]) -> tuple[tuple[str, Any, Callable[[dict[str, Any]], Any] | None], ...]:
    """Each field with its default, or with what makes it of the other fields, as hidden_sizes is of network.

    Asked once a model: a hundred thousand trials are compared with it.
    """

    def follows(field: FieldInfo) -> Callable[[dict[str, Any]], Any] | None:
        if field.default_factory is None:
            return None
        if field.default_factory_takes_validated_data:
            return cast("Callable[[dict[str, Any]], Any]", field.default_factory)
        plain = cast("Callable[[], Any]", field.default_factory)
        return lambda values: plain()

    return tuple((name, field.default, follows(field)) for name, field in model.model_fields.items())


def problems_in(error: ValidationError, model: type[BaseModel] | None = None) -> list[Problem]:
    """Pydantic's errors as problems; `model` supplies the keys to suggest for an unknown one."""
    problems: list[Problem] = []
    for line in error.errors(include_url=False):
        path = tuple(part for part in line["loc"] if part != "[key]")
        cause = line.get("ctx", {}).get("error")
        if isinstance(cause, SpecificationError):
            problems.extend(problem.under(*path) for problem in cause.problems)
        elif line["type"] == "extra_forbidden" and model is not None:
            keys = [field.alias or name for name, field in model.model_fields.items()]
            problems.append(Problem(path, unknown("key", path[-1], keys), line["input"]))
        elif line["type"] == "missing":
            problems.append(Problem(path, _missing(str(path[-1]), model), NO_VALUE))
        elif line["type"] == "literal_error":
            expected = line.get("ctx", {})["expected"]
            allowed = re.findall(r"'([^']*)'", expected)
            message = f"must be {expected}{did_you_mean(line['input'], allowed)}"
            problems.append(Problem(path, message, line["input"]))
        elif line["type"] != "default_factory_not_called":  # says only that another field is wrong
            message = str(cause) if cause else line["msg"].replace("Input should be", "must be")
            problems.append(Problem(path, message, line["input"]))
    return problems


def _missing(name: str, model: type[BaseModel] | None) -> str:
    field = model.model_fields.get(name) if model is not None else None
    meaning = f" ({field.description})" if field is not None and field.description else ""
    return f"is missing, and has no default{meaning}"
