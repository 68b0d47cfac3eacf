"""The command that this process was started by, as it may be kept and shown: without secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

__all__ = ["command_without_secrets"]

_USER = re.compile(r"(?<=://)[^/\s]+@")  # up to the last @: a password may have some


def command_without_secrets(arguments: Sequence[str] | None = None) -> list[str]:
    """`sys.argv` with `…` for addresses of `--notify`, and for users and passwords of all URLs."""
    kept: list[str] = []
    for argument in sys.argv if arguments is None else arguments:
        option, equals, value = argument.partition("=")
        if kept and kept[-1] == "--notify":
            argument = _address(argument)
        elif option == "--notify" and equals:
            argument = f"--notify={_address(value)}"
        kept.append(_USER.sub("…@", argument))
    return kept


def _address(value: str) -> str:
    return value if value.startswith("env:") else "…"
