"""`sweep export` with options of a table, and `sweep analyze` on a CSV of somebody else's runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Sweep

from sweep.analysis import correlation
from sweep.analysis.catalog import TABLES
from sweep.analysis.foreign import read_csv


@pytest.fixture(scope="module")
def runs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty runs of twenty configurations: rank falls and score rises with the learning rate."""
    rng = np.random.default_rng(0)
    lr = np.repeat(np.geomspace(1e-5, 1e-2, 20), 2)
    rank = 30 - 5 * np.log10(lr) + rng.normal(0, 1, 40)
    score = 3 * np.log10(lr) + rng.normal(0, 1, 40)
    path = tmp_path_factory.mktemp("csv") / "runs.csv"
    pd.DataFrame({"lr": lr, "seed": np.tile([0, 1], 20), "rank": rank, "score": score}).to_csv(
        path, index=False
    )
    return path


def test_the_list_of_tables_has_each_with_its_options(sweep: Sweep) -> None:
    said = sweep("export", "--tables")
    assert said.code == 0
    for table in TABLES.values():
        assert table.name in said.out
        for name, option in table.options.items():
            assert f"  {name}" in said.out
            assert option.words in said.out


def test_options_of_a_table_reach_it(sweep: Sweep, finished: Path) -> None:
    arguments = ("export", "tiny", "summary", "--root", finished, "--format", "json")
    said = sweep(*arguments, "--set", "by=learning_rate", "--set", "measures=srank,loss")
    rows = json.loads(said.out)
    assert {"learning_rate", "srank", "loss"} <= set(rows[0])
    assert "activation" not in rows[0]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("draws", "--set draws: give KEY=VALUE"),
        ("draws=many", "draws=many: not a whole number"),
        ("allow_pruned=maybe", "allow_pruned=maybe: not yes or no"),
        ("confidence=high", "confidence=high: not a number"),
        ("odd=1", "table 'correlation' has no option 'odd'"),
    ],
)
def test_an_option_that_cannot_be_is_a_usage_error(
    sweep: Sweep, finished: Path, setting: str, told: str
) -> None:
    said = sweep("export", "tiny", "correlation", "--root", finished, "--set", setting)
    assert said.code == 2
    assert told in " ".join(said.err.split())


def test_a_csv_gives_the_tables_of_a_sweep(sweep: Sweep, runs_csv: Path) -> None:
    said = sweep("analyze", "--from-csv", runs_csv, *RENAMED, "--table", "correlation", "--format", "json")
    assert said.code == 0, said.err
    row = json.loads(said.out)[0]
    runs = read_csv(runs_csv, rename={"srank": "rank", "return_mean": "score"}, hyperparameters=["lr"])
    expected = correlation(runs.trials, runs.metrics).iloc[0]
    assert (row["n_trials"], row["n_configurations"]) == (40, 20)
    assert row["spearman"] == expected["spearman"] < -0.7
    assert row["spearman_high"] < 0
    assert "every run is taken as finished" in said.err


def test_a_csv_without_hyperparameters_says_how_to_name_them(sweep: Sweep, runs_csv: Path) -> None:
    said = sweep("analyze", "--from-csv", runs_csv)
    assert said.code == 2
    assert "--hyperparameters" in said.err


RENAMED = ("--rename", "srank=rank", "--rename", "return_mean=score", "--hyperparameters", "lr")


def test_without_a_table_the_verdict_is_told_in_words(sweep: Sweep, runs_csv: Path) -> None:
    said = sweep("analyze", "--from-csv", runs_csv, *RENAMED)
    assert said.code == 0, said.err
    # The rank goes with the score only because the learning rate moves both.
    assert "one environment, all: vanishes" in said.out or "one environment, all: cannot tell" in said.out
    assert "40 trials of 20 configurations" in said.out


def test_a_sweep_has_its_verdict_too(sweep: Sweep, finished: Path) -> None:
    said = sweep("analyze", "tiny", "--root", finished)
    assert said.code == 0, said.err
    assert "at least 5 are needed" in said.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "one of the two"),
        (("tiny", "--from-csv", "runs.csv"), "one of the two"),
        (("tiny", "--rename", "srank=rank"), "are for --from-csv"),
        (("tiny", "--table", "odd"), "unknown table 'odd'"),
    ],
)
def test_what_is_asked_wrongly_is_a_usage_error(
    sweep: Sweep, finished: Path, arguments: tuple[str, ...], told: str
) -> None:
    said = sweep("analyze", *arguments, "--root", finished)
    assert said.code == 2
    assert told in " ".join(said.err.split())


def test_a_csv_gives_a_report(sweep: Sweep, runs_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.html"
    said = sweep("analyze", "--from-csv", runs_csv, *RENAMED, "--report", out)
    assert said.code == 0, said.err
    assert "higher effective rank goes with lower return" in out.read_text()
