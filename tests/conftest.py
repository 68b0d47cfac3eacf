"""What every test leaves as it found it, and the order in which files are handed to several processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import ObjectStore

LONG = ("integration/test_killed_drivers", "cluster", "integration", "sweep/mirror", "sweep/cli")
"""What takes longest begins first, or one process would be left alone with it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(here).as_posix()
        return next((at for at, start in enumerate(LONG) if path.startswith(start)), len(LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _denormal_numbers() -> Iterator[None]:
    """Packs flush denormals in their process; hypothesis refuses to draw floats in such a process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def _object_store() -> Iterator[ObjectStore]:
    import fsspec

    with ObjectStore() as store:
        # Clients of an earlier store's address.
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield store


@pytest.fixture
def object_store(_object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A real S3 interface whose `root` has nothing below it, reached through the environment; its faults end here."""
    from sweep.store import objects

    for name, value in _object_store.env.items():
        monkeypatch.setenv(name, value)
    _object_store.root = _object_store.fresh_root()
    yield _object_store
    _object_store.calm()
    objects.forget()
