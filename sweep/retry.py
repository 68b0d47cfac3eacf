"""Giving what has failed another try: which packs, and the study they belong to, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces import SpecificationError, Study, parse_study
from sweep.errors import UsageError
from sweep.status import read_packs
from sweep.store import Store, SweepStore

__all__ = ["Retry", "what_to_retry"]


@dataclass(frozen=True)
class Retry:
    """`failed` maps packs to why they failed; `diverged` counts trials that did, which is a result.

    `resources` are those of the sweep's last run, as its record has them.
    """

    study: Study
    scheduler: str
    failed: dict[str, str]
    diverged: int
    resources: Mapping[str, Any] = field(default_factory=dict)


def what_to_retry(root: Path, name: str, packs: Sequence[str]) -> Retry:
    """The failed packs of a sweep, all or those named, and what is needed to run them.

    Raises UsageError for a sweep or pack that is not there or has not failed, and where the sweep is being run.
    """
    store = Store(root).sweep(name)
    study, scheduler, resources = _study(store)
    if (owner := store.owner()) is not None:
        raise UsageError(
            f"sweep {name!r} is being run by process {owner.get('pid', 'unknown')} on host "
            f"{owner.get('host', 'unknown')}. Wait for its end, or stop it, then retry."
        )
    found = {pack.pack_id: pack for pack in read_packs(store)}
    failed = {pack_id: pack.error or "unknown" for pack_id, pack in found.items() if pack.state == "failed"}
    for pack_id in packs:
        if pack_id not in found:
            raise UsageError(f"--pack {pack_id!r}: sweep {name!r} has no such pack; {_named(failed)}.")
        if pack_id not in failed:
            raise UsageError(f"--pack {pack_id!r} {_why_not(found[pack_id].state)}; {_named(failed)}.")
    chosen = {pack_id: reason for pack_id, reason in failed.items() if not packs or pack_id in packs}
    return Retry(study, scheduler, chosen, int((store.trials()["status"] == "diverged").sum()), resources)


def _study(store: SweepStore) -> tuple[Study, str, Mapping[str, Any]]:
    record = store.sweep_record()
    if record is None:
        raise UsageError(
            f"sweep {store.name!r} was stopped before it had a plan: nothing has failed. Begin it with `sweep run`."
        )
    try:
        study = parse_study(record["study_text"], f"sweep {store.name}", record.get("scale"))
    except (KeyError, SpecificationError) as error:
        raise UsageError(
            f"sweep {store.name!r}: the study in its record cannot be read by this version ({error}). Give "
            "`sweep run` with the study's file instead, which tries failed packs again too."
        ) from error
    runs = record.get("runs") or [{}]
    return study, str(record.get("scheduler", "fifo")), runs[-1].get("resources") or {}


def _why_not(state: str) -> str:
    if state == "done":
        return "is done: there is nothing to try again, and a diverged trial is a result"
    return "has not failed: `sweep run` goes on with it"


def _named(failed: dict[str, str]) -> str:
    return f"failed: {', '.join(failed)}" if failed else "none has failed"
