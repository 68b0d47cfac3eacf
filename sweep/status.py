"""How far a sweep is: per space and pack, with failures and damage, from the store's files alone."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sweep.errors import CorruptSegmentError
from sweep.members import shared_config
from sweep.pack_progress import progress_path, read_json
from sweep.store import SweepStore
from sweep.store.places import is_local
from sweep.store.standings import Standing, read_side_by_side

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
_MANY_FILES = 5000
"""Segments whose ends are read in half a second."""


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
    members_at_once: int | None = None
    """Of a pack at work that ran out of memory: how many members are computed together since; None: all."""
    halved_because: str | None = None


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
    """Read the status; `deep` reads all rows to find damage, where there are many sizes and footers are read else."""
    standings = store.standings()
    packs = read_packs(store, standings)
    spaces_of, statuses = store.statuses(standings)
    record = store.sweep_record() or {}
    # In the study's order.
    per_space: dict[str, Counter[str]] = {space: Counter() for space in record.get("spaces", [])}
    for spaces, status in zip(spaces_of, statuses, strict=True):
        for space in spaces:
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
        trials=dict(Counter(statuses)),
        corrupt=tuple(str(error) for error in _damage(store, deep)),
        seconds_left=left,
        mirror=_mirror(store),
        totals=totals,
        seconds=_seconds(store, standings),
        stop=None if packs and all(pack.state == "done" for pack in packs) else store.stop_request(),
    )


def read_packs(store: SweepStore, standings: Mapping[str, Standing] | None = None) -> list[PackStatus]:
    """Every planned pack, in the plan's order.

    Of packs that are done, or have not begun, no file is opened: one listing tells, `standings` if it is at hand.
    """
    standings = store.standings() if standings is None else standings
    plan = _outlines(store)
    begun = {one.pack_id: standings[one.pack_id] for one in plan if one.pack_id in standings}
    news = _read_news(store, {pack_id: standing for pack_id, standing in begun.items() if not standing.done})
    running, now = store.owner() is not None, time.time()
    return [_pack(one, begun.get(one.pack_id), news.get(one.pack_id, _News()), running, now) for one in plan]


def eager_because(store: SweepStore) -> str | None:
    """Why the pack that was started last could not be compiled; None where it could, or was not to be."""
    folder = store.layout.pack
    last = [
        folder(pack_id) / standing.attempts[standing.newest]
        for pack_id, standing in store.standings().items()
        if standing.attempts
    ]
    newest: Mapping[str, Any] = max(
        (about for about in read_side_by_side(last) if about),
        key=lambda attempt: float(attempt.get("started", 0.0)),
        default={},
    )
    return newest.get("eager_because")


class _Outline(NamedTuple):
    """What the plan says of a pack, as far as it matters here."""

    pack_id: str
    trials: int
    train_steps: int
    work: float


_known_outlines: WeakKeyDictionary[SweepStore, list[list[_Outline]]] = WeakKeyDictionary()
"""By generation: a display looks every few seconds, and plans never change."""
_known_attempts: WeakKeyDictionary[SweepStore, dict[Path, Any]] = WeakKeyDictionary()


def _outlines(store: SweepStore) -> list[_Outline]:
    known = _known_outlines.setdefault(store, [])
    if len(known) != store.generations():
        known[:] = [
            [
                _Outline(
                    pack_id,
                    len(spec["trials"]),
                    int(shared_config(spec["members"])["train_steps"]),
                    float(spec["work"]),
                )
                for pack_id, spec in plan["packs"].items()
            ]
            for plan in store.plans()
        ]
    return [outline for generation in known for outline in generation]


class _News(NamedTuple):
    """What the files of a pack that is not done say: its newest attempt, newest failure, and its process."""

    attempt: Mapping[str, Any] = {}
    failure: Mapping[str, Any] = {}
    said: Mapping[str, Any] = {}


def _read_news(store: SweepStore, packs: Mapping[str, Standing]) -> dict[str, _News]:
    folder = store.layout.pack
    # Attempts never change, and a display asks again and again.
    known = _known_attempts.setdefault(store, {})
    newest = {
        pack_id: folder(pack_id) / standing.attempts[standing.newest]
        for pack_id, standing in packs.items()
        if standing.attempts
    }
    unread = [path for path in newest.values() if path not in known]
    known.update(zip(unread, read_side_by_side(unread), strict=True))
    failed = {
        pack_id: folder(pack_id) / standing.failures[max(standing.failures)]
        for pack_id, standing in packs.items()
        if standing.failed
    }
    failures = dict(zip(failed, read_side_by_side(list(failed.values())), strict=True))
    said = read_side_by_side([progress_path(store, pack_id) for pack_id in packs], read_json)
    return {
        pack_id: _News(
            (known.get(newest[pack_id]) if pack_id in newest else None) or {},
            failures.get(pack_id) or {},
            words or {},
        )
        for pack_id, words in zip(packs, said, strict=True)
    }


def _pack(one: _Outline, standing: Standing | None, news: _News, running: bool, now: float) -> PackStatus:
    base: dict[str, Any] = one._asdict()
    if standing is None:
        return PackStatus(state="planned", step=0, **base)
    if standing.done:
        return PackStatus(state="done", step=one.train_steps, **base)
    step = int(news.said.get("step", 0))
    # A failure past the newest attempt is one of a process that could not even begin.
    if standing.failed and news.failure:
        base.update(attempts=len(standing.attempts), error=news.failure["reason"])
        return PackStatus(state="failed", step=step, **base)
    if not standing.attempts:
        return PackStatus(state="planned", step=0, **base)
    told = ("eager_because", "members_at_once", "halved_because")
    base.update(attempts=len(standing.attempts), **{name: news.attempt.get(name) for name in told})
    fresh = now - max(news.said.get("updated", 0.0), news.attempt.get("started", 0.0)) < _SILENT_SECONDS
    state = "planned" if not running else "running" if fresh else "silent"
    return PackStatus(
        state=state,
        step=step,
        steps_per_second=news.said.get("steps_per_second") if state == "running" else None,
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


def _seconds(store: SweepStore, standings: Mapping[str, Standing]) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for seconds in store.seconds_spent(standings).values():
        # Counter adds whatever its values are, not only counts.
        spent.update(seconds)
    return dict(spent.most_common())


def _damage(store: SweepStore, deep: bool) -> list[CorruptSegmentError]:
    """Damaged files. Without `deep`, all rows are read only where there are few, and only compacted ones are
    looked at where there are very many files, or each is a request to an object store."""
    if deep:
        return store.corrupt_segments()
    if not is_local(store.layout.folder):
        return store.corrupt_segments(deep=False, segments_too=False)
    count = size = 0
    for table in ("hot", "hot-spectra", "metrics", "spectra"):
        for path in (store.layout.folder / table).rglob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):  # compacted meanwhile
                count, size = count + 1, size + path.stat().st_size
            if count > _MANY_FILES:
                return store.corrupt_segments(deep=False, segments_too=False)
    return store.corrupt_segments(deep=size <= _FEW_BYTES)


def _mirror(store: SweepStore) -> dict[str, Any]:
    """The mirror that was at work last, which need not be the one into the root's own MLflow."""
    from sweep.mirror import mirror_statuses

    return asdict(max(mirror_statuses(store.layout.root, store.name), key=lambda one: one.updated))
