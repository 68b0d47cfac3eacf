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
    """One thing that differs: `a` and `b` are its values, None where a sweep has none; a whole part is a mapping."""

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
    """The study as nested mappings, everything that is left to a default included."""
    about = {key: record.get(key) for key in ("study", "scale", "scheduler")}
    try:
        study = parse_study(str(record["study_text"]), "the record", record.get("scale"))
    except (KeyError, SpecificationError):
        return about  # of another version: the text tells
    content = study.model_dump(mode="json", exclude={"name", "study", "scale", "changed"})
    return {**about, **_by_name(content)}


def _by_name(value: Any) -> Any:
    """Lists of things with names as mappings, so that they are compared by those and not by their order."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        return {one["name"]: _by_name({k: v for k, v in one.items() if k != "name"}) for one in value}
    return {key: _by_name(one) for key, one in value.items()} if isinstance(value, dict) else value


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    git, machine = record.get("git") or {}, record.get("machine") or {}
    found = {"commit": git.get("commit"), "changed since that commit": git.get("dirty")}
    found |= {f"version of {name}": version for name, version in (record.get("versions") or {}).items()}
    found |= {f"machine: {key}": machine.get(key) for key in _MACHINE}
    runs = record.get("runs") or [{}]
    # Free memory differs from minute to minute.
    resources = {k: v for k, v in (runs[-1].get("resources") or {}).items() if k != "memory_bytes"}
    return found | {f"resources: {key}": value for key, value in resources.items()}


def _datasets(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about.get("fingerprint") for name, about in (record.get("datasets") or {}).items()}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], within: str = "") -> Iterator[Difference]:
    """What differs, as deep as both sides go."""
    for key in dict.fromkeys([*a, *b]):
        one, two, path = a.get(key), b.get(key), f"{within}{key}"
        if isinstance(one, dict) and isinstance(two, dict):
            yield from _differences(one, two, f"{path}.")
        elif one != two:
            yield Difference(path, one, two)
