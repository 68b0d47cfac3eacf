"""Making a dataset by its recipe, in this process, and saying how far that is."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.data import read_manifest
from agents.data.manifest import dataset_exists
from agents.errors import DatasetError
from search_spaces import DatasetRecipe, Import, Subset
from sweep.dataset_upload import made_in_place
from sweep.datasets import collect_dataset, collect_spec, progress_file, selections
from sweep.errors import SweepError
from sweep.pack_progress import read_json, write_json
from sweep.settings import cache_folder
from sweep.store import files
from sweep.store.places import is_local

if TYPE_CHECKING:
    from agents.data import Dataset

__all__ = ["about_to_make", "being_made", "make_dataset", "open_dataset", "rounds"]

_SILENT_SECONDS = 120.0
_AWAY_SECONDS = 300.0
"""How long a bucket may be away before a pack that needs its dataset gives up."""


def about_to_make(recipe: DatasetRecipe) -> str:
    """What making the dataset means, in words; nothing is looked at."""
    if recipe.collect is not None:
        return f"to be collected, {recipe.collect.steps:,} agent steps"
    if recipe.import_ is not None:
        return f"to be imported ({recipe.import_.format}) from {recipe.import_.source}"
    if recipe.url is not None:
        return f"to be fetched from {recipe.url}, on each node that trains"
    if recipe.subset is not None:
        chosen = ", ".join(_chosen(one) for one in selections(recipe.subset))
        return f"to be cut out of {recipe.subset.of}: {chosen}"
    return "there"


def rounds(recipes: Mapping[str, DatasetRecipe]) -> list[list[str]]:
    """Names in groups that can be made side by side, a subset in a later one than what it is a part of."""
    left, groups = dict(recipes), []
    while left:
        ready = [name for name, one in left.items() if one.subset is None or one.subset.of not in left]
        if not ready:
            raise SweepError(
                f"the subsets {', '.join(left)} are parts of one another: none can be made first."
            )
        groups.append(ready)
        for name in ready:
            del left[name]
    return groups


def make_dataset(root: Path, name: str, recipe: DatasetRecipe) -> str:
    """Make `ROOT/datasets/<name>` by its recipe and return its fingerprint; a file tells how far it is.

    Raises AgentError with the remedy for what cannot be collected, imported, reached or selected.
    """
    teller = _Teller(root, name)
    made = root / "datasets" / name
    if dataset_exists(made):
        # By a process that ended between making it and saying so; whether it fits is looked at afterwards.
        return read_manifest(made).fingerprint
    try:
        if recipe.collect is not None:
            return collect_dataset(
                root, name, collect_spec(recipe), teller.collected, uploaded=teller.uploaded
            )
        files.make_folder(root / "datasets")
        with made_in_place(root, name, recipe.model_dump_json(), teller.uploaded) as path:
            # There already where an earlier process ended before all of it was in the bucket.
            if is_local(root) or not path.exists():
                _make(root, path, recipe, teller)
            _check_environment(path, recipe.env)
        return read_manifest(made).fingerprint
    finally:
        teller.end()


def open_dataset(root: Path, name: str) -> Dataset:
    """The dataset `name` of the root; this node's copy where the root is a bucket or the dataset a link.

    What is remote is fetched first, by one process of the node, which tells how far it is; a bucket that is away is
    waited for. Raises DatasetError.
    """
    from agents.data import Dataset
    from agents.data.remote import local_dataset

    teller = _Teller(root, name)
    try:
        path = root / "datasets" / name
        patience = 0.0 if is_local(root) else _AWAY_SECONDS
        return Dataset.open(local_dataset(path, cache_folder(), teller.fetched, patience=patience))
    finally:
        teller.end()


def being_made(root: Path) -> dict[str, dict[str, Any]]:
    """What the processes that make datasets under `root` said last, by dataset: `done`, `total`, `text`."""
    found = {}
    for file in _progress_files(root / "datasets"):
        said = read_json(file)
        if said and time.time() - said.get("updated", 0) < _SILENT_SECONDS:
            found[file.name.removeprefix(".").removesuffix(".progress.json")] = said
    return found


def _progress_files(folder: Path) -> list[Path]:
    if is_local(folder):
        return sorted(folder.glob(".*.progress.json"))
    try:
        return sorted((file for file in folder.iterdir() if file.name.endswith(".progress.json")), key=str)
    except (
        Exception
    ):  # no folder, which in a bucket is one without files; or a bucket that is away, in any words
        return []


class _Teller:
    def __init__(self, root: Path, name: str) -> None:
        self._file, self._told = progress_file(root, name), False

    def tell(self, done: int, total: int | None, text: str) -> None:
        self._told = True
        write_json(self._file, {"done": done, "total": total, "text": text, "updated": time.time()})

    def end(self) -> None:
        # Of the many processes that open a dataset only the one that fetched it has a file to take away.
        if self._told:
            # A file that stays is soon too old to be looked at; the dataset is what counts.
            with suppress(SweepError), files.patience(0.0):
                files.remove(self._file)

    def uploaded(self, done: int, total: int) -> None:
        self.tell(done, total, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB put into the bucket")

    def fetched(self, done: int, total: int) -> None:
        self.tell(
            done, total, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB fetched to {socket.gethostname()}"
        )

    def collected(self, done: int, total: int, info: dict[str, Any]) -> None:
        pace, recent = info.get("steps_per_second"), info.get("recent_mean_return")
        self.tell(
            done,
            total,
            f"{done:,}/{total:,} agent steps"
            + (f" · {pace:,.0f}/s" if pace else "")
            + (f" · recent mean return {recent:.2f}" if recent is not None else ""),
        )

    def imported(self, progress: Any) -> None:
        done, total = progress.bytes_read, progress.bytes_total
        if total is None:
            done, total = progress.shards_done, progress.shards
        self.tell(
            done,
            total,
            f"{progress.transitions:,} transitions · file {min(progress.shards_done + 1, progress.shards)} of "
            f"{progress.shards} · {progress.transitions_per_second:,.0f}/s",
        )


def _make(root: Path, path: Path, recipe: DatasetRecipe, teller: _Teller) -> None:
    if recipe.import_ is not None:
        _import(path, recipe.import_, teller)
    elif recipe.url is not None:
        _link(path, recipe.url)
    elif recipe.subset is not None:
        _cut(root, path, recipe.subset)
    else:
        raise DatasetError(f"dataset {path.name!r} has no recipe: it must exist under {root / 'datasets'}.")


def _import(path: Path, recipe: Import, teller: _Teller) -> None:
    from agents.data.importers.checksums import read_checksums
    from agents.data.importers.engine import import_dataset

    import_dataset(
        recipe.format,
        recipe.source,
        path,
        options=recipe.options,
        shards=recipe.shards,
        max_transitions=recipe.max_transitions,
        skip_bad_records=recipe.skip_bad_records,
        checksums=read_checksums(Path(recipe.checksums)) if recipe.checksums else None,
        progress=teller.imported,
    )


def _link(path: Path, url: str) -> None:
    from agents.data.remote import link_dataset

    link_dataset(url, path)


def _cut(root: Path, path: Path, recipe: Subset) -> None:
    from agents.data.subset import make_subset, selection

    parent = open_dataset(root, recipe.of)
    chosen = [selection(one) for one in selections(recipe)]
    make_subset(parent, path, chosen)


def _check_environment(path: Path, env: str) -> None:
    manifest = read_manifest(path)
    if manifest.env != env:
        raise DatasetError(
            f"dataset {path.name!r} was made, and it is of {manifest.env}, not of {env} as the study says. Correct "
            f"`env` in the study, or delete {path} and correct the source."
        )


def _chosen(selection: Mapping[str, Any]) -> str:
    values = [value for key, value in selection.items() if key not in ("kind", "seed")]
    return f"{selection['kind']} {' to '.join(f'{value:g}' for value in values)}"
