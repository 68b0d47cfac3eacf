"""Bringing MLflow up to date from the store, and telling how far it is."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.errors import CorruptSegmentError
from sweep.mirror.follow import Commands, Pace, mirror
from sweep.mirror.session import Progress
from sweep.mirror.tracking import embedded_tracking_uri, shown
from sweep.mirror.watermark import MirrorPaths, Watermark
from sweep.store import Store, files
from sweep.store.lock import owner


@dataclass(frozen=True)
class SyncSummary:
    """What a `sync` did and found."""

    tracking_uri: str
    experiment_id: str
    trials: int
    """Planned trials."""
    ended: int
    """Of those, finished, diverged or failed: complete in MLflow now, unless deleted there."""
    deleted: int
    """Trials whose run somebody deleted in MLflow; `rebuild` makes them anew."""
    runs_created: int
    metrics_sent: int
    seconds: float


@dataclass(frozen=True)
class MirrorStatus:
    """How a mirror stands, from its files alone: MLflow is not asked."""

    tracking_uri: str
    experiment_id: str
    """Empty before MLflow was reached for the first time."""
    state: str
    """new, following, waiting (MLflow does not answer), complete, stopped or failed."""
    message: str
    """Why it waits or failed."""
    updated: float
    """Unix seconds of the last word from it; 0 if there was none."""
    pid: int | None
    """The process that mirrors now, None where there is none."""


def sync(
    root: str | Path,
    name: str,
    tracking_uri: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    *,
    rebuild: bool = False,
    skip_corrupt: bool = False,
    patience: float = 20.0,
) -> SyncSummary:
    """Copy what the store has and MLflow has not; the root's embedded MLflow without a `tracking_uri`.

    `progress` is called after every request. `rebuild` deletes the sweep's runs in MLflow first and makes
    them anew. MLflow may be away for `patience` seconds.

    Raises:
        UsageError: there is no such sweep.
        LockedError: a mirror is at work on this sweep and MLflow; it is up to date or will be.
        TrackingUnavailable, MirrorError: MLflow does not answer, or refuses.
        CorruptSegmentError: a file of rows is damaged, and `skip_corrupt` is not set.
    """
    began = time.monotonic()
    uri = tracking_uri or embedded_tracking_uri(root)
    commands = Commands.none()
    commands.finish.set()
    done = mirror(
        root,
        name,
        uri,
        commands,
        Pace(patience=patience),
        progress or (lambda _: None),
        rebuild=rebuild,
        skip_corrupt=skip_corrupt,
    )
    return SyncSummary(
        tracking_uri=shown(uri),
        experiment_id=mirror_status(root, name, uri).experiment_id,
        trials=done.trials,
        ended=done.ended,
        deleted=done.deleted,
        runs_created=done.runs_created,
        metrics_sent=done.metrics_sent,
        seconds=time.monotonic() - began,
    )


def mirror_status(root: str | Path, name: str, tracking_uri: str | None = None) -> MirrorStatus:
    """How the mirror of a sweep stands. Raises UsageError for a sweep that does not exist."""
    uri = tracking_uri or embedded_tracking_uri(root)
    paths = MirrorPaths.of(Store(root).sweep(name).layout.folder, uri)
    return _status(paths, shown(uri))


def mirror_statuses(root: str | Path, name: str) -> list[MirrorStatus]:
    """How every mirror of a sweep stands, the one into the root's embedded MLflow first, begun or not."""
    own = MirrorPaths.of(Store(root).sweep(name).layout.folder, embedded_tracking_uri(root))
    found = [mirror_status(root, name)]
    places = dict.fromkeys([own.folder, own.shared])
    for folder, file in [(place, file) for place in places for file in files.list_names(place)]:
        stem = file.removesuffix(".json")
        if re.fullmatch(r"[0-9a-f]{12}", stem) and file != stem and stem != own.stem:
            paths = replace(own, folder=folder, stem=stem)
            with contextlib.suppress(FileNotFoundError, CorruptSegmentError):
                found.append(_status(paths, str(files.read_json(paths.watermark).get("tracking_uri", ""))))
    return found


def _status(paths: MirrorPaths, tracking_uri: str) -> MirrorStatus:
    mark = Watermark.load(paths.watermark, tracking_uri)
    holder = owner(paths.lock)
    return MirrorStatus(
        tracking_uri=tracking_uri,
        experiment_id=mark.experiment_id,
        state=mark.state,
        message=mark.message,
        updated=mark.updated,
        pid=holder["pid"] if holder else None,
    )
