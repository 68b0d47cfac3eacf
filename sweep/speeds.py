"""How fast packs train: what this root has measured, else the reference that ships with the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from agents.environments import describe
from sweep.compiling import saved_seconds
from sweep.packing import network_cost
from sweep.plan import PackSpec
from sweep.store import Store

__all__ = ["Estimate", "Speeds"]


@dataclass(frozen=True)
class Estimate:
    """Seconds of one pack on one worker, and where the number comes from."""

    seconds: float
    source: str


class Speeds:
    """Measured rates in forward floating-point operations of training per second, by device and network.

    The seconds are all that a pack took, with its probes, evaluations and writing.

    Results under the root count before the reference table: they are of this machine and these versions.
    """

    def __init__(self, root: Path, device: str) -> None:
        """`device`: "cpu", or a card's name as PyTorch gives it."""
        self.device = device
        # By whether updates were compiled, network and batch size: work, and the seconds it took.
        self._measured: dict[tuple[bool, str, int], tuple[float, float]] = {}
        self._devices = {row["device"] for row in _reference()}
        for spec, result in _results(root):
            self._devices |= {result["device"]} if "device" in result else set()
            if result.get("device") != device or "train" not in result.get("seconds", {}):
                continue
            kind = (bool(result.get("compiled")), *_kind(spec))
            work, seconds = self._measured.get(kind, (0.0, 0.0))
            # Groups of probes cost what their own protocol asks for: no measure of another study's trials.
            spent = sum(took for what, took in result["seconds"].items() if not what.startswith("probe."))
            self._measured[kind] = (work + spec.work, seconds + spent)

    def devices(self) -> list[str]:
        """Every device that something was measured on, here or in the reference table."""
        return sorted(self._devices)

    def estimate(self, pack: PackSpec) -> Estimate | None:
        """What `pack` should take; None where nothing like it was ever measured on this device."""
        # Eager packs are several times slower: they count for packs like them, or where nothing else was measured.
        eager = pack.eager_by_choice is not None
        ways = ((True, "measured under this root"), (False, "measured eagerly under this root"))
        for compiled, source in reversed(ways) if eager else ways:
            work, seconds = self._measured.get((compiled, *_kind(pack)), (0.0, 0.0))
            if work > 0 and seconds > 0:
                return Estimate(pack.work * seconds / work, source)
        rows = [
            row
            for row in _reference()
            if (row["device"], row["network"]) == (self.device, pack.config.network)
        ]
        if not rows:
            return None
        row = min(rows, key=lambda row: abs(row["batch_size"] - pack.config.batch_size))
        more = _saved_by_compiling(pack) if eager else row["compile_seconds"]
        return Estimate(more + pack.work / (row["gflops"] * 1e9), f"measured on {row['machine']}")


def _saved_by_compiling(pack: PackSpec) -> float:
    env = describe(pack.config.env)
    cost = network_cost(pack.config, env.observation_shape, env.num_actions)
    return saved_seconds(pack.config, cost, pack.size)


def _kind(pack: PackSpec) -> tuple[str, int]:
    return pack.config.network, pack.config.batch_size


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
