"""A truncated or changed segment is named, the rest can be read, and the remedy that is named works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from drills import Drill, assert_same_store, metrics

from sweep.store import Store

MakeDrill = Callable[..., Drill]


@pytest.fixture
def uncompacted(new_drill: MakeDrill) -> Drill:
    """The undisturbed root as if it had been killed before its compaction: all rows in segments."""
    drill = new_drill(copy=True)
    for table in ("metrics", "spectra"):
        shutil.rmtree(drill.root / "store" / "tiny" / table)
    return drill


@pytest.mark.slow
def test_damaged_segments_are_named_left_out_on_request_and_made_again_as_the_message_says(
    uncompacted: Drill, undisturbed: Drill, cluster: str
) -> None:
    drill = uncompacted
    drill.address = cluster
    assert_same_store(drill.root, undisturbed.root)
    truncated, changed = _segments(drill, drill.packs()[0])[1], _segments(drill, drill.packs()[1])[2]
    truncated.write_bytes(truncated.read_bytes()[:-700])
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)

    out = drill.root.parent / "final.csv"
    for command in (("export", "tiny", "final", "--out", str(out)), ("report", "tiny")):
        refused = drill.sweep(*command)
        assert refused.code == 1
        assert str(truncated) in refused.output or str(changed) in refused.output
        assert "--skip-corrupt" in refused.output
        assert "Traceback" not in refused.output
    assert not out.exists()

    left_out = drill.sweep("export", "tiny", "final", "--out", str(out), "--skip-corrupt").ok()
    assert str(truncated) in left_out.output
    assert str(changed) in left_out.output
    assert set(pd.read_csv(out)["trial_id"]) == set(metrics(undisturbed.root)["trial_id"])
    rest = Store(drill.root).metrics("tiny", skip_corrupt=True)
    whole = metrics(undisturbed.root)
    assert 0 < len(rest) < len(whole)
    assert len(rest.merge(whole, on=["trial_id", "step", "loss", "td_error"], validate="1:1")) == len(rest)

    said = _corrupt(drill.sweep("status", "tiny", "--json").ok().output)
    assert len(said) == 2
    assert all(any(str(path) in one for one in said) for path in (truncated, changed))
    assert str(truncated) in drill.sweep("status", "tiny").ok().output.replace("\n", "")

    # Nothing is left to train, but this is not a sweep that ended well.
    again = drill.run()
    assert again.code == 1
    assert str(truncated) in again.output
    assert str(changed) in again.output

    for pack in drill.packs():
        for folder in ("store/tiny/packs", "store/tiny/hot", "store/tiny/hot-spectra", "checkpoints/tiny"):
            shutil.rmtree(drill.root / folder / pack)
    drill.run().ok()
    assert_same_store(drill.root, undisturbed.root)


def test_a_damaged_table_is_named_and_the_rest_is_read(new_drill: MakeDrill) -> None:
    drill = new_drill(copy=True)
    (part,) = (drill.root / "store" / "tiny" / "metrics").glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:1000])
    refused = drill.sweep("export", "tiny", "curves")
    assert refused.code == 1
    assert str(part) in refused.output
    assert "Traceback" not in refused.output
    assert str(part) in "".join(_corrupt(drill.sweep("status", "tiny", "--json").ok().output))


def _segments(drill: Drill, pack: str) -> list[Path]:
    return sorted((drill.root / "store" / "tiny" / "hot" / pack).glob("a*.parquet"))


def _corrupt(output: str) -> list[str]:
    found: list[str] = json.loads(output)["corrupt"]
    return found
