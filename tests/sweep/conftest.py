"""What tests of sweeps share: a dataset, collected once a session by a real agent in a real environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_sweeps import DATASET, root_with, study

from sweep.datasets import collect_dataset, collect_spec


@pytest.fixture(scope="session")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the dataset of `tiny_sweeps.study`, not to be changed."""
    root = tmp_path_factory.mktemp("dataset-root")
    collect_dataset(root, DATASET, collect_spec(study().datasets[DATASET]))
    return root


@pytest.fixture
def tiny_root(dataset_root: Path, tmp_path: Path) -> Path:
    """A root of the test's own with that dataset."""
    return root_with(dataset_root, tmp_path / "root")
