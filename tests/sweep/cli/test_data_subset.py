"""`sweep data subset`, and what `sweep data` shows of parts and of quality by checkpoint."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import Sweep
from tiny_sweeps import DATASET

from agents.data import Dataset
from agents.data.writer import DatasetWriter
from agents.environments.protocol import ArrayFormat
from sweep.datasets import progress_file
from sweep.pack_progress import write_json


@pytest.fixture
def ordered(tiny_root: Path) -> Dataset:
    """The session's dataset with a column that says which of four checkpoints each transition is of."""
    old = Dataset.open(tiny_root / "datasets" / DATASET)
    columns = {"checkpoint": ArrayFormat(dtype="int32")}
    path = tiny_root / "datasets" / "ordered"
    with DatasetWriter(path, old.spec, None, columns=columns, frames_of=old) as writer:
        names = ("frame_index", "action", "reward", "discount", "episode")
        checkpoint = np.repeat(np.arange(4, dtype=np.int32), 100)
        writer.add_transitions(*(old.arrays[name] for name in names), {"checkpoint": checkpoint})
        return writer.finish(old.manifest.episodes, old.manifest.mean_return, {"made": "for a test"})


def made(root: Path, name: str) -> Dataset:
    return Dataset.open(root / "datasets" / name, verify=True)


def test_selections_are_made_in_the_order_of_the_command_line(
    sweep: Sweep, tiny_root: Path, ordered: Dataset
) -> None:
    of = ("data", "subset", "ordered", "--root", tiny_root)
    assert sweep(*of, "--name", "a", "--prefix", 0.5, "--checkpoints", "1:3").code == 0
    assert sweep(*of, "--name", "b", "--checkpoints", "1:3", "--prefix", 0.5).code == 0
    assert len(made(tiny_root, "a")) == 100, "of the first 200, those of checkpoint 1"
    assert len(made(tiny_root, "b")) == 150, "of the 300 of checkpoints 1 to 3, the first half"
    said = sweep(*of, "--name", "c", "--fraction", 0.1, "--seed", 7, "--returns", "0:1")
    assert said.code == 0
    recorded = made(tiny_root, "c").manifest.provenance["subset"]["selections"]
    assert recorded == [
        {"kind": "fraction", "fraction": 0.1, "seed": 7},
        {"kind": "returns", "low": 0.0, "high": 1.0},
    ]
    assert made(tiny_root, "c").fingerprint[:12] in said.out.replace("\n", "")


def test_parts_are_listed_with_what_they_are_parts_of(sweep: Sweep, tiny_root: Path) -> None:
    assert (
        sweep("data", "subset", DATASET, "--name", "tenth", "--fraction", 0.1, "--root", tiny_root).code == 0
    )
    rows = {one["name"]: one for one in json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)}
    assert rows["tenth"]["transitions"] == math.ceil(0.1 * 400)
    assert rows["tenth"]["source"] == f"part of {DATASET}: fraction"
    assert rows[DATASET]["source"] == "collected by random"
    table = sweep("data", "ls", "--root", tiny_root).out
    for row in rows.values():
        assert row["fingerprint"][:8] in table
        assert row["fingerprint"][:13] not in table
    for header in ("environment", "transitions", "episodes", "return", "size", "fingerprint", "source"):
        assert header in table


def test_the_return_of_each_checkpoint_is_shown(sweep: Sweep, tiny_root: Path, ordered: Dataset) -> None:
    shown = json.loads(sweep("data", "show", "ordered", "--json", "--root", tiny_root).out)["quality"]
    arrays = ordered.arrays
    assert [(one["checkpoint"], one["transitions"]) for one in shown] == [(i, 100) for i in range(4)]
    for one in shown:
        returns = []
        for episode in np.unique(arrays["episode"]):
            rows = np.flatnonzero(arrays["episode"] == episode)
            if arrays["discount"][rows[-1]] == 0 and rows[-1] // 100 == one["checkpoint"]:
                returns.append(arrays["reward"][rows].sum())
        assert one["episodes"] == len(returns)
        assert one["mean_return"] == pytest.approx(np.mean(returns))
    plain = yaml.safe_load(sweep("data", "show", "ordered", "--root", tiny_root).out)
    assert plain["quality"] == shown
    assert "quality" not in json.loads(sweep("data", "show", DATASET, "--json", "--root", tiny_root).out)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "at least one of --fraction"),
        (("--seed", 3, "--prefix", 0.5), 2, "--seed is of the draw of --fraction"),
        (("--returns", "0.9"), 2, "two numbers with a colon, such as 0.9:1"),
        (("--checkpoints", "a:b"), 2, "such as 40:49"),
        (("--checkpoints", "0:1"), 1, "no column `checkpoint`"),
        (("--fraction", 1.5), 1, "fraction is 1.5"),
        (("--returns", "0.9:0.1"), 1, "both must lie in [0, 1]"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    options: tuple[object, ...], code: int, words: str, sweep: Sweep, tiny_root: Path
) -> None:
    said = sweep("data", "subset", DATASET, "--name", "part", *options, "--root", tiny_root)
    assert said.code == code
    assert words in said.err.replace("\n", " ")
    assert not (tiny_root / "datasets" / "part").exists()


def test_names_that_are_taken_or_unknown_are_refused(sweep: Sweep, tiny_root: Path) -> None:
    prefix = ("--prefix", 0.5, "--root", tiny_root)
    assert "exists already" in sweep("data", "subset", DATASET, "--name", DATASET, *prefix).err
    assert "Did you mean" in sweep("data", "subset", "random-catsh", "--name", "x", *prefix).err
    outside = sweep("data", "subset", "../datasets", "--name", "x", *prefix)
    assert (outside.code, "is not allowed" in outside.err) == (2, True)


def test_status_tells_of_datasets_that_are_being_made(sweep: Sweep, tiny_root: Path) -> None:
    said = {"done": 1, "total": 2, "text": "5 transitions [of 10]", "updated": time.time()}
    write_json(progress_file(tiny_root, "pong"), said)
    assert "making dataset pong: 5 transitions [of 10]" in sweep("status", "--root", tiny_root).out


def test_a_link_is_listed_with_its_address_and_a_damaged_one_as_damaged(
    sweep: Sweep, tiny_root: Path
) -> None:
    link = tiny_root / "datasets" / DATASET / "remote.json"
    link.write_text('{"url": "s3://mine/catch"}')
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)
    assert row["source"] == "at s3://mine/catch"
    shown = json.loads(sweep("data", "show", DATASET, "--json", "--root", tiny_root).out)
    assert shown["remote"] == "s3://mine/catch"
    link.write_text("{")
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)
    assert "remote.json is damaged" in row["problem"]
    assert "remote.json is damaged" in sweep("data", "ls", "--root", tiny_root).out
    assert sweep("data", "verify", DATASET, "--root", tiny_root).code == 1
