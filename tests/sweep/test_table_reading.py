"""A table reads what it says it reads, and gives what it would give of everything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from search_spaces.trial import TrialConfig
from sweep.analysis.catalog import TABLES
from sweep.errors import UsageError
from sweep.reading import read_for
from sweep.store import Store

STEPS = range(0, 1001, 50)


@pytest.fixture(params=["compacted", "in segments"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """24 trials of 12 learning rates; the rank every 100 steps, the return every 250, the loss always."""
    made = Store(tmp_path)
    sweep = made.create("demo")
    random = np.random.default_rng(0)
    trials = []
    for number in range(24):
        config = TrialConfig(
            env="bsuite/catch/0",
            dataset="catch",
            seed=number % 2,
            learning_rate=1e-4 * (1 + number // 2),
            train_steps=1000,
        )
        trials.append(
            {**config.model_dump(), "trial_id": f"t{number:02}", "pack_id": "p0", "status": "planned"}
        )
    sweep.write_trials(pd.DataFrame(trials).assign(spaces=[["broad"]] * 24, scheduler="fifo"))
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    for step in STEPS:
        rows: Mapping[str, Any] = {
            "trial_id": [trial["trial_id"] for trial in trials],
            "step": [step] * 24,
            "loss": random.normal(size=24),
            "srank": np.ma.masked_array(random.integers(1, 40, 24), mask=np.full(24, step % 100 != 0)),
            "return_mean": np.ma.masked_array(random.normal(size=24), mask=np.full(24, step % 250 != 0)),
        }
        writer.append(rows)
    writer.flush()
    sweep.finish_pack(
        "p0", {"attempt": attempt, "trials": {t["trial_id"]: {"status": "finished"} for t in trials}}
    )
    if request.param == "compacted":
        sweep.compact(grace_seconds=0)
    return made


@pytest.mark.parametrize("name", ["final", "summary", "correlation", "curves"])
def test_a_table_of_what_it_reads_is_that_of_everything(store: Store, name: str) -> None:
    table, trials = TABLES[name], store.trials("demo")
    found = table.build(trials, read_for(store, "demo", table, {}))
    everything = store.metrics("demo")
    pd.testing.assert_frame_equal(found, table.build(trials, everything))


def test_last_values_are_few_rows_and_series_are_all_with_trials_as_categories(store: Store) -> None:
    last = read_for(store, "demo", TABLES["correlation"], {})
    assert list(last.columns) == ["trial_id", "step", "srank", "return_mean"]
    assert len(last) == 24
    series = read_for(store, "demo", TABLES["curves"], {"measures": ["srank"]})
    assert len(series) == 24 * len(STEPS)
    assert isinstance(series["trial_id"].dtype, pd.CategoricalDtype)


def test_a_measure_that_a_table_needs_and_the_store_has_not_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no column 'sranc'.*did you mean 'srank'"):
        read_for(store, "demo", TABLES["correlation"], {"measure": "sranc"})
