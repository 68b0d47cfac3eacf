"""The root folder: what a file system must do for it, and what is in it."""

from __future__ import annotations

import base64
import fcntl
import os
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sweep.doctor.finding import Finding
from sweep.node_folder import node_folder
from sweep.settings import cache_folder
from sweep.store.places import is_local

__all__ = ["datasets", "file_system", "mlflow", "nearest_folder", "segments"]

_RESTORE = "restore it from a copy; --skip-corrupt reads what is whole"


def nearest_folder(root: Path) -> Path:
    """The root, or the nearest folder above it that exists: where the root would be made."""
    folder = root.resolve()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def file_system(root: Path) -> Iterator[Finding]:
    """Whether files can be written there, linked (a segment's name is taken once) and locked."""
    if root.exists() and not root.is_dir():
        yield Finding("root", f"{root} is not a folder", "bad", "give --root a folder")
        return
    folder = nearest_folder(root)
    place = str(root) if folder == root.resolve() else f"{root} (not made yet; looked at {folder})"
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".sweep-doctor-") as made:
            yield Finding("root", f"{place} can be written")
            yield _links(Path(made))
            yield _locks(Path(made))
    except OSError as error:
        mend = "change the folder's owner or permissions, or give another --root"
        yield Finding("root", f"{place} cannot be written: {error.strerror or error}", "bad", mend)


def _links(folder: Path) -> Finding:
    one = folder / "one"
    one.write_bytes(b"")
    try:
        os.link(one, folder / "two")
    except OSError as error:
        found = (
            f"no hard links there ({error.strerror or error}): renames are used, less safe with two writers"
        )
        return Finding("root links", found, "warning", "put the root on a file system with hard links")
    return Finding("root links", "hard links work")


def _locks(folder: Path) -> Finding:
    """Two descriptors of one file: the second must be refused, else two drivers could own a sweep."""
    path = folder / "lock"
    mend = "mount the file system with locks (NFS: without nolock), or give a root that has them"
    with open(path, "w") as first, open(path, "w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Finding("root locks", f"flock fails there: {error.strerror or error}", "bad", mend)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Finding("root locks", "flock works")
    return Finding("root locks", "flock does not keep a second owner out", "bad", mend)


def datasets(root: Path, *, deep: bool) -> Iterator[Finding]:
    """Each dataset under the root: opened and its shapes checked; `deep` compares every array's hash."""
    from agents.data import Dataset, list_datasets
    from agents.data.remote import linked_url
    from agents.errors import AgentError

    listings = list_datasets(root)
    if not listings:
        yield Finding("datasets", "none yet")
    for one in listings:
        what = f"dataset {one.name}"
        try:
            if (url := linked_url(one.path)) is not None:
                yield _linked(what, one.path, url)
                continue
            if not is_local(one.path):
                yield _in_bucket(what, one.path, deep=deep)
                continue
            data = Dataset.open(one.path, verify=deep)
        except AgentError as error:
            mend = "restore it from a copy, or delete the folder and make it again"
            yield Finding(what, str(error), "bad", mend)
            continue
        checked = "every array as recorded" if deep else "readable"
        yield Finding(what, f"{len(data):,} transitions of {data.spec.env_id}, {checked}")


def _in_bucket(what: str, path: Path, *, deep: bool) -> Finding:
    """A dataset in the root's bucket: its manifest, and with `deep` the hash of every array there."""
    from agents.data import read_manifest
    from agents.data.remote import cached_dataset, verify_remote

    manifest = read_manifest(path)
    if deep:
        verify_remote(str(path))
    here = cached_dataset(path, cache_folder()) is not None
    where = "this node has a copy" if here else "not fetched to this node yet"
    checked = ", every array as recorded" if deep else ""
    return Finding(what, f"{manifest.transitions:,} transitions of {manifest.env}{checked}, {where}")


def _linked(what: str, path: Path, url: str) -> Finding:
    """A dataset that lies elsewhere: nothing is fetched to look at it."""
    from agents.data import read_manifest

    manifest = read_manifest(path)
    here = (cache_folder() / "datasets" / manifest.fingerprint).is_dir()
    where = "this node has a copy" if here else "not fetched to this node yet"
    return Finding(what, f"{manifest.transitions:,} transitions of {manifest.env} at {url}, {where}")


def segments(root: Path, *, deep: bool) -> Iterator[Finding]:
    """Each sweep's files of rows; `deep` reads all of them, else sizes and footers."""
    from sweep.errors import SweepError
    from sweep.store import Store

    store = Store(root)
    names = store.sweeps()
    if not names:
        yield Finding("sweeps", "none yet")
    for name in names:
        what = f"sweep {name}"
        try:
            damaged = store.sweep(name).corrupt_segments(deep=deep)
        except SweepError as error:
            yield Finding(what, str(error), "bad", _RESTORE)
            continue
        for problem in damaged:
            yield Finding(what, str(problem), "bad", _RESTORE)
        if not damaged:
            yield Finding(what, "rows whole" if deep else "no damage seen in sizes and footers")


def mlflow(root: Path, tracking_uri: str | None, *, deep: bool) -> Finding:
    """The root's MLflow database, or the server at `tracking_uri`."""
    if tracking_uri is None:
        return _database(node_folder(root) / "mlflow.db", deep=deep)
    scheme = urlsplit(tracking_uri).scheme
    if scheme == "sqlite":
        return _database(Path(tracking_uri.removeprefix("sqlite:///")), deep=deep)
    if scheme in ("http", "https"):
        return _server(tracking_uri)
    from sweep.mirror.tracking import shown

    found = f"{shown(tracking_uri)} is looked at by `sweep sync` only"
    return Finding("MLflow", found, "warning", "give an http:// or sqlite:/// address to have it looked at")


def _database(path: Path, *, deep: bool) -> Finding:
    if not path.exists():
        return Finding("MLflow", f"no database at {path} yet; the first run makes it")
    mend = "move it away and rebuild it from the store: sweep sync NAME"
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            (count,) = connection.execute("select count(*) from runs").fetchone()
            said = connection.execute("pragma quick_check(1)").fetchone()[0] if deep else "ok"
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("MLflow", f"{path} cannot be read: {error}", "bad", mend)
    if said != "ok":
        return Finding("MLflow", f"{path} is damaged: {said}", "bad", mend)
    return Finding("MLflow", f"{path} answers, {count:,} runs")


def _health(address: str) -> urllib.request.Request:
    """The question; a user and password go into its header, because urllib does not take them in a URL."""
    parts = urlsplit(address)
    userinfo, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}/health")
    if userinfo:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(userinfo).encode()).decode()}")
    return request


def _server(address: str) -> Finding:
    from sweep.mirror.tracking import shown

    try:
        with urllib.request.urlopen(_health(address), timeout=5) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, ValueError) as error:
        mend = "start it, or correct --mlflow-uri; training does not need it, `sweep sync` catches up later"
        return Finding("MLflow", f"{shown(address)} does not answer: {error}", "bad", mend)
    if status == 200:
        return Finding("MLflow", f"{shown(address)} answers")
    mend = "403 for a DNS name: start the server with --allowed-hosts; 401: put the user in the address"
    return Finding("MLflow", f"{shown(address)} answers with HTTP status {status}", "bad", mend)
