"""A process that ends at a chosen change to the disk, without tidying up."""

from __future__ import annotations

import os
from typing import Any


class Crash(BaseException):
    """The process is gone: not an Exception, so that no handler tidies up after it."""


class CrashingOs:
    """`os` for the store's files, which ends the world before or after the n-th change to the disk."""

    CHANGING = ("link", "replace", "unlink", "mkdir", "rmdir", "fsync")

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self.after, self.calls = at, after, list[str]()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CHANGING:
            return real

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append(name)
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Crash
            result = real(*arguments, **keywords)
            if self.left == 0:
                raise Crash
            return result

        return call
