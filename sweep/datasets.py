"""The datasets of a study: found under the root, or made once by their recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.data import Manifest, read_manifest
from agents.errors import DatasetError
from search_spaces import DatasetRecipe, Study
from sweep.errors import UsageError
from sweep.store import files

if TYPE_CHECKING:
    from agents.collect import CollectSpec, Progress

__all__ = ["collect_dataset", "collect_spec", "find_datasets", "fingerprints", "progress_file"]


def find_datasets(root: Path, study: Study) -> dict[str, Manifest | None]:
    """The manifest of each dataset of the study; None for one that is yet to be collected.

    Raises UsageError for a dataset that should exist and does not, that is of another environment, or that
    another recipe made; DatasetError for one that is damaged.
    """
    return {name: _find(root / "datasets" / name, recipe) for name, recipe in study.datasets.items()}


def fingerprints(study: Study, found: dict[str, Manifest | None]) -> dict[str, str]:
    """What stands for each dataset in a trial's id: its fingerprint, or its recipe while it is not made."""
    return {
        name: manifest.fingerprint if manifest else study.datasets[name].recipe_id()
        for name, manifest in found.items()
    }


def collect_spec(recipe: DatasetRecipe) -> CollectSpec:
    """The recipe as the collector takes it."""
    from agents.collect import CollectSpec

    assert recipe.collect is not None
    return CollectSpec(env=recipe.env, **recipe.collect.model_dump())


def collect_dataset(
    root: Path, name: str, spec: CollectSpec, progress: Progress | None = None, *, num_threads: int = 1
) -> str:
    """Make `ROOT/datasets/<name>` in this process and return its fingerprint.

    `num_threads` is for the emulator; the data do not depend on it. Raises UsageError where the spec's policy
    is not that of a finished trial under the root.
    """
    from agents.collect import collect
    from agents.devices import prepare_process
    from sweep.policies import trial_policy

    prepare_process(threads=1, precision="float32")
    folder = root / "datasets"
    policy = None if spec.policy is None else trial_policy(root, spec.policy, env=spec.env)
    files.make_folder(folder)
    return collect(spec, folder / name, progress, policy=policy, num_threads=num_threads).fingerprint


def progress_file(root: Path, name: str) -> Path:
    """Where a process that collects says how far it is."""
    return root / "datasets" / f".{name}.progress.json"


def _find(folder: Path, recipe: DatasetRecipe) -> Manifest | None:
    if not folder.exists():
        if recipe.collect is None:
            raise UsageError(
                f"dataset {recipe.name!r}: {folder} does not exist, and the study says `existing: true`. Put it "
                "there (`sweep data collect`), give another --root, or give the study a `collect` recipe."
            )
        return None
    manifest = read_manifest(folder)
    if manifest.environment.env_id != recipe.env:
        raise UsageError(
            f"dataset {recipe.name!r}: {folder} is of {manifest.environment.env_id}, the study wants {recipe.env}. "
            "Give the dataset another name in the study."
        )
    if recipe.collect is not None:
        made_by = _with_defaults(manifest.provenance.get("recipe"))
        wanted = collect_spec(recipe).model_dump(mode="json")
        if made_by is not None and made_by != wanted:
            differ = ", ".join(
                f"{key} {made_by.get(key)!r} there, {wanted.get(key)!r} in the study"
                for key in sorted({*made_by, *wanted})
                if made_by.get(key) != wanted.get(key)
            )
            raise UsageError(
                f"dataset {recipe.name!r}: {folder} was made by another recipe ({differ}). Give the dataset "
                "another name in the study, or delete the folder."
            )
    return manifest


def _with_defaults(made_by: dict[str, Any] | None) -> dict[str, Any] | None:
    """A recorded recipe with the keys that it did not have in the version that made it."""
    from agents.collect import CollectSpec

    if made_by is None:
        return None
    missing = {
        name: field.default
        for name, field in CollectSpec.model_fields.items()
        if name not in made_by and not field.is_required()
    }
    return {**missing, **made_by}


def check_made(folder: Path, recipe: DatasetRecipe) -> Manifest:
    """The manifest of a dataset that must be there by now. Raises DatasetError."""
    manifest = _find(folder, recipe)
    if manifest is None:
        raise DatasetError(f"dataset {recipe.name!r}: {folder} was to be made and is not there.")
    return manifest
