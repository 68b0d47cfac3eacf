"""One text for one meaning, and the hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def normalise(value: Any) -> Any:
    """Tuples as lists and no negative zero, so that equal values have equal JSON."""
    if isinstance(value, float):
        return value + 0.0  # -0.0 equals 0.0 but is printed otherwise
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    return value


def canonical_json(content: Mapping[str, Any]) -> str:
    """Sorted keys, no blanks, ASCII; floats as the shortest text that reads back."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(content: Mapping[str, Any]) -> str:
    """First 16 hexadecimal digits (64 bits) of the SHA-256 of the canonical JSON.

    Two of a million trials share an id with probability 3e-8.
    """
    return hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest()[:16]
