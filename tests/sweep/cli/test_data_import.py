"""`sweep data import`, `show`, `verify` and `ls` as a user meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Sweep
from tfrecord.writer import TFRecordWriter

from agents.data import Dataset
from agents.data.importers.registry import READERS


def write_catch(folder: Path, files: int = 3, records: int = 40, seed: int = 0) -> Path:
    """Pairs of steps of catch in RL Unplugged's bsuite format, written by the package tfrecord."""
    rng, folder = np.random.default_rng(seed), folder / "catch" / "0_0.1"
    folder.mkdir(parents=True)
    for number in range(files):
        writer = TFRecordWriter(str(folder / f"0_full-{number:05d}-of-{files:05d}"))
        for _ in range(records):
            writer.write(
                {
                    "observation": (rng.normal(size=100).tolist(), "float"),
                    "action": (rng.integers(0, 3, 2).tolist(), "int"),
                    "reward": ([1.0, 0.0], "float"),
                    "discount": ([1.0, 1.0], "float"),
                    "step_type": ([0, 2], "int"),
                    "episodic_reward": ([1.0, 1.0], "float"),
                }
            )
        writer.close()
    return folder


@pytest.fixture(scope="module")
def catch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catch(tmp_path_factory.mktemp("catch"))


def harmed(tmp_path: Path, records: int) -> Path:
    """The same with so many records whose action is none."""
    folder = write_catch(tmp_path / "harmed")
    writer = TFRecordWriter(str(folder / "0_full-00001-of-00003"))
    for _ in range(records):
        writer.write(
            {
                "observation": ([0.0] * 100, "float"), "action": ([7, 0], "int"), "reward": ([0.0, 0.0], "float"),
                "discount": ([1.0, 1.0], "float"), "step_type": ([0, 2], "int"),
                "episodic_reward": ([0.0, 0.0], "float"),
            }
        )  # fmt: skip
    writer.close()
    return folder


def test_import_says_what_it_made_and_what_to_do_next(tmp_path: Path, catch: Path, sweep: Sweep) -> None:
    said = sweep("data", "import", "rlu-bsuite", catch, "--name", "catch-rlu", "--root", tmp_path)
    assert said.code == 0, said.err
    dataset = Dataset.open(tmp_path / "datasets" / "catch-rlu")
    assert "120 transitions, 120 whole episodes of mean return 1, " in said.out
    assert f"fingerprint {dataset.fingerprint[:12]}" in said.out
    assert re.search(r"at [\d,]+ transitions/s, [\d.]+ .?B/s", said.out)
    assert f"next: sweep data show catch-rlu --root {tmp_path}" in said.out
    shown = sweep("data", "show", "catch-rlu", "--root", tmp_path)
    assert "random_action_noise: 0.1" in shown.out
    assert sweep("data", "verify", "catch-rlu", "--root", tmp_path).code == 0
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tmp_path).out)
    assert row["source"] == f"rlu-bsuite {catch}"


def test_a_copy_says_its_own_rate_and_not_that_of_what_it_copies(
    tmp_path: Path, catch: Path, sweep: Sweep
) -> None:
    assert sweep("data", "import", "rlu-bsuite", catch, "--name", "a", "--root", tmp_path / "one").code == 0
    said = sweep(
        "data", "import", "rankscope", tmp_path / "one/datasets/a", "--name", "b", "--root", tmp_path
    )
    assert said.code == 0, said.err
    made = [Dataset.open(path) for path in (tmp_path / "one/datasets/a", tmp_path / "datasets/b")]
    assert made[0].fingerprint == made[1].fingerprint
    rate = made[1].manifest.provenance["import"]["transitions_per_second"]
    assert f"at {rate:,.0f} transitions/s" not in said.out
    again = sweep(
        "data", "import", "rankscope", tmp_path / "one/datasets/a", "--name", "c", "--root", tmp_path,
        "--shards", "0:1",
    )  # fmt: skip
    assert (again.code, "copies a dataset as it is" in again.err) == (2, True)


def test_options_choose_files_environment_and_number(tmp_path: Path, catch: Path, sweep: Sweep) -> None:
    said = sweep(
        "data", "import", "rlu-bsuite", catch, "--name", "some", "--root", tmp_path, "--env", "bsuite/catch/7",
        "--shards", "1:2", "--max-transitions", 50, "--option", "run=0_full",
    )  # fmt: skip
    assert said.code == 0, said.err
    manifest = Dataset.open(tmp_path / "datasets" / "some").manifest
    assert (manifest.env, manifest.transitions) == ("bsuite/catch/7", 50)
    assert manifest.provenance["import"]["options"] == {"env": "bsuite/catch/7", "run": "0_full"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["rlu-bsiute", "SOURCE"], r"unknown format 'rlu-bsiute'. Did you mean 'rlu-bsuite'"),
        (["rlu-bsuite", "/nowhere"], "source /nowhere does not exist"),
        (["rlu-bsuite", "SOURCE", "--option", "run"], "--option 'run' is not KEY=VALUE"),
        (["rlu-bsuite", "SOURCE", "--option", "rnu=a"], "has no option 'rnu'. Did you mean 'run'"),
        (["rlu-bsuite", "SOURCE", "--option", "run=x"], "holds no file that rlu-bsuite reads|cannot be told"),
        (
            ["rlu-bsuite", "SOURCE", "--env", "bsuite/cach/0"],
            "'bsuite/cach/0', from --env, is no environment",
        ),
        (["rlu-bsuite", "SOURCE", "--shards", "9:9"], "chooses none of the 3 files"),
        (["rlu-bsuite", "SOURCE", "--checksums", "/nowhere"], "checksums /nowhere cannot be read"),
        (["rlu-bsuite", "SOURCE", "--name", "A B"], "dataset name 'A B' is not allowed"),
        (["rlu-bsuite", "SOURCE", "--max-transitions", "0"], "--max-transitions"),
    ],
)
def test_what_was_asked_wrongly_is_refused_before_anything_is_written(
    tmp_path: Path, catch: Path, sweep: Sweep, arguments: list[str], why: str
) -> None:
    words = [str(catch) if word == "SOURCE" else word for word in arguments]
    said = sweep("data", "import", "--name", "a", "--root", tmp_path, *words)
    assert said.code == 2
    assert re.search(why, said.err), said.err
    assert not list(tmp_path.rglob("*"))


def test_a_name_that_is_taken_is_refused(tmp_path: Path, catch: Path, sweep: Sweep) -> None:
    for code in (0, 2):
        said = sweep("data", "import", "rlu-bsuite", catch, "--name", "a", "--root", tmp_path)
        assert said.code == code
    assert "dataset 'a' exists already" in said.err


def test_bad_records_fail_the_import_or_are_listed(tmp_path: Path, sweep: Sweep) -> None:
    source = harmed(tmp_path, 7)
    asked = ["data", "import", "rlu-bsuite", source, "--name", "a", "--root", tmp_path / "root"]
    said = sweep(*asked, "--skip-bad-records", 6)
    assert said.code == 1
    assert "0_full-00001-of-00003, record 6, key 'action': action 7 is outside 0 to 2" in said.err
    assert "after 6 others" in said.err
    assert (
        sweep("data", "ls", "--root", tmp_path / "root").out.count("a unfinished import: 1 of 3 files") == 1
    )
    said = sweep(*asked, "--skip-bad-records", 7)
    assert said.code == 0, said.err
    assert "7 bad records were left out" in said.out
    assert said.out.count("key 'action': action 7 is outside") == 5
    assert "80 transitions" in said.out


def test_help_has_an_example_of_every_format(sweep: Sweep) -> None:
    said = sweep("data", "import", "--help").out
    for name in READERS:
        assert f"sweep data import {name} " in re.sub(r"\s+", " ", said.replace("│", "")), name


def test_a_killed_import_is_listed_with_the_command_that_goes_on(tmp_path: Path, sweep: Sweep) -> None:
    source = write_catch(tmp_path / "many", files=20, records=150)
    root = tmp_path / "root"
    words = [
        "data",
        "import",
        "rlu-bsuite",
        str(source),
        "--name",
        "a",
        "--option",
        "run=0_full",
        "--shards",
        "0:18",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sweep.cli import main; main()", *words, "--root", str(root)],
        stdout=subprocess.DEVNULL,
    )
    try:
        journal = root / "datasets" / ".making-a" / "journal.json"
        wait_for(journal.exists)
        os.kill(process.pid, signal.SIGSTOP)
        running = sweep("data", "ls", "--root", root).out
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert "a is being imported: " in running
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", root).out)
    assert row["name"] == "a"
    assert "unfinished import" in row["problem"]
    said = sweep("data", "ls", "--root", root).out
    found = re.search(
        r"a unfinished import: (\d+) of 19 files, ([\d,]+) transitions. `sweep (.*)` goes on", said
    )
    assert found is not None, said
    assert 1 <= int(found[1]) < 19
    assert found[3].split() == [
        "data", "import", "rlu-bsuite", str(source), "--name", "a", "--option", "run=0_full", "--shards", "0:18",
        "--root", str(root),
    ]  # fmt: skip
    other = sweep(*words[:-1], "0:3", "--root", root)
    assert other.code == 1
    assert "begun otherwise: shards was '0:18', now '0:3'" in other.err
    ended = sweep(*words, "--root", root)
    assert ended.code == 0, ended.err
    whole = sweep(*(word if word != "a" else "b" for word in words), "--root", root)
    assert whole.code == 0
    made = [Dataset.open(root / "datasets" / name) for name in "ab"]
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].manifest.provenance["import"]["processes"] == 2


def wait_for(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
