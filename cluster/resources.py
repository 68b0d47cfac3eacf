"""What a study would be on a cluster: its packs, against what the cluster's nodes offer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agents.data import Manifest
from agents.environments import describe
from search_spaces import Study
from sweep.datasets import find_datasets, fingerprints
from sweep.errors import SweepError, UsageError
from sweep.objective_checks import check_objectives
from sweep.packing import PACKS_PER_CARD, memory_on_card
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.reach import ClusterReport, fits
from sweep.store import Store

__all__ = ["fit"]

_ASSUMED_MEMORY = 8e9


def fit(
    study: Study,
    name: str,
    root: Path,
    report: ClusterReport,
    device: str,
    workers: int | None,
    *,
    store_is_seen: bool,
) -> str:
    """How the packs that are left fit the cluster, in a line: waves and time, from speeds measured before.

    The driver plans again over there, for what it then finds. Raises UsageError for what could never run.
    """
    kind = _kind(device, report)
    left = _left(root, name) if store_is_seen else None
    if left is not None and not left:
        return "every planned pack is done; only what is new in the study is left"
    packs = left or _planned(study, root, report, kind, workers, store_is_seen=store_is_seen)
    return str(fits(packs, report, root if store_is_seen else None, workers))


def _kind(device: str, report: ClusterReport) -> str:
    cards = sum(node.gpus for node in report.nodes)
    kind = device.split(":")[0]
    if kind == "auto":
        return "cuda" if cards else "cpu"
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"--device {device!r}: it must be auto, cpu or cuda.")
    if kind == "cuda" and not cards and not report.may_grow:
        raise UsageError(
            f"--device {device!r}: the cluster has no GPU on any of its {len(report.nodes)} nodes. Give --device cpu, "
            "or add nodes with cards."
        )
    return kind


def _left(root: Path, name: str) -> list[PackSpec] | None:
    """The packs that were planned before and have no result; None where nothing was planned yet."""
    try:
        store = Store(root).sweep(name)
        plans, done = store.plans(), store.packs_done()
    except SweepError:
        return None
    specs = [spec for plan in plans for spec in plan["packs"].values()]
    return [PackSpec.model_validate(spec) for spec in specs if spec["pack_id"] not in done] if specs else None


def _planned(
    study: Study, root: Path, report: ClusterReport, kind: str, workers: int | None, *, store_is_seen: bool
) -> list[PackSpec]:
    # Datasets that cannot be looked at from here stand by their recipes; packs do not depend on which it is.
    found: Mapping[str, Manifest | None] = dict.fromkeys(study.datasets)
    if store_is_seen:
        found = find_datasets(root, study)
        check_objectives(study, found)
    prints = fingerprints(study, found)
    trials = list(study.trials_by_id(prints).items())
    cpus = max(int(sum(node.cpus for node in report.nodes)), 1)
    cards = sum(node.gpus for node in report.nodes)
    at_once = cpus if kind == "cpu" else max(min(cpus, int(cards * PACKS_PER_CARD)), 1)
    memory = [float(card["memory"]) for card in report.cards] if kind == "cuda" else []
    resources = Resources(
        device=kind,
        workers=workers or at_once,
        memory_bytes=memory_on_card(min(memory)) if memory else _ASSUMED_MEMORY,
        compile=None,
    )
    return plan_packs(trials, prints, describe, resources)
