"""What the benchmarks share: the machine they ran on, turns, the ratio to the peer, JSON lines and a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil
from rich.console import Console
from rich.table import Table

_VERSIONED = ("torch", "ray", "mlflow", "pyarrow", "numpy")
_PLAIN = ("benchmark", "measure", "ratio", "bar", "better", "met", "meaning", "machine")


@cache
def machine() -> dict[str, Any]:
    """The machine in words and numbers; `load` is what others were doing when the benchmark began."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in _VERSIONED},
    }


def judged(ratio: float, bar: float, better: Literal["higher", "lower"]) -> dict[str, Any]:
    """A ratio, its bar, and whether it is met, as parts of a result."""
    met = ratio >= bar if better == "higher" else ratio <= bar
    return {"ratio": round(ratio, 4), "bar": bar, "better": better, "met": bool(met)}


def emit(benchmark: str, measure: str, **figures: Any) -> dict[str, Any]:
    """Print one result as a JSON line, at once, and return it for the table."""
    result = {"benchmark": benchmark, "measure": measure, **figures}
    print(json.dumps({**result, "machine": machine()}), flush=True)
    return result


def show(title: str, results: Sequence[Mapping[str, Any]]) -> None:
    """The closing table: what was measured, its figures, the ratio and its bar."""
    table = Table(title=title, caption=_caption())
    table.add_column("measure")
    table.add_column("figures")
    table.add_column("ratio", justify="right")
    table.add_column("bar")
    for result in results:
        figures = ", ".join(f"{name} {_short(v)}" for name, v in result.items() if name not in _PLAIN)
        bar = "" if "met" not in result else "met" if result["met"] else "MISSED"
        if "bar" in result:
            bar = f"{'>=' if result['better'] == 'higher' else '<='} {result['bar']} {bar}"
        table.add_row(str(result["measure"]), figures, _short(result.get("ratio", "")), bar)
    Console(width=150).print(table)


def unmet(results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any result misses its bar."""
    return any(not result["met"] for result in results if "met" in result)


def in_turn(tasks: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each task, `repeats` times one after the other so that they share the machine's moods.

    Each runs once before, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(repeats + 1):
        # Every other turn backwards: neither always follows the other.
        for name, task in list(tasks.items())[:: 1 if repeat % 2 else -1]:
            start = time.perf_counter()
            task()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of turn-by-turn ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _caption() -> str:
    here = machine()
    return (
        f"{here['cores']} cores of {here['processor'] or here['system']}, {here['memory_gib']} GiB, "
        f"load {here['load']} at the start, Python {here['python']}, torch {here['torch']}"
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
