"""Datasets of transitions on disk: the manifest, the arrays, and the writer that makes them.

Names that need torch are loaded on first use, so that reading a manifest stays instant.
"""

from typing import TYPE_CHECKING, Any

from agents.data.manifest import ArrayInfo, Listing, Manifest, list_datasets, read_manifest

if TYPE_CHECKING:
    from agents.data.dataset import Dataset, verify
    from agents.data.importers.engine import import_dataset
    from agents.data.importers.episodes import from_episodes
    from agents.data.transitions import Transitions
    from agents.data.writer import DatasetWriter

__all__ = [
    "ArrayInfo",
    "Dataset",
    "DatasetWriter",
    "Listing",
    "Manifest",
    "Transitions",
    "from_episodes",
    "import_dataset",
    "list_datasets",
    "read_manifest",
    "verify",
]

_LAZY = {
    "Dataset": "dataset",
    "DatasetWriter": "writer",
    "Transitions": "transitions",
    "from_episodes": "importers.episodes",
    "import_dataset": "importers.engine",
    "verify": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
