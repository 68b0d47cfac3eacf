"""Where a sweep came from, as its record says: short facts in words, everything else whole and folded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sweep.analysis.vocabulary import label

_LONG = 160
# Shown at the head of the page, or with the study's text.
_ELSEWHERE = frozenset({"question", "spaces"})


@dataclass(frozen=True)
class Provenance:
    """Short facts as (words, value) and long texts as (words, text)."""

    facts: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]


def provenance(record: Mapping[str, Any] | None) -> Provenance:
    """Every entry of the sweep's record: what `sweep run` writes in words, entries it does not know as they are."""
    facts: list[tuple[str, str]] = []
    texts: list[tuple[str, str]] = []
    for key, value in (record or {}).items():
        if key in _ELSEWHERE:
            continue
        if key == "datasets" and isinstance(value, Mapping):
            for name, about in value.items():
                facts.append((f"Dataset {name}", _dataset(about)))
                texts.append((f"How dataset {name} was made", _listing(about)))
        elif key == "git" and isinstance(value, Mapping):
            facts.append(("Code", _code(value)))
        elif key == "machine" and isinstance(value, Mapping):
            facts.append(("Machine", ", ".join(f"{k} {_text(v)}" for k, v in value.items())))
        elif isinstance(value, Mapping) or _is_nested(value):
            texts.append((label(key), _listing(value)))
        else:
            text = _moment(value) if key == "created" else _text(value)
            (texts if "\n" in text.strip() or len(text) > _LONG else facts).append((label(key), text))
    return Provenance(tuple(facts), tuple(texts))


def _dataset(about: Any) -> str:
    if not isinstance(about, Mapping):
        return _text(about)
    told = [str(about["env"])] if "env" in about else []
    if "transitions" in about:
        told.append(f"{about['transitions']:,} transitions")
    agent = _within(about, "provenance", "recipe", "agent")
    if agent is not None:
        told.append(f"collected by {agent}")
    if "fingerprint" in about:
        told.append(f"fingerprint {str(about['fingerprint'])[:12]}")
    return ", ".join(told)


def _code(git: Mapping[str, Any]) -> str:
    commit = _text(git.get("commit"))
    return f"commit {commit}{' with uncommitted changes' if git.get('dirty') else ''}"


def _moment(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _text(value)


def _within(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_nested(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value)


def _listing(value: object) -> str:
    """Everything, as indented lines; exact numbers, the names that the record has."""
    return "\n".join(_lines(value, ""))


def _lines(value: object, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        lines = []
        for key, inner in value.items():
            if (isinstance(inner, Mapping) and inner) or _is_nested(inner):
                lines += [f"{indent}{key}", *_lines(inner, indent + "  ")]
            else:
                lines.append(f"{indent}{key} {_text(inner)}")
        return lines
    if isinstance(value, list) and _is_nested(value):
        lines = []
        for number, inner in enumerate(value, 1):
            lines += [f"{indent}{number}.", *_lines(inner, indent + "  ")]
        return lines
    return [indent + _text(value)]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "\u2013"
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False)
