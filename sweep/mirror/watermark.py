"""How far a mirror has come, in one small file; trusted only where MLflow agrees."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sweep.errors import CorruptSegmentError
from sweep.mirror.servers import checked_tracking_uri, is_server
from sweep.node_folder import node_folder
from sweep.store import files

_VERSION = 1


@dataclass(frozen=True)
class MirrorPaths:
    """The files of one mirror: a sweep's folder and a tracking URI decide them.

    All lie in `store/<sweep>/mirror`. Of a sweep in a bucket only what every machine must see does: the store's
    id, and how far a mirror into a server is. What concerns this machine alone, its log and a mirror into a
    database on its disk, lies in the node's own folder.
    """

    folder: Path
    """Of the watermark and the lock."""
    stem: str
    shared: Path
    """Of the store's id."""
    here: Path
    """Of the log."""

    @classmethod
    def of(cls, sweep_folder: Path, tracking_uri: str) -> MirrorPaths:
        """The files for mirroring the sweep in `sweep_folder` (`store/<sweep>`) into `tracking_uri`.

        Raises UsageError for a database that is a server's alone.
        """
        checked_tracking_uri(tracking_uri)
        shared, root = sweep_folder / "mirror", sweep_folder.parent.parent
        here = node_folder(root) / "store" / sweep_folder.name / "mirror"
        stem = hashlib.sha256(tracking_uri.encode()).hexdigest()[:12]
        return cls(shared if is_server(tracking_uri) else here, stem, shared, here)

    @property
    def watermark(self) -> Path:
        """The watermark, JSON."""
        return self.folder / f"{self.stem}.json"

    @property
    def lock(self) -> Path:
        """Locked by the mirror that is at work."""
        return self.folder / f"{self.stem}.lock"

    @property
    def log(self) -> Path:
        """What a mirror process wrote to its standard output and error."""
        return self.here / f"{self.stem}.log"

    @property
    def identity(self) -> Path:
        """The random id of the store, the same for every tracking URI."""
        return self.shared / "store-id.json"


@dataclass
class Watermark:
    """A mirror's progress.

    `cursors` is where `SweepStore.tail` goes on once everything before it is in MLflow. `sent` has,
    for each trial with a run, the sum over measures of the newest step sent: should MLflow have less
    than that, it is not the MLflow this file speaks of, and the mirror reads the store from the start.
    """

    tracking_uri: str
    experiment_id: str = ""
    parent_run_id: str = ""
    cursors: dict[str, tuple[int, int]] | None = None
    sent: dict[str, int] = field(default_factory=dict)
    state: str = "new"
    """new, following, waiting (MLflow does not answer), complete, stopped or failed."""
    message: str = ""
    updated: float = 0.0
    version: int = _VERSION

    @classmethod
    def load(cls, path: Path, tracking_uri: str) -> Watermark:
        """The watermark in a file; a new one where it is missing, damaged or of another version."""
        try:
            found = files.read_json(path)
        except (FileNotFoundError, CorruptSegmentError):
            # It is a cache: without it the store is read from its start and MLflow says what it has.
            return cls(tracking_uri)
        known = cls.__dataclass_fields__
        if not isinstance(found, dict) or found.get("version") != _VERSION or set(found) - set(known):
            return cls(tracking_uri)
        mark = cls(**{**found, "tracking_uri": tracking_uri})
        if mark.cursors is not None:
            mark.cursors = {pack: (int(at[0]), int(at[1])) for pack, at in mark.cursors.items()}
        return mark

    def save(self, path: Path) -> None:
        """Commit to a file."""
        self.updated = time.time()
        files.make_folder(path.parent)
        files.replace_json(path, asdict(self))


def store_id(paths: MirrorPaths) -> str:
    """The id by which MLflow's experiment knows this store, made at the first call."""
    import secrets

    files.make_folder(paths.shared)
    files.put_json_if_absent(paths.identity, {"store_id": secrets.token_hex(8)})
    return str(files.read_json(paths.identity)["store_id"])
