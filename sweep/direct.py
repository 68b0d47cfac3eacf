"""Requests to servers of this machine, which go past any proxy that the environment names for the rest of the world."""

from __future__ import annotations

import urllib.request
from typing import Any

__all__ = ["open_directly"]

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_directly(request: str | urllib.request.Request, seconds: float) -> Any:
    """The answer, as of `urlopen`, to a URL or request; nothing is waited for longer than `seconds`.

    Raises what `urlopen` does.
    """
    return _opener.open(request, timeout=seconds)
