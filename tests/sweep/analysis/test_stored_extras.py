"""Tables that take more of a store than rows: the protocol's amounts, and vectors beside series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_sweeps import study, train_all

from sweep.export import result_table
from sweep.store import Store


@pytest.fixture
def root(tiny_root: Path) -> Path:
    """Six learning rates of two seeds, trained, with layers and noise."""
    rates = {"learning_rate": {"low": 1e-4, "high": 3e-2, "num": 6, "scale": "log"}}
    probes = {"layers": {}, "robustness": {"noise": [0.5, 2.0], "offset": 2.0}}
    protocol = {
        "log_every": 10,
        "probe_every": 20,
        "eval_every": 20,
        "eval_episodes": 4,
        "probe_batch_size": 32,
    }
    train_all(
        tiny_root,
        study({"name": "rates", "axes": rates, "seeds": 2}, protocol={**protocol, "probes": probes}),
    )
    return tiny_root


def test_amounts_and_vectors_come_from_the_store(root: Path) -> None:
    kept = result_table(root, "tiny", "robustness", by=[])
    curve = kept[kept["statistic"] == "return kept"]
    assert curve["amount"].tolist() == [0.0, 0.5, 2.0]
    assert curve["offset"].unique().tolist() == [2.0]
    spectra = Store(root).spectra("tiny")
    vectors = spectra.loc[spectra["name"] == "robustness_noise_returns", "values"]
    means = np.mean([np.asarray(v, float) for v in vectors], axis=0) + 2
    assert curve["value"].to_numpy() == pytest.approx(means / means[0])

    table = result_table(root, "tiny", "specification-curve", measures=["srank"], windows=[0.5])
    assert set(table["layer"]) == {"last", "penultimate"}  # of two layers the first is the last but one
    assert table["delta"].nunique() > 1
    summary = result_table(root, "tiny", "specification-summary", permutations=100).iloc[0]
    assert summary["n_run"] > 0
