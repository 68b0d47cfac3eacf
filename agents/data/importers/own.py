"""Datasets of this package, from another root, machine or bucket: taken over array by array, and checked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from agents.data.arrays import hash_values
from agents.data.dataset import Dataset
from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.options import check_options
from agents.data.importers.source import Shard, Source
from agents.data.making import check_free, link_or_copy, sync_folder, take_lock, write_synced
from agents.data.manifest import FORMAT_VERSION, MANIFEST_NAME, Manifest, fingerprint, read_manifest
from agents.data.places import arrays_folder
from agents.data.provenance import provenance
from agents.data.unfinished import making_folder
from agents.errors import DatasetError

__all__ = ["READER", "OwnReader"]

_ARRAY_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CHECKED_ROWS = 2**20


class OwnReader:
    """Copies one dataset folder; format versions 1 and 2."""

    format = "rankscope"
    title = "a dataset of rankscope, from another root or a remote one"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """Not for this format, which is copied whole."""
        raise DatasetError(f"{self.format} datasets are copied whole, not read record by record")

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """Not for this format, which is copied whole."""
        raise DatasetError(f"{self.format} datasets are copied whole, not read record by record")

    def copy(self, source: Source, path: Path, options: Mapping[str, str]) -> Dataset:
        """See ``CopiesWhole.copy``: links where source and root share a file system, copies elsewhere.

        Every array's hash, the fingerprint and the numbers that point into other arrays are compared before
        anything is visible. Raises DatasetError naming what differs.
        """
        check_options(self.format, options, {})
        check_free(path)
        shards = {shard.name: shard for shard in source.list("*")}
        path.parent.mkdir(parents=True, exist_ok=True)
        making = making_folder(path)
        lock_path = making.with_name(f"{making.name}.lock")
        lock = take_lock(lock_path, path)
        try:
            check_free(path)
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            dataset = _copied(source, shards, making, path)
        finally:
            shutil.rmtree(making, ignore_errors=True)
            lock_path.unlink(missing_ok=True)
            os.close(lock)
        return dataset


def _copied(source: Source, shards: Mapping[str, Shard], making: Path, path: Path) -> Dataset:
    if MANIFEST_NAME not in shards:
        raise DatasetError(
            f"{source.url} has no {MANIFEST_NAME}, so it is no dataset of rankscope. Give the dataset's own "
            "folder, such as ROOT/datasets/NAME."
        )
    with source.open(shards[MANIFEST_NAME]) as file:
        write_synced(making / MANIFEST_NAME, file.read().decode("utf-8", errors="replace"))
    try:
        manifest = read_manifest(making)
    except DatasetError as error:
        raise DatasetError(str(error).replace(str(making), source.url)) from error
    found = fingerprint(manifest.arrays, manifest.env)
    if found != manifest.fingerprint:
        raise DatasetError(
            f"{source.url}: {MANIFEST_NAME} records the fingerprint {manifest.fingerprint[:16]}…, its arrays have "
            f"{found[:16]}…: it was changed. Get it again."
        )
    for name in manifest.arrays:
        _take(source, shards, name, manifest, making)
    kept = manifest.model_copy(
        update={
            "format_version": FORMAT_VERSION,
            "name": path.name,
            "provenance": {
                **manifest.provenance,
                "copied": {"source": source.url, "name": manifest.name, **provenance()},
            },
        }
    )
    write_synced(making / MANIFEST_NAME, kept.model_dump_json(indent=2) + "\n")
    _check_numbers(Dataset.open(making), source.url)
    sync_folder(making)
    os.replace(making, path)
    sync_folder(path.parent)
    return Dataset.open(path)


def _take(source: Source, shards: Mapping[str, Shard], name: str, manifest: Manifest, making: Path) -> None:
    """One array, with the hash that the manifest records."""
    # The name becomes a file's, and the manifest comes from outside.
    if not _ARRAY_NAME.fullmatch(name):
        raise DatasetError(f"{source.url}: {MANIFEST_NAME} names an array {name!r}, which is no array's name")
    # A root in a bucket has the arrays below their fingerprint.
    below = f"{arrays_folder(manifest.fingerprint)}/{name}.npy"
    file = below if below in shards else f"{name}.npy"
    if file not in shards:
        raise DatasetError(f"{source.url} has no {file}, which its {MANIFEST_NAME} names. Get it again.")
    local = source.localise(shards[file])
    try:
        values = hash_values(local)
    except (ValueError, OSError) as error:
        raise DatasetError(f"{source.where(shards[file])} is damaged ({error}). Get it again.") from error
    if values != manifest.arrays[name].sha256:
        raise DatasetError(
            f"{source.where(shards[file])} is damaged: its values have SHA-256 {values[:16]}…, "
            f"{manifest.arrays[name].sha256[:16]}… is recorded. Get it again"
            + (f" (and delete {local})." if source.cache in local.parents else ".")
        )
    link_or_copy(local, making / f"{name}.npy")


def _check_numbers(dataset: Dataset, url: str) -> None:
    """What points into another array points within it, actions are of the space, rewards are numbers."""
    spec, arrays = dataset.spec, dataset.arrays
    last_action = spec.action_high if spec.continuous else spec.num_actions - 1
    first_action = spec.action_low if spec.continuous else 0
    slack = 1e-5 * (spec.action_high - spec.action_low) if spec.continuous else 0
    bounds = {
        "frame_index": (0, len(arrays["frames"]) - 1),
        "subset_order": (0, len(dataset) - 1),
        "action": (first_action - slack, last_action + slack),
        "reward": (-np.finfo(np.float32).max, np.finfo(np.float32).max),
        "discount": (0, 1),
    }
    for name, (low, high) in bounds.items():
        for first in range(0, len(dataset), _CHECKED_ROWS):
            values = arrays[name][first : first + _CHECKED_ROWS]
            outside = ~((values >= low) & (values <= high))
            if outside.any():
                row = int(np.argwhere(outside)[0][0])
                raise DatasetError(
                    f"{url}: {name}.npy holds {values[outside].flat[0]} in row {first + row:,}, outside "
                    f"{low} to {high}. The dataset was not written by rankscope; nothing was taken over."
                )


READER = OwnReader()
