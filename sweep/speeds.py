"""How fast packs train: what this root has measured, else the reference that ships with the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sweep.plan import PackSpec
from sweep.store import Store

__all__ = ["Estimate", "Speeds"]


@dataclass(frozen=True)
class Estimate:
    """Seconds of one pack on one worker, and where the number comes from."""

    seconds: float
    source: str


class Speeds:
    """Measured rates in forward floating-point operations per second of training, by device and network.

    Results under the root count before the reference table: they are of this machine and these versions.
    """

    def __init__(self, root: Path, device: str) -> None:
        """`device`: "cpu", or a card's name as PyTorch gives it."""
        self.device = device
        self._measured: dict[tuple[str, int], tuple[float, float]] = {}
        for spec, result in _results(root):
            if result.get("device") != device or "train" not in result.get("seconds", {}):
                continue
            work, seconds = self._measured.get(_kind(spec), (0.0, 0.0))
            self._measured[_kind(spec)] = (work + spec.work, seconds + result["seconds"]["train"])

    def estimate(self, pack: PackSpec) -> Estimate | None:
        """What `pack` should take; None where nothing like it was ever measured on this device."""
        work, seconds = self._measured.get(_kind(pack), (0.0, 0.0))
        if seconds > 0:
            return Estimate(pack.work * seconds / work, "measured under this root")
        for row in _reference():
            if (row["device"], row["network"], row["batch_size"]) == (self.device, *_reference_kind(pack)):
                return Estimate(
                    row["compile_seconds"] + pack.work / (row["gflops"] * 1e9),
                    f"measured on {row['machine']}",
                )
        return None


def _kind(pack: PackSpec) -> tuple[str, int]:
    return pack.config.network, pack.config.batch_size


def _reference_kind(pack: PackSpec) -> tuple[str, int]:
    sizes = [row["batch_size"] for row in _reference() if row["network"] == pack.config.network]
    nearest = min(sizes, key=lambda size: abs(size - pack.config.batch_size), default=0)
    return pack.config.network, nearest


def _results(root: Path) -> Iterable[tuple[PackSpec, dict[str, Any]]]:
    store = Store(root)
    for name in store.sweeps():
        sweep = store.sweep(name)
        done = sweep.packs_done()
        for plan in sweep.plans() if done else []:
            for pack_id in plan["packs"].keys() & done:
                result = sweep.result(pack_id)
                if result is not None:
                    yield PackSpec.model_validate(plan["packs"][pack_id]), result


@cache
def _reference() -> list[dict[str, Any]]:
    import yaml

    text = (resources.files("sweep") / "measured_speeds.yaml").read_text()
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows
