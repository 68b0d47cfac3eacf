"""Where the tests of the store put it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.store import SweepStore, manifest
from sweep.store.layout import Table

anywhere = pytest.mark.parametrize("store", ["folder", "bucket"], indirect=True)
"""For tests of what must hold in a folder and on an object store alike."""


def first_part(sweep: SweepStore, table: Table = "metrics") -> Path:
    """The file of a table's first compaction."""
    return manifest.latest(sweep.layout).of(table)[0].path(sweep.layout)
