"""The datasets of a study, found or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import DATASET, RECIPE, study

from agents.data import Dataset
from agents.errors import DatasetError
from search_spaces import Study
from sweep.datasets import check_made, collect_dataset, collect_spec, find_datasets, fingerprints
from sweep.errors import UsageError


def of(recipe: dict[str, Any]) -> Study:
    return study(datasets={DATASET: recipe})


def refusal(root: Path, recipe: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as caught:
        find_datasets(root, of(recipe))
    return str(caught.value)


def test_a_dataset_that_is_yet_to_be_made_stands_by_its_recipe(tmp_path: Path) -> None:
    made = study()
    found = find_datasets(tmp_path, made)
    assert found == {DATASET: None}
    assert fingerprints(made, found) == {DATASET: made.datasets[DATASET].recipe_id()}
    assert not (tmp_path / "datasets").exists(), "looking makes nothing"


def test_a_dataset_that_is_there_stands_by_its_fingerprint(tiny_root: Path) -> None:
    found = find_datasets(tiny_root, study())
    expected = Dataset.open(tiny_root / "datasets" / DATASET).fingerprint
    assert fingerprints(study(), found) == {DATASET: expected}


def test_collecting_again_by_the_same_recipe_gives_the_same_fingerprint(
    tiny_root: Path, tmp_path: Path
) -> None:
    spec = collect_spec(study().datasets[DATASET])
    again = collect_dataset(tmp_path / "other", "another-name", spec)
    assert again == Dataset.open(tiny_root / "datasets" / DATASET).fingerprint


def test_an_existing_dataset_that_is_not_there_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"env": "bsuite/catch/0", "existing": True})
    assert str(tmp_path / "datasets" / DATASET) in message
    assert "sweep data collect" in message
    assert "--root" in message


def test_an_existing_dataset_is_taken_whatever_made_it(tiny_root: Path) -> None:
    found = find_datasets(tiny_root, of({"env": "bsuite/catch/0", "existing": True}))
    assert found[DATASET] is not None


def test_a_dataset_of_another_environment_is_refused(tiny_root: Path) -> None:
    message = refusal(tiny_root, {"env": "bsuite/cartpole/0", "existing": True})
    assert "bsuite/catch/0" in message
    assert "bsuite/cartpole/0" in message


def test_a_dataset_that_another_recipe_made_is_refused_with_the_difference(tiny_root: Path) -> None:
    other = {**RECIPE, "collect": {**RECIPE["collect"], "steps": 500, "seed": 3}}  # type: ignore[dict-item]
    message = refusal(tiny_root, other)
    assert "steps 400 there, 500 in the study" in message
    assert "seed 0 there, 3 in the study" in message
    assert "num_envs" not in message


def test_a_damaged_manifest_is_told_as_such(tiny_root: Path) -> None:
    (tiny_root / "datasets" / DATASET / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="damaged"):
        find_datasets(tiny_root, study())


def test_a_folder_that_is_no_dataset_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "datasets" / DATASET).mkdir(parents=True)
    with pytest.raises(DatasetError, match="not a dataset"):
        find_datasets(tmp_path, study())


def test_a_dataset_that_was_to_be_made_and_was_not_is_an_error(tiny_root: Path) -> None:
    recipe, folder = study().datasets[DATASET], tiny_root / "datasets" / DATASET
    assert check_made(folder, recipe).name == DATASET
    shutil.rmtree(folder)
    with pytest.raises(DatasetError, match="is not there"):
        check_made(folder, recipe)
