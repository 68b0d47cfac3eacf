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
from sweep.errors import CorruptSegmentError
from sweep.members import shared_config
from sweep.packing import network_cost
from sweep.plan import PackSpec
from sweep.store import Store, files
from sweep.store.standings import read_side_by_side

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
        for network_and_batch, new_work, result in _results(root):
            self._devices |= {result["device"]} if "device" in result else set()
            if result.get("device") != device or "train" not in result.get("seconds", {}):
                continue
            kind = (bool(result.get("compiled")), *network_and_batch)
            work, seconds = self._measured.get(kind, (0.0, 0.0))
            # Groups of probes cost what their own protocol asks for: no measure of another study's trials.
            spent = sum(took for what, took in result["seconds"].items() if not what.startswith("probe."))
            self._measured[kind] = (work + new_work, seconds + spent)

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


def _results(root: Path) -> Iterable[tuple[tuple[str, int], float, dict[str, Any]]]:
    """Of every pack that is done: network and batch size, work, and its result.

    Other sweeps may be another version's, or damaged, which is no reason not to estimate this one: of a plan only
    these few words are read.
    """
    store = Store(root)
    for name in store.sweeps():
        sweep = store.sweep(name)
        done = sweep.packs_done()
        try:
            plans = sweep.plans() if done else []
        except CorruptSegmentError:
            continue
        specs = {
            pack_id: spec for plan in plans for pack_id, spec in plan["packs"].items() if pack_id in done
        }
        paths = [sweep.layout.pack(pack_id) / "result.json" for pack_id in specs]
        for spec, result in zip(specs.values(), read_side_by_side(paths, _whole_or_none), strict=True):
            shared = shared_config(spec["members"])
            if result is not None and {"network", "batch_size"} <= shared.keys():
                yield (shared["network"], shared["batch_size"]), float(spec["work"]), result


def _whole_or_none(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = files.read_json(path)
    except CorruptSegmentError:
        return None
    return found


@cache
def _reference() -> list[dict[str, Any]]:
    import yaml

    text = (resources.files("sweep") / "measured_speeds.yaml").read_text()
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows
