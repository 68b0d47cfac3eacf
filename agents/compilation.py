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
    # Inductor would compile and load six test programs to see that g++ knows the processor's vector
    # instructions, in every process: 1.4 s warm, 7 s cold. Where it does not, compilation fails and we go on
    # eagerly.
    os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


def why_not_compile(device: torch.device) -> str | None:
    """Why updates cannot be compiled for ``device`` here, or None where they can."""
    if device.type == "cpu" and not any(
        shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name
    ):
        return "no C++ compiler was found (looked for $CXX, g++, clang++)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "the triton package is not installed"
    return None


class CompiledUpdate:
    """``update``, a bound method, compiled for fixed shapes; or as it is, with one warning why.

    Compilation happens at the first call. Should it fail, nothing has been computed yet, and the plain
    ``update`` takes over from that call on. ``compiled`` says which of the two runs.
    """

    def __init__(self, update: Callable[[Any], None], device: torch.device) -> None:
        self.compiled = False
        self._plain = self._run = update
        self._proven = True
        reason = why_not_compile(device)
        if reason is not None:
            warn_eager(reason)
            return
        # One compiled variant needs no guards that tell variants apart: shapes are a pack's own. Checking them took 5 %
        # of a step of the bsuite networks.
        options: Any = {"guard_filter_fn": lambda guards: [False] * len(guards)}
        compiled: Any = torch.compile(_with_own_code(update), fullgraph=True, dynamic=False, options=options)
        self._run, self.compiled, self._proven = compiled, True, False

    def __call__(self, chosen: Any) -> None:
        """Run the update on ``chosen``."""
        if self._proven:
            self._run(chosen)
        else:
            self._first_run(chosen)

    def _first_run(self, chosen: Any) -> None:
        try:
            self._run(chosen)
        except Exception as error:
            if not _is_compiler_failure(error):
                raise
            message = next((line for line in str(error).splitlines() if line.strip()), "no message")
            warn_eager(f"compilation failed ({type(error).__name__}: {message.strip()[:200]})")
            self._run, self.compiled = self._plain, False
            self._run(chosen)
        self._proven = True


def _is_compiler_failure(error: Exception) -> bool:
    return type(error).__module__.startswith(("torch._inductor", "torch._dynamo"))


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
