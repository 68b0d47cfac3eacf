"""The datasets of a study: found under the root, or refused because they were made otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.data import Manifest, read_manifest
from agents.data.manifest import dataset_exists
from agents.data.remote import linked_url
from agents.errors import DatasetError
from search_spaces import DatasetRecipe, Import, Study, Subset
from sweep.dataset_upload import Uploaded, made_in_place
from sweep.errors import UsageError
from sweep.store import files
from sweep.store.places import is_local

if TYPE_CHECKING:
    from agents.collect import CollectSpec, Progress

__all__ = ["check_made", "collect_dataset", "collect_spec", "find_datasets", "fingerprints", "progress_file"]


def find_datasets(root: Path, study: Study) -> dict[str, Manifest | None]:
    """The manifest of each dataset of the study; None for one that is yet to be made.

    Raises UsageError for a dataset that should exist and does not, that is of another environment, or that
    another recipe made, and for a format that is not known; DatasetError for one that is damaged.
    """
    found = {name: _find(root / "datasets" / name, recipe) for name, recipe in study.datasets.items()}
    for name, recipe in study.datasets.items():
        manifest = found[name]
        if recipe.subset is not None and manifest is not None:
            _check_parent(root / "datasets" / name, manifest, recipe.subset, found[recipe.subset.of])
    return found


def fingerprints(study: Study, found: Mapping[str, Manifest | None]) -> dict[str, str]:
    """What stands for each dataset in a trial's id: its fingerprint, or its recipe while it is not made."""
    prints: dict[str, str] = {}

    def settle(name: str) -> str:
        if name not in prints:
            manifest, recipe = found[name], study.datasets[name]
            parent = settle(recipe.subset.of) if recipe.subset is not None and manifest is None else None
            prints[name] = manifest.fingerprint if manifest else recipe.recipe_id(parent)
        return prints[name]

    return {name: settle(name) for name in found}


def collect_spec(recipe: DatasetRecipe) -> CollectSpec:
    """The recipe as the collector takes it."""
    from agents.collect import CollectSpec

    assert recipe.collect is not None
    return CollectSpec(env=recipe.env, **recipe.collect.model_dump())


def collect_dataset(
    root: Path,
    name: str,
    spec: CollectSpec,
    progress: Progress | None = None,
    *,
    num_threads: int = 1,
    uploaded: Uploaded = lambda done, total: None,
) -> str:
    """Make `ROOT/datasets/<name>` in this process and return its fingerprint.

    `num_threads` is for the emulator; the data do not depend on it. `uploaded` hears of the way into a bucket.
    Raises UsageError where the spec's policy is not that of a finished trial under the root.
    """
    from agents.collect import collect
    from agents.devices import prepare_process
    from sweep.policies import trial_policy

    prepare_process(threads=1, precision="float32")
    policy = None if spec.policy is None else trial_policy(root, spec.policy, env=spec.env)
    files.make_folder(root / "datasets")
    with made_in_place(root, name, spec.model_dump_json(), uploaded) as path:
        if not path.exists() or is_local(root):
            collect(spec, path, progress, policy=policy, num_threads=num_threads)
    return read_manifest(root / "datasets" / name).fingerprint


def progress_file(root: Path, name: str) -> Path:
    """Where a process that makes a dataset says how far it is."""
    return root / "datasets" / f".{name}.progress.json"


def check_made(folder: Path, recipe: DatasetRecipe) -> Manifest:
    """The manifest of a dataset that must be there by now. Raises DatasetError."""
    manifest = _find(folder, recipe)
    if manifest is None:
        raise DatasetError(f"dataset {recipe.name!r}: {folder} was to be made and is not there.")
    return manifest


def _find(folder: Path, recipe: DatasetRecipe) -> Manifest | None:
    if not dataset_exists(folder):
        if recipe.kind == "existing":
            raise UsageError(
                f"dataset {recipe.name!r}: {folder} does not exist, and the study says `existing: true`. Put it "
                "there (`sweep data collect` or `import`), give another --root, or give the study a recipe "
                "(`collect`, `import`, `url` or `subset`)."
            )
        if recipe.import_ is not None:
            _check_import(recipe.name, recipe.import_)
        return None
    manifest = read_manifest(folder)
    if manifest.environment.env_id != recipe.env:
        raise UsageError(
            f"dataset {recipe.name!r}: {folder} is of {manifest.environment.env_id}, the study wants {recipe.env}. "
            "Give the dataset another name in the study."
        )
    if recipe.kind != "existing":
        _check_origin(folder, manifest, recipe)
    return manifest


def _check_import(name: str, recipe: Import) -> None:
    """What can be told without opening anything: the format, and that a local source is there."""
    from agents.data.importers.blocks import KnowsNames
    from agents.data.importers.registry import find_reader

    try:
        reader = find_reader(recipe.format)
    except DatasetError as error:
        raise UsageError(f"dataset {name!r}: import.format: {error}") from error
    local = "://" not in recipe.source and not isinstance(reader, KnowsNames)
    if local and not Path(recipe.source).expanduser().exists():
        raise UsageError(
            f"dataset {name!r}: import.source: {recipe.source} does not exist. Give a folder or file that is there, "
            "or an address that begins with gs://, s3:// or https://."
        )


def _check_origin(folder: Path, manifest: Manifest, recipe: DatasetRecipe) -> None:
    """Refuse a dataset that is known to have been made in another way, or by another recipe of that way."""
    made = manifest.provenance
    link = linked_url(folder)
    if link is not None or recipe.url is not None:
        if link != recipe.url:
            there = f"a link to {link}" if link else "no link"
            _refuse(folder, recipe, f"{there} there, {recipe.url or recipe.kind} in the study")
        return
    way = {"subset": "subset", "import": "import", "recipe": "collect"}
    kind = next((kind for key, kind in way.items() if made.get(key) is not None), None)
    if kind is not None and kind != recipe.kind:
        _refuse(folder, recipe, f"{kind} there, {recipe.kind} in the study")
    if kind == "collect":
        from agents.collect import with_defaults

        wanted = collect_spec(recipe).model_dump(mode="json")
        _compare(folder, recipe, with_defaults(made["recipe"]), wanted)
    elif kind == "import" and recipe.import_ is not None:
        wanted = _wanted_import(recipe.import_, str(made["import"].get("source")))
        _compare(folder, recipe, {key: made["import"].get(key) for key in wanted}, wanted)
    elif kind == "subset" and recipe.subset is not None:
        cut = {"selections": made["subset"].get("selections")}
        _compare(folder, recipe, cut, {"selections": selections(recipe.subset)})


def _check_parent(folder: Path, manifest: Manifest, subset: Subset, parent: Manifest | None) -> None:
    there = manifest.provenance.get("subset", {}).get("fingerprint")
    if parent is not None and there is not None and there != parent.fingerprint:
        raise UsageError(
            f"dataset {folder.name!r}: {folder} is a part of a dataset with fingerprint {there[:12]}…, and "
            f"{subset.of!r} has {parent.fingerprint[:12]}…. Give the subset another name in the study, or delete "
            "the folder."
        )


def selections(subset: Subset) -> list[dict[str, Any]]:
    """The subset's selections in the order in which they are applied, as its provenance has them."""
    found: list[dict[str, Any]] = []
    if subset.checkpoints is not None:
        first, last = subset.checkpoints
        found.append({"kind": "checkpoints", "first": first, "last": last})
    if subset.prefix is not None:
        found.append({"kind": "prefix", "prefix": subset.prefix})
    if subset.returns is not None:
        found.append({"kind": "returns", "low": subset.returns[0], "high": subset.returns[1]})
    if subset.fraction is not None:
        found.append({"kind": "fraction", "fraction": subset.fraction, "seed": subset.seed})
    return found


def _wanted_import(recipe: Import, source_there: str) -> dict[str, Any]:
    source = recipe.source
    if source != source_there:
        # Names that a reader knows, such as D4RL's, stand in the provenance by their address.
        from agents.data.importers.blocks import KnowsNames
        from agents.data.importers.registry import find_reader

        reader = find_reader(recipe.format)
        source = reader.locate(source, recipe.options) if isinstance(reader, KnowsNames) else source
    return {
        "format": recipe.format,
        "source": source,
        "options": dict(sorted(recipe.options.items())),
        "shards": recipe.shards,
        "max_transitions": recipe.max_transitions,
    }


def _compare(folder: Path, recipe: DatasetRecipe, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differ = ", ".join(
        f"{key} {made.get(key)!r} there, {wanted.get(key)!r} in the study"
        for key in sorted({*made, *wanted})
        if made.get(key) != wanted.get(key)
    )
    if differ:
        _refuse(folder, recipe, differ)


def _refuse(folder: Path, recipe: DatasetRecipe, differ: str) -> None:
    raise UsageError(
        f"dataset {recipe.name!r}: {folder} was made by another recipe ({differ}). Give the dataset "
        "another name in the study, or delete the folder."
    )
