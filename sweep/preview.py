"""What running a study would mean: trials, packs, steps, time. Answers at once: nothing is started or made."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.environments import describe
from search_spaces import Axis, DatasetRecipe, Study
from sweep.budget import Budget, Slot, planned_end
from sweep.dataset_making import about_to_make
from sweep.datasets import find_datasets, fingerprints
from sweep.errors import UsageError
from sweep.objective_checks import check_objectives
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.speeds import Speeds

__all__ = ["Preview", "preview"]

_ASSUMED_MEMORY = 8e9


@dataclass(frozen=True)
class Preview:
    """`seconds` is wall time on `workers` workers, None where no speed was measured.

    `worker_hours` is its cost: hours of all workers, idle ones not counted. On a card several workers share
    one, and `card_hours` counts their shares; None on processors, where a worker is a core.
    """

    study: str
    title: str
    question: str
    paper: str | None
    scale: str | None
    changed: list[dict[str, str]]
    """What the scale changed of the paper's: `what`, `paper`, `here`."""
    trials: int
    shared: int
    """Trials that more than one space holds; each runs once."""
    spaces: list[dict[str, Any]]
    datasets: list[dict[str, Any]]
    packs: list[dict[str, Any]]
    gradient_steps: int
    device: str
    workers: int
    seconds: float | None
    worker_hours: float | None
    card_hours: float | None
    speed_source: str
    stops: dict[str, Any] | None = None
    """Where a budget is expected to end the sweep: `limits` in words, and, None where no speed was measured,
    `seconds` from the start, packs `done` by then, and packs `begun`."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)


def preview(
    study: Study,
    root: Path,
    gpu: str | None = None,
    workers: int | None = None,
    budget: Budget | None = None,
) -> Preview:
    """Plan `study` as `sweep run` would. `gpu`: a card's name; None is this machine's processor.

    Raises UsageError for a budget of hours of cards without a card.
    """
    if budget is not None and budget.max_gpu_hours is not None and gpu is None:
        raise UsageError(
            f"--max-gpu-hours {budget.max_gpu_hours:g}: this is a preview for processors, which use no card; say "
            'which card with --gpu NAME, such as --gpu "NVIDIA H200".'
        )
    found = find_datasets(root, study)
    check_objectives(study, found)
    prints = fingerprints(study, found)
    planned = study.trials()
    trials = list(study.trials_by_id(prints).items())
    at_once = workers or (4 if gpu else len(os.sched_getaffinity(0)))
    resources = Resources(
        device="cuda" if gpu else "cpu", workers=at_once, memory_bytes=_ASSUMED_MEMORY, compile=None
    )
    packs = plan_packs(trials, prints, describe, resources)
    speeds = Speeds(root, gpu or "cpu")
    estimates = [speeds.estimate(pack) for pack in packs]
    sources = sorted({estimate.source for estimate in estimates if estimate})
    known = [estimate.seconds for estimate in estimates if estimate]
    complete = len(known) == len(packs)
    slots = (
        _schedule(list(zip(known, [pack.gpus for pack in packs], strict=True)), at_once) if complete else []
    )
    return Preview(
        study=study.name,
        title=study.title,
        question=study.question,
        paper=study.paper,
        scale=study.scale,
        changed=[change.model_dump() for change in study.changed],
        trials=len(trials),
        shared=sum(len(trial.spaces) > 1 for trial in planned),
        spaces=[
            {
                "name": space.name,
                "trials": sum(space.name in trial.spaces for trial in planned),
                "design": space.design.kind,
                "seeds": list(space.seeds),
                "axes": {name: _values(axis) for name, axis in space.axes.items()},
            }
            for space in study.spaces
        ],
        datasets=[
            {
                "name": name,
                "env": study.datasets[name].env,
                "fingerprint": prints[name],
                "transitions": manifest.transitions if manifest else None,
                "to_collect": _to_collect(study.datasets[name]) if manifest is None else None,
                "to_make": None if manifest else about_to_make(study.datasets[name]),
            }
            for name, manifest in found.items()
        ],
        packs=[
            _row(pack, estimate.seconds if estimate else None)
            for pack, estimate in zip(packs, estimates, strict=True)
        ],
        gradient_steps=sum(len(pack.trials) * pack.train_steps for pack in packs),
        device=gpu or "cpu",
        workers=at_once,
        seconds=max((slot.ends for slot in slots), default=0.0) if complete else None,
        worker_hours=sum(known) / 3600 if complete else None,
        card_hours=_card_hours(packs, known) if gpu and complete else None,
        speed_source="; ".join(sources) if complete else _unknown(gpu or "cpu", speeds),
        stops=_stops(slots, budget, known=complete),
    )


def _to_collect(recipe: DatasetRecipe) -> int | None:
    return recipe.collect.steps if recipe.collect is not None else None


def _values(axis: Axis) -> Any:
    levels = axis.levels
    return {"low": axis.low, "high": axis.high, "scale": axis.scale} if levels is None else list(levels)


def _row(pack: PackSpec, seconds: float | None) -> dict[str, Any]:
    return {
        "pack_id": pack.pack_id,
        "trials": len(pack.trials),
        "size": pack.size,
        "steps": pack.train_steps,
        "dataset": pack.dataset,
        "seconds": seconds,
    }


def _card_hours(packs: list[PackSpec], seconds: list[float]) -> float:
    return sum(pack.gpus * one for pack, one in zip(packs, seconds, strict=True)) / 3600


def _unknown(device: str, speeds: Speeds) -> str:
    return (
        f"no speed of these packs was measured on {device!r} yet (measured: {', '.join(speeds.devices())}). "
        "A sweep run there under this root measures it"
    )


def _schedule(packs: Sequence[tuple[float, float]], workers: int) -> list[Slot]:
    """Packs (seconds, share of a card) handed out longest first to whoever is free."""
    free = [0.0] * workers
    slots = []
    for seconds, gpus in sorted(packs, reverse=True):
        begins = heapq.heappop(free)
        slots.append(Slot(begins, begins + seconds, gpus))
        heapq.heappush(free, begins + seconds)
    return slots


def _stops(slots: Sequence[Slot], budget: Budget | None, *, known: bool) -> dict[str, Any] | None:
    if budget is None or (limits := budget.said()) is None:
        return None
    end = planned_end(slots, budget) if known else None
    return {"limits": limits, **(asdict(end) if end else dict.fromkeys(("seconds", "done", "begun")))}
