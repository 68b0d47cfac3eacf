"""``dataset.json``: what a dataset is, without torch and without opening an array."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.data.places import dataset_names, exists, is_local, place_of, read_text
from agents.environments.protocol import EnvironmentSpec
from agents.errors import DatasetError

MANIFEST_NAME = "dataset.json"
FORMAT_VERSION = 2  # 2: continuous actions, further arrays, rows that are not consecutive
PROBE_TRANSITIONS = 512
PROBE_RULE = "ascending indices of the 512 smallest of T uniform draws, stream (0, 'probe', fingerprint)"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class ArrayInfo(BaseModel):
    """One array: numpy dtype string, shape, and SHA-256 of its values (row-major, without the header)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Manifest(BaseModel):
    """The whole of ``dataset.json``.

    ``episodes`` and ``mean_return`` (undiscounted rewards, as they were logged) count completed episodes only.
    ``consecutive``: the rows of one episode follow one another in time, so that sequences can be sampled.
    ``provenance`` says how the dataset was made and is no part of the ``fingerprint``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    name: str
    environment: EnvironmentSpec
    transitions: int = Field(ge=1)
    episodes: int = Field(ge=0)
    mean_return: float | None
    consecutive: bool = True
    arrays: dict[str, ArrayInfo]
    fingerprint: str
    probe: str = PROBE_RULE
    provenance: dict[str, Any]

    @property
    def env(self) -> str:
        """The environment's id."""
        return self.environment.env_id

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of all arrays, headers aside."""
        return sum(_bytes(array) for array in self.arrays.values())


@dataclass(frozen=True)
class Listing:
    """A folder under ``datasets/``: its manifest, or what is wrong with it."""

    name: str
    path: Path
    manifest: Manifest | None
    problem: str | None


def fingerprint(arrays: Mapping[str, ArrayInfo], env_id: str) -> str:
    """SHA-256 (64 hex digits) over the name, dtype, shape and hash of each array and the environment's id.

    The name, the provenance and the time are left out: equal content has an equal fingerprint.
    """
    content = [[name, info.dtype, list(info.shape), info.sha256] for name, info in sorted(arrays.items())]
    return hashlib.sha256(json.dumps([env_id, content], separators=(",", ":")).encode()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest of the dataset in folder ``path``, local or in a bucket.

    Raises DatasetError where the folder or the file is missing (with the datasets that are there), where the
    file is not valid, where it was written by a newer version, or where a bucket does not give it.
    """
    path = place_of(path)
    try:
        text = read_text(path / MANIFEST_NAME)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(_missing(path)) from error
    try:
        content = json.loads(text)
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise DatasetError(
                f"{path / MANIFEST_NAME}: format_version {version} is newer than {FORMAT_VERSION}, the "
                "newest that this version reads. Upgrade rankscope, or collect the data under another name."
            )
        return Manifest.model_validate(content)
    except (json.JSONDecodeError, ValidationError) as error:
        raise DatasetError(
            f"{path / MANIFEST_NAME} is damaged: {_first_problem(error)}. Restore the file from a copy, or "
            "delete the folder and collect the dataset again."
        ) from error


def dataset_exists(path: Path) -> bool:
    """Whether the name is taken: locally by a folder, in a bucket by a manifest, which is put up last.

    Raises DatasetError where a bucket does not say.
    """
    return exists(path if is_local(path) else path / MANIFEST_NAME)


def list_datasets(root: Path) -> list[Listing]:
    """Every dataset under ``root/datasets``, by name; a damaged one is listed with its problem.

    Unfinished or hidden folders are left out. An absent folder is an empty list.
    """
    folder = place_of(root) / "datasets"
    listings = []
    for name in dataset_names(folder):
        path = folder / name
        if not is_local(path) and not dataset_exists(path):
            continue  # its maker has yet to put up the manifest
        try:
            listings.append(Listing(name, path, read_manifest(path), None))
        except DatasetError as error:
            listings.append(Listing(name, path, None, str(error)))
    return listings


def check_name(name: str) -> None:
    """Raises DatasetError unless ``name`` may name a dataset, and so a folder that cannot leave the root."""
    if not _NAME.fullmatch(name):
        raise DatasetError(
            f"dataset name {name!r} is not allowed: use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning "
            "with a letter or digit, such as catch-dqn"
        )


def _bytes(array: ArrayInfo) -> int:
    size = int(array.dtype[-1])
    for extent in array.shape:
        size *= extent
    return size


def _first_problem(error: json.JSONDecodeError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)


def _missing(path: Path) -> str:
    names = dataset_names(path.parent)
    if path.name in names:
        if not is_local(path):
            return (
                f"{path} has no {MANIFEST_NAME}, which is put up last: its maker is still at work or was stopped. "
                "Give the command that makes it again, and it goes on from there."
            )
        return (
            f"{path} has no {MANIFEST_NAME}, so it is not a dataset. Delete the folder, or collect the "
            "dataset again under another name."
        )
    siblings = [name for name in names if exists(path.parent / name / MANIFEST_NAME)]
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    there = ", ".join(siblings) if siblings else "none"
    return (
        f"there is no dataset {path.name!r} in {path.parent}. {hint}Datasets there: {there}. Collect one "
        "with `sweep data collect`, or give the study a recipe for it."
    )
