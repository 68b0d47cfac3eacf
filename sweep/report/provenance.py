"""Where a sweep came from, as its record says: whatever it holds, in rows of words, long texts folded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.analysis.vocabulary import label

_LONG = 160


@dataclass(frozen=True)
class Provenance:
    """Short facts as (words, value) and long texts as (words, text)."""

    facts: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]


def provenance(record: Mapping[str, Any] | None) -> Provenance:
    """Every entry of the sweep's record, nested ones under "outer: inner"."""
    facts: list[tuple[str, str]] = []
    texts: list[tuple[str, str]] = []
    for words, value in _flat(record or {}, ""):
        (texts if "\n" in value.strip() or len(value) > _LONG else facts).append((words, value))
    return Provenance(tuple(facts), tuple(texts))


def _flat(value: Mapping[str, Any], outer: str) -> list[tuple[str, str]]:
    rows = []
    for key, inner in value.items():
        # Names of packages and datasets stay as they are; names of fields become words.
        words = f"{outer}: {key}" if outer else label(key)
        if isinstance(inner, Mapping) and inner:
            if len(inner) > 12 and all(not isinstance(v, Mapping | list) for v in inner.values()):
                rows.append((words, "\n".join(f"{k} {v}" for k, v in inner.items())))
            else:
                rows += _flat(inner, words)
        else:
            rows.append((words, _text(inner)))
    return rows


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
