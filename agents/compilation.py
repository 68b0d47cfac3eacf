"""``torch.compile`` with a cache on disk, and a plain way round where no compiler exists."""

import logging
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import torch

logger = logging.getLogger(__name__)


def use_compile_cache(folder: Path) -> None:
    """Keep compiled kernels in ``folder``, shared by all processes; call it before anything is compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")


def why_not_compile(device: torch.device) -> str | None:
    """Why updates cannot be compiled for ``device`` here, or None where they can."""
    if device.type == "cpu" and not any(
        shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name
    ):
        return "no C++ compiler was found (looked for $CXX, g++, clang++)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "the triton package is not installed"
    return None


def compile_update(update: Callable[..., None], device: torch.device) -> tuple[Callable[..., None], bool]:
    """``update`` compiled for fixed shapes, and True; or ``update`` itself and False, with one warning why."""
    reason = why_not_compile(device)
    if reason is not None:
        warn_eager(reason)
        return update, False
    compiled: Any = torch.compile(_with_own_code(update), fullgraph=True, dynamic=False)
    return compiled, True


def _with_own_code(method: Callable[..., None]) -> Callable[..., None]:
    """The same method on a copy of its code object.

    Dynamo keeps compiled variants by code object, tries their guards in turn and gives up after eight; a copy
    keeps packs of one process out of each other's way.
    """
    function: Any = method.__func__  # type: ignore[attr-defined]
    code = function.__code__.replace()
    copy = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    return MethodType(copy, method.__self__)  # type: ignore[attr-defined]


def warn_eager(reason: str) -> None:
    """Say once a process that updates run eagerly, why, and what would mend it."""
    global _warned
    if not _warned:
        logger.warning(
            "training runs eagerly, about 4 times slower than compiled: %s. Install g++ (Debian: apt-get install "
            "g++) or run `sweep doctor` to see what is missing.",
            reason,
        )
        _warned = True


_warned = False
