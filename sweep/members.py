"""The members of a pack, with what they share kept once.

A configuration has some sixty fields, and the members of a pack differ in a few of them. Written out whole, the
plan of a hundred thousand trials is 180 MB of JSON; like this it is a twentieth, and who reads a plan makes the
configurations only of the packs that it looks into (docs/decisions/028-a-hundred-thousand-trials.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from search_spaces import TrialConfig

__all__ = ["Members", "PackTrial", "shared_config"]


class PackTrial(BaseModel):
    """A member of a pack: its trial's id and configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial_id: str
    config: TrialConfig


class Members(Sequence[PackTrial]):
    """A sequence of `PackTrial`, in JSON `{"ids": [...], "shared": {field: value}, "varying": {field: [...]}}`.

    A list of trials written out whole, as plans had them once, is read too. A configuration that was read is
    checked when it is asked for, and raises SpecificationError then.
    """

    def __init__(
        self, ids: Sequence[str], shared: Mapping[str, Any], varying: Mapping[str, Sequence[Any]]
    ) -> None:
        if not ids:
            raise ValueError("a pack has at least one member")
        for name, column in varying.items():
            if len(column) != len(ids):
                raise ValueError(f"{name} has {len(column)} values for {len(ids)} members")
        self.ids, self.shared, self.varying = tuple(ids), dict(shared), dict(varying)
        self._configs: tuple[TrialConfig, ...] | None = None

    @classmethod
    def of(cls, trials: Iterable[tuple[str, TrialConfig]]) -> Members:
        """Of ids and configurations."""
        ids, configs = zip(*trials, strict=True)
        shared, varying = {}, {}
        for name, value in configs[0].__dict__.items():
            column = [config.__dict__[name] for config in configs]
            # 0.0 and -0.0, and 1 and 1.0, are equal and not the same text.
            if all(other is value or (other == value and repr(other) == repr(value)) for other in column):
                shared[name] = value
            else:
                varying[name] = column
        made = cls(ids, shared, varying)
        made._configs = configs
        return made

    def columns(self) -> dict[str, Sequence[Any]]:
        """Each field's value for every member, without making their configurations."""
        shared = {name: [value] * len(self) for name, value in self.shared.items()}
        return {**shared, **self.varying}

    def as_json(self) -> dict[str, Any]:
        """What a plan holds."""
        return {"ids": list(self.ids), "shared": self.shared, "varying": self.varying}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> PackTrial: ...
    @overload
    def __getitem__(self, at: slice) -> Members: ...
    def __getitem__(self, at: int | slice) -> PackTrial | Members:
        if isinstance(at, slice):
            varying = {name: column[at] for name, column in self.varying.items()}
            return Members(self.ids[at], self.shared, varying)
        return self._first if at == 0 else self._all[at]

    def __iter__(self) -> Iterator[PackTrial]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self.ids)

    def __repr__(self) -> str:
        return f"Members({', '.join(self.ids)})"

    @cached_property
    def _first(self) -> PackTrial:
        return self._member(0)

    @cached_property
    def _all(self) -> tuple[PackTrial, ...]:
        return tuple(self._member(row) for row in range(len(self)))

    def _member(self, row: int) -> PackTrial:
        if self._configs is not None:
            config = self._configs[row]
        else:
            config = TrialConfig(
                **self.shared, **{name: column[row] for name, column in self.varying.items()}
            )
        return PackTrial.model_construct(trial_id=self.ids[row], config=config)

    @classmethod
    def _read(cls, given: Any) -> Members:
        if isinstance(given, Members):
            return given
        if isinstance(given, Mapping):
            if given.keys() != {"ids", "shared", "varying"}:
                raise ValueError(f"members have ids, shared and varying, not {', '.join(map(str, given))}")
            return cls(given["ids"], given["shared"], given["varying"])
        whole = _WHOLE.validate_python(given)
        return cls.of((member.trial_id, member.config) for member in whole)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(cls.as_json)
        )


def shared_config(members: Mapping[str, Any] | Sequence[Any]) -> Mapping[str, Any]:
    """Of a pack's members as a plan holds them, the fields that all have: for who counts packs and makes none."""
    if isinstance(members, Mapping):
        found: Mapping[str, Any] = members["shared"]
        return found
    first: Mapping[str, Any] = members[0]["config"]
    return first


_WHOLE = TypeAdapter(tuple[PackTrial, ...])
