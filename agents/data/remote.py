"""Datasets of our own format that lie elsewhere, or in the root's bucket: fetched once on each node."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.data.arrays import hash_stream, hash_values
from agents.data.download import download, exclusively
from agents.data.manifest import MANIFEST_NAME, Manifest, check_name, fingerprint, read_manifest
from agents.data.places import arrays_folder, is_local, read_text
from agents.data.remote_errors import is_transient, status_of
from agents.data.remote_files import RemoteFile, RemoteFiles, is_remote
from agents.data.remote_stream import open_remote
from agents.errors import DatasetError

__all__ = [
    "Progress",
    "cached_dataset",
    "fetch_dataset",
    "keep_in_cache",
    "link_dataset",
    "linked_url",
    "local_dataset",
    "verify_remote",
]

LINK_NAME = "remote.json"
_ARRAY = re.compile(r"[A-Za-z0-9_]+")
_LONGEST_MANIFEST = 16 * 2**20
_PAUSE_SECONDS = 5.0
Progress = Callable[[int, int], None]
"""Told how many bytes of how many are here."""


def linked_url(path: Path) -> str | None:
    """Where the data of the dataset folder ``path`` lie, if it is a link; None for data that are there."""
    try:
        content = json.loads(read_text(path / LINK_NAME))
        return str(content["url"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path / LINK_NAME} is damaged ({error}). Delete {path} and give the same command again."
        ) from error


def link_dataset(url: str, path: Path) -> Manifest:
    """Make the dataset folder ``path`` (``ROOT/datasets/<name>``) stand for the one at ``url``; its manifest.

    Only the manifest is fetched. The link keeps the fingerprint: should the data at ``url`` be replaced, they
    are refused. A link to the same content that is there already is kept. Raises DatasetError where there is
    no dataset at ``url``, and where another folder of that name exists.
    """
    check_name(path.name)
    manifest = _manifest_at(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(path.parent / f".linking-{path.name}.lock"):
        if path.exists():
            if linked_url(path) == url and read_manifest(path).fingerprint == manifest.fingerprint:
                return read_manifest(path)
            raise DatasetError(
                f"dataset {path.name!r} exists already in {path.parent}. Choose another name, or delete that "
                "folder first."
            )
        linking = path.parent / f".linking-{path.name}"
        shutil.rmtree(linking, ignore_errors=True)
        linking.mkdir()
        (linking / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (linking / LINK_NAME).write_text(json.dumps({"url": url}) + "\n", encoding="utf-8")
        os.replace(linking, path)
    return manifest


def local_dataset(
    path: Path, cache: Path, progress: Progress | None = None, *, patience: float = 0.0
) -> Path:
    """The folder to open for the dataset ``path``: itself, or this node's copy of one in a bucket or linked to.

    A server that does not answer is asked again for ``patience`` seconds, what has arrived being kept. Raises
    DatasetError as ``fetch_dataset``.
    """
    began = time.monotonic()
    while True:
        try:
            url = linked_url(path)
            if url is None and is_local(path):
                return path
            expected = read_manifest(path).fingerprint
            return fetch_dataset(url or str(path), cache, expected, progress, own=url is None)
        except DatasetError as error:
            later = error.__cause__ is not None and is_transient(error.__cause__)
            if not later or time.monotonic() - began >= patience:
                raise
            time.sleep(min(_PAUSE_SECONDS, patience))


def cached_dataset(path: Path, cache: Path) -> Path | None:
    """The folder to open for the dataset ``path`` where that needs no fetching, else None."""
    if is_local(path) and linked_url(path) is None:
        return path
    copy = cache / "datasets" / read_manifest(path).fingerprint
    return copy if (copy / MANIFEST_NAME).is_file() else None


def keep_in_cache(folder: Path, cache: Path) -> None:
    """Move a whole dataset's folder to where this node's copy of it is looked for; it is gone afterwards."""
    target = cache / "datasets" / read_manifest(folder).fingerprint
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(target.parent / f".{target.name}.lock"):
        if (target / MANIFEST_NAME).is_file():
            shutil.rmtree(folder)
        else:
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(folder, target)


def verify_remote(url: str, progress: Progress | None = None) -> None:
    """Read every array of the root's dataset at ``url`` and compare its hash; nothing is kept. Raises DatasetError."""
    manifest, files, done = _manifest_at(url, own=True), RemoteFiles(url, own=True), 0
    for name, file in _array_files(files, manifest).items():
        stream, _ = open_remote(files, file)
        with stream:
            _compare(files, file, hash_stream(stream), manifest.arrays[name].sha256)
        done += file.size or 0
        if progress is not None:
            progress(min(done, manifest.size_bytes), manifest.size_bytes)


def fetch_dataset(
    url: str,
    cache: Path,
    fingerprint: str | None = None,
    progress: Progress | None = None,
    *,
    own: bool = False,
) -> Path:
    """``CACHE/datasets/<fingerprint>`` with the dataset at ``url``, fetched unless it is there already.

    With the ``fingerprint`` known nothing is asked of the server for a dataset that is there. Of the processes
    of a node that ask for it at one time one fetches it and the others wait; where that one is killed, the
    next goes on with what it had. The folder appears by one rename, after every array's hash was compared.
    ``own`` as in ``RemoteFiles``. Raises DatasetError where the data cannot be fetched, or are not those of
    ``fingerprint``.
    """
    folder = cache / "datasets"
    if fingerprint is not None and (folder / fingerprint / MANIFEST_NAME).is_file():
        return folder / fingerprint
    manifest = _manifest_at(url, own)
    if fingerprint is not None and manifest.fingerprint != fingerprint:
        raise DatasetError(
            f"the dataset at {url} has fingerprint {manifest.fingerprint[:12]}…, {fingerprint[:12]}… is expected: "
            "it was replaced since it was linked. Restore it, or delete the link and use a new name."
        )
    target = folder / manifest.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / f".{manifest.fingerprint}.lock"):
        if not (target / MANIFEST_NAME).is_file():
            making = folder / f".making-{manifest.fingerprint}"
            _fetch(RemoteFiles(url, own=own), manifest, making, target, progress)
    return target


def _fetch(
    files: RemoteFiles, manifest: Manifest, making: Path, target: Path, progress: Progress | None
) -> None:
    making.mkdir(exist_ok=True)
    total, done = manifest.size_bytes, 0

    def tell(here: int, _: int | None) -> None:
        if progress is not None:
            progress(min(done + here, total), total)

    for name, file in _array_files(files, manifest).items():
        path = download(files, file, making / f"{name}.npy", file.check, tell)
        try:
            _compare(files, file, hash_values(path), manifest.arrays[name].sha256)
        except DatasetError:
            path.unlink()
            raise
        done += path.stat().st_size
    for left in (*making.glob("*.lock"), *making.glob("*.json"), *making.glob("*.part")):
        left.unlink()
    (making / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(making, target)


def _array_files(files: RemoteFiles, manifest: Manifest) -> dict[str, RemoteFile]:
    """Each array's file: in a root's bucket below the fingerprint, in a copied folder beside the manifest."""
    below = f"{arrays_folder(manifest.fingerprint)}/" if files.scheme in ("gs", "s3") else ""
    found: dict[str, RemoteFile] = {}
    for name in manifest.arrays:
        try:
            found[name] = files.info(f"{below}{name}.npy")
        except DatasetError as error:
            # What is not there may be refused: saying that it is not there takes the right to list.
            missing = error.__cause__ is not None and status_of(error.__cause__) in (403, 404)
            if found or not below or not missing:
                raise
            below = ""
            found[name] = files.info(f"{name}.npy")
    return found


def _compare(files: RemoteFiles, file: RemoteFile, found: str, recorded: str) -> None:
    if found != recorded:
        raise DatasetError(
            f"{files.address(file.name)} is damaged: its values have SHA-256 {found[:16]}…, "
            f"{recorded[:16]}… is recorded. Put the dataset there again, or use another copy."
        )


def _manifest_at(url: str, own: bool = False) -> Manifest:
    """The manifest at a remote address, checked against itself."""
    if not is_remote(url):
        raise DatasetError(
            f"{url!r} is not an address. Give gs://, s3:// or https://; a dataset on this machine goes under the "
            "root's datasets/ and is used with `existing: true`."
        )
    files = RemoteFiles(url, own=own)
    text = files.small_text(MANIFEST_NAME, _LONGEST_MANIFEST)
    where = files.address(MANIFEST_NAME)
    if text is None:
        raise DatasetError(
            f"{where} does not exist or may not be read, so there is no dataset at {url}. Give the address of the "
            f"folder that holds {MANIFEST_NAME}."
        )
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first: Any = error.errors()[0]
        raise DatasetError(
            f"{where} is not a dataset of this version of rankscope ({first['msg']}). Give the address of a dataset "
            "that `sweep data collect` or `import` made, or upgrade rankscope."
        ) from error
    unsafe = [name for name in manifest.arrays if not _ARRAY.fullmatch(name)]
    if unsafe:
        raise DatasetError(f"{where} names an array {unsafe[0]!r}, which cannot be a file of a dataset.")
    if fingerprint(manifest.arrays, manifest.env) != manifest.fingerprint:
        raise DatasetError(
            f"{where} contradicts itself: its fingerprint is not that of its arrays. Restore it from a copy."
        )
    return manifest
