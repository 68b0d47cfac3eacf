"""What sets two sweeps apart: their studies, the code and machines that ran them, their data, their results."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from search_spaces import SpecificationError, parse_study
from sweep.diff_results import ResultsDiff, diff_results
from sweep.store import SweepStore

__all__ = ["Difference", "SweepDiff", "diff_sweeps"]

_MACHINE = ("host", "platform", "processor", "cores")


@dataclass(frozen=True)
class Difference:
    """One thing that differs: `a` and `b` are its values, None where a sweep has none."""

    what: str
    a: Any
    b: Any


@dataclass(frozen=True)
class SweepDiff:
    """What differs; all is empty where two sweeps are alike.

    `study` has the paths of the specification (`spaces.narrow.axes.learning_rate`, `protocol.eval_every`), `text`
    the lines of a unified diff of the files, `code` the commit, versions, machine and resources of each sweep's
    last run, `datasets` fingerprints.
    """

    study: tuple[Difference, ...]
    text: tuple[str, ...]
    code: tuple[Difference, ...]
    datasets: tuple[Difference, ...]
    results: ResultsDiff

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)


def diff_sweeps(a: SweepStore, b: SweepStore) -> SweepDiff:
    """Compare two sweeps, of one root or two, finished or not."""
    one, two = a.sweep_record() or {}, b.sweep_record() or {}
    return SweepDiff(
        study=tuple(_differences(_specification(one), _specification(two))),
        text=tuple(
            difflib.unified_diff(
                str(one.get("study_text", "")).splitlines(),
                str(two.get("study_text", "")).splitlines(),
                a.name,
                b.name,
                lineterm="",
                n=1,
            )
        ),
        code=tuple(_differences(_code(one), _code(two))),
        datasets=tuple(_differences(_datasets(one), _datasets(two))),
        results=diff_results(a, b),
    )


def _specification(record: Mapping[str, Any]) -> dict[str, Any]:
    """The study as paths and values, everything that is left to a default included."""
    about = {key: record.get(key) for key in ("study", "scale", "scheduler")}
    try:
        study = parse_study(str(record["study_text"]), "the record", record.get("scale"))
    except (KeyError, SpecificationError):
        return about  # of another version: the text tells
    content = study.model_dump(mode="json", exclude={"name", "study", "scale", "changed"})
    return {**about, **dict(_paths(content))}


def _paths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings; lists of things with names go by those, others are values."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        value = {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in value}
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _paths(one, f"{path}.{key}" if path else str(key))
    elif value is not None:
        yield path, value


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    git, machine = record.get("git") or {}, record.get("machine") or {}
    found = {"commit": git.get("commit"), "changed since that commit": git.get("dirty")}
    found |= {f"version of {name}": version for name, version in (record.get("versions") or {}).items()}
    found |= {f"machine: {key}": machine.get(key) for key in _MACHINE}
    runs = record.get("runs") or [{}]
    return found | {f"resources: {key}": value for key, value in (runs[-1].get("resources") or {}).items()}


def _datasets(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about.get("fingerprint") for name, about in (record.get("datasets") or {}).items()}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    for what in dict.fromkeys([*a, *b]):
        if a.get(what) != b.get(what):
            yield Difference(what, a.get(what), b.get(what))
