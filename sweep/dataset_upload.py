"""Making a dataset where the root is: in place in a folder; on this machine's disk, then put up, for a bucket.

In a bucket `datasets/<name>/` has the arrays below the first 16 digits of the fingerprint, and `dataset.json`,
which is put last and only if there is none: until then there is no dataset, and of two makers one wins.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from agents.data import Manifest, read_manifest
from agents.data.download import exclusively
from agents.data.manifest import MANIFEST_NAME, check_name, dataset_exists
from agents.data.places import arrays_folder
from agents.data.remote import keep_in_cache, linked_url
from agents.errors import DatasetError
from sweep.node_folder import node_folder
from sweep.settings import cache_folder
from sweep.store import files
from sweep.store.faults import persistently
from sweep.store.places import is_local

__all__ = ["Uploaded", "made_in_place"]

Uploaded = Callable[[int, int], None]
"""Told how many bytes of how many are in the bucket."""

_PATIENCE_SECONDS = 300.0


@contextlib.contextmanager
def made_in_place(
    root: Path, name: str, asked: str, uploaded: Uploaded = lambda done, total: None
) -> Iterator[Path]:
    """The local folder to make for `ROOT/datasets/<name>`; when the block ends well, the dataset is in the root.

    In a bucket's case the folder may be there already, whole: made by an earlier process that was `asked` for the
    same and killed before all was put up. Then there is nothing to make, only what is missing is put up. Raises
    DatasetError where the root has such a dataset, StoreError where the bucket does not take it: what was put up is
    kept, and the next maker goes on from there.
    """
    target = root / "datasets" / name
    if is_local(root):
        yield target
        return
    check_name(name)
    making = node_folder(root) / "datasets" / name
    making.parent.mkdir(parents=True, exist_ok=True)
    if dataset_exists(target):
        raise DatasetError(
            f"dataset {name!r} exists already in {target.parent}. Choose another name, or delete that folder first."
        )
    note, lock = making.with_name(f".asked-{name}.json"), making.with_name(f".putting-{name}.lock")
    with exclusively(lock):
        if making.exists() and (not note.exists() or note.read_text(encoding="utf-8") != asked):
            shutil.rmtree(making)
        note.write_text(asked, encoding="utf-8")
    yield making
    with exclusively(lock):
        # Another process of this machine may have put it up meanwhile.
        if making.exists():
            with files.patience(_PATIENCE_SECONDS):
                _put_up(making, target, uploaded)
            if linked_url(making) is None:
                # The next process here that trains on it need not fetch what was made here.
                keep_in_cache(making, cache_folder())
            else:
                shutil.rmtree(making)
            note.unlink(missing_ok=True)


def _put_up(folder: Path, target: Path, uploaded: Uploaded) -> None:
    manifest = read_manifest(folder)
    arrays = target / arrays_folder(manifest.fingerprint)
    there = set(files.list_names(arrays))
    total = sum((folder / f"{name}.npy").stat().st_size for name in _arrays(folder, manifest))
    done = 0
    for name in _arrays(folder, manifest):
        local = folder / f"{name}.npy"
        size = local.stat().st_size
        # Objects appear whole, and below this fingerprint there is nothing else than this content.
        if local.name not in there:
            _put(local, arrays / local.name)
        done += size
        uploaded(done, total)
    for other in sorted(path for path in folder.iterdir() if path.suffix == ".json"):
        if other.name != MANIFEST_NAME:
            files.replace(target / other.name, other.read_bytes())
    if not files.put_if_absent(target / MANIFEST_NAME, (folder / MANIFEST_NAME).read_bytes()):
        winner = read_manifest(target)
        if winner.fingerprint != manifest.fingerprint:
            # Another maker came first with other content, which counts; nobody will ask for ours.
            for name in _arrays(folder, manifest):
                files.remove(arrays / f"{name}.npy")


def _arrays(folder: Path, manifest: Manifest) -> list[str]:
    """The arrays that lie in the folder: all, or none of a dataset that is a link."""
    return [name for name in manifest.arrays if (folder / f"{name}.npy").is_file()]


def _put(local: Path, place: Path) -> None:
    remote = cast(Any, place)
    persistently("put up the array", place, lambda: remote.fs.put_file(str(local), remote.path))
