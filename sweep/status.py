"""How far a sweep is: per space and pack, with failures and damage, from the store's files alone."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sweep.members import shared_config
from sweep.pack_progress import read_progress
from sweep.store import SweepStore
from sweep.store.places import is_local

__all__ = [
    "PackStatus",
    "SweepStatus",
    "eager_because",
    "read_packs",
    "seconds_left",
    "sweep_status",
    "totals_of",
]

_SILENT_SECONDS = 120.0
_FEW_BYTES = 64 * 2**20
"""Rows that are read and checked in a tenth of a second."""


@dataclass(frozen=True)
class PackStatus:
    """One pack. `state`: planned, running, silent (its process has said nothing for two minutes), done, failed."""

    pack_id: str
    state: str
    trials: int
    step: int
    train_steps: int
    work: float
    """Share of the sweep's arithmetic, any unit."""
    steps_per_second: float | None = None
    attempts: int = 0
    error: str | None = None
    eager_because: str | None = None


@dataclass(frozen=True)
class SweepStatus:
    """A sweep at one moment. Steps count every trial's gradient steps."""

    name: str
    study: str | None
    owner: Mapping[str, Any] | None
    packs: tuple[PackStatus, ...]
    spaces: Mapping[str, Mapping[str, int]]
    """For each space, how many trials have each status."""
    trials: Mapping[str, int]
    corrupt: tuple[str, ...] = ()
    seconds_left: float | None = None
    mirror: Mapping[str, Any] | None = None
    totals: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What the packs that are done spent their time on: train, probe, probe.<group>, evaluate, store."""
    stop: Mapping[str, Any] | None = None
    """The request to stop that stands, with its `reason`, where something is left to stop or to go on with."""

    @property
    def share_done(self) -> float:
        """Arithmetic that is done, in [0, 1]."""
        return self.totals.get("share_done", 0.0)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)


def sweep_status(store: SweepStore, *, deep: bool = False) -> SweepStatus:
    """Read the status; `deep` reads all rows to find damage, else sizes and footers only where there are many."""
    packs = read_packs(store)
    trials = store.trials()
    record = store.sweep_record() or {}
    # In the study's order.
    per_space: dict[str, Counter[str]] = {space: Counter() for space in record.get("spaces", [])}
    for spaces, status in zip(trials.get("spaces", []), trials["status"], strict=False):
        for space in spaces if spaces is not None else []:
            per_space.setdefault(space, Counter())[status] += 1
    owner = store.owner()
    totals = totals_of(packs)
    left = seconds_left(packs) if owner else None
    return SweepStatus(
        name=store.name,
        study=record.get("study"),
        owner=owner,
        packs=tuple(packs),
        spaces={space: dict(counts) for space, counts in per_space.items()},
        trials=dict(Counter(trials["status"])),
        corrupt=tuple(str(error) for error in store.corrupt_segments(deep=deep or _few_rows(store))),
        seconds_left=left,
        mirror=_mirror(store),
        totals=totals,
        seconds=_seconds(store),
        stop=None if packs and all(pack.state == "done" for pack in packs) else store.stop_request(),
    )


def read_packs(store: SweepStore) -> list[PackStatus]:
    """Every planned pack, in the plan's order."""
    done, failures, now = store.packs_done(), store.failures(), time.time()
    running = store.owner() is not None
    found = []
    for plan in store.plans():
        for pack_id, spec in plan["packs"].items():
            found.append(
                _pack(store, pack_id, spec, pack_id in done, failures.get(pack_id, []), running, now)
            )
    return found


def eager_because(store: SweepStore) -> str | None:
    """Why the pack that was started last could not be compiled; None where it could, or was not to be."""
    last = [
        attempts[-1] for plan in store.plans() for pack in plan["packs"] if (attempts := store.attempts(pack))
    ]
    newest = max(last, key=lambda attempt: float(attempt.get("started", 0.0)), default={})
    return newest.get("eager_because")


def _pack(
    store: SweepStore,
    pack_id: str,
    spec: Mapping[str, Any],
    done: bool,
    failures: list[dict[str, Any]],
    running: bool,
    now: float,
) -> PackStatus:
    steps = int(shared_config(spec["members"])["train_steps"])
    base: dict[str, Any] = {
        "pack_id": pack_id,
        "trials": len(spec["trials"]),
        "train_steps": steps,
        "work": float(spec["work"]),
    }
    if done:
        return PackStatus(state="done", step=steps, **base)
    attempts = store.attempts(pack_id)
    said = read_progress(store, pack_id) or {}
    # A failure past the newest attempt is one of a process that could not even begin.
    if failures and failures[-1]["attempt"] >= len(attempts) - 1:
        base.update(attempts=len(attempts), error=failures[-1]["reason"])
        return PackStatus(state="failed", step=int(said.get("step", 0)), **base)
    if not attempts:
        return PackStatus(state="planned", step=0, **base)
    base.update(attempts=len(attempts), eager_because=attempts[-1].get("eager_because"))
    fresh = now - max(said.get("updated", 0.0), attempts[-1].get("started", 0.0)) < _SILENT_SECONDS
    state = "planned" if not running else "running" if fresh else "silent"
    return PackStatus(
        state=state,
        step=int(said.get("step", 0)),
        steps_per_second=said.get("steps_per_second") if state == "running" else None,
        **base,
    )


def totals_of(packs: list[PackStatus]) -> dict[str, float]:
    """Packs, gradient steps of all trials, steps/s now, and the share of the arithmetic that is done."""
    work = sum(pack.work for pack in packs)
    done = sum(pack.work * pack.step / max(pack.train_steps, 1) for pack in packs)
    return {
        "packs": len(packs),
        "packs_done": sum(pack.state == "done" for pack in packs),
        "steps": sum(pack.trials * pack.train_steps for pack in packs),
        "steps_done": sum(pack.trials * pack.step for pack in packs),
        "steps_per_second": sum(pack.steps_per_second or 0.0 for pack in packs),
        "share_done": done / work if work else 0.0,
    }


def seconds_left(packs: list[PackStatus]) -> float | None:
    """Estimated: what is left over what is being done now, in arithmetic; None while nothing runs."""
    pace = sum(
        pack.work * pack.steps_per_second / (pack.trials * pack.train_steps)
        for pack in packs
        if pack.steps_per_second
    )
    left = sum(
        pack.work * (1 - pack.step / max(pack.train_steps, 1)) for pack in packs if pack.state != "failed"
    )
    return left / pace if pace else None


def _seconds(store: SweepStore) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for pack_id in store.packs_done():
        # Counter adds whatever its values are, not only counts.
        spent.update((store.result(pack_id) or {}).get("seconds", {}))
    return dict(spent.most_common())


def _few_rows(store: SweepStore) -> bool:
    tables = ("hot", "hot-spectra", "metrics", "spectra")
    if not is_local(store.layout.folder):
        return False  # asking for the size of each is as slow as reading them
    paths = (path for table in tables for path in (store.layout.folder / table).rglob("*.parquet"))
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # compacted meanwhile
            total += path.stat().st_size
        if total > _FEW_BYTES:
            return False
    return True


def _mirror(store: SweepStore) -> dict[str, Any]:
    """The mirror that was at work last, which need not be the one into the root's own MLflow."""
    from sweep.mirror import mirror_statuses

    return asdict(max(mirror_statuses(store.layout.root, store.name), key=lambda one: one.updated))
