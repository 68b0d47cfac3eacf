"""From the text of a root to its place, and back for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import UsageError
from sweep.store.places import root_place, told_elsewhere


def test_a_root_is_told_to_other_machines_without_this_ones_folder_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told_elsewhere(Path("sweeps")) == str(tmp_path / "sweeps")
    assert told_elsewhere(root_place("s3://bucket/sweeps")) == "s3://bucket/sweeps"


def test_a_root_with_a_key_in_its_address_is_refused_without_saying_it() -> None:
    with pytest.raises(UsageError, match="holds a user or a key") as caught:
        root_place("s3://AKIA:s3cret@bucket/sweeps")
    assert "s3cret" not in str(caught.value)
    assert str(root_place("s3://bucket/a@b")) == "s3://bucket/a@b"
