import numpy as np
import pandas as pd
import pytest
import torch

from agents.probes.ranks import entropy_rank_of, numerical_rank_of
from agents.probes.ranks import srank_of as srank_of_probe
from sweep.analysis.specifications.rank_definitions import (
    Definition,
    declared,
    series_of,
    srank_of,
    vectors_for,
)
from sweep.analysis.specifications.windows import lengths, windowed


def _sigma(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(size)
    return -np.sort(-(rng.exponential(size=(count, size)) ** 3), axis=1)


@pytest.mark.parametrize("delta", [0.001, 0.01, 0.1, 0.5])
def test_srank_is_the_probes(delta: float) -> None:
    sigma = np.vstack([_sigma(40, 12), np.zeros((1, 12)), np.ones((1, 12))])
    assert srank_of(sigma, delta).tolist() == srank_of_probe(torch.tensor(sigma), delta).tolist()


def _spectra() -> pd.DataFrame:
    """Two trials whose layers differ in number and features in width."""
    rows = [("a", _sigma(1, 8)[0], [3.0, 5.0, 7.0]), ("b", _sigma(1, 5)[0], [4.0])]
    return pd.DataFrame(
        [
            {"trial_id": trial, "step": 100, "name": name, "values": np.asarray(values, np.float32)}
            for trial, sigma, layers in rows
            for name, values in (("singular_values", sigma), ("layer_srank", layers))
        ]
    )


def test_ranks_follow_from_singular_values_and_layers() -> None:
    spectra, metrics = _spectra(), pd.DataFrame({"trial_id": ["a", "b"], "step": 100, "srank": [9.0, 8.0]})
    asked = declared(
        ["srank", "numerical_rank", "entropy_rank"], ["last", "penultimate", "first", "mean"], [0.1], 0.01
    )
    found = {
        one: frame.set_index("trial_id")["value"] for one, frame in series_of(asked, metrics, spectra, 0.01)
    }
    assert found[Definition("srank", "last", 0.01)].to_dict() == {"a": 9.0, "b": 8.0}
    sigma = spectra[spectra["name"] == "singular_values"].set_index("trial_id")["values"]
    for trial in ("a", "b"):
        exact = torch.tensor(sigma[trial].astype(float))
        assert found[Definition("srank", "last", 0.1)][trial] == srank_of_probe(exact, 0.1).item()
        assert found[Definition("numerical_rank")][trial] == pytest.approx(numerical_rank_of(exact).item())
        assert found[Definition("entropy_rank")][trial] == pytest.approx(entropy_rank_of(exact).item())
    assert found[Definition("srank", "first", 0.01)].to_dict() == {"a": 3.0, "b": 4.0}
    assert found[Definition("srank", "mean", 0.01)].to_dict() == {"a": 5.0, "b": 4.0}
    assert found[Definition("srank", "penultimate", 0.01)]["a"] == 5.0
    assert np.isnan(found[Definition("srank", "penultimate", 0.01)]["b"])


def test_only_layers_that_are_stored_are_choices() -> None:
    asked = declared(["srank_eigenvalue", "dead_units"], ["last", "first"], [0.1], 0.01)
    assert asked == [
        Definition("srank_eigenvalue", "last", 0.01),
        Definition("dead_units", "last", np.nan),
        Definition("dead_units", "first", np.nan),
    ]
    assert vectors_for(["srank", "dead_units"], ["last", "first"]) == [
        *("singular_values", "layer_srank", "layer_dead_units")
    ]
    assert vectors_for(["dead_units"], ["last"]) == []


def test_a_window_is_the_mean_over_the_last_share_of_a_trials_own_training() -> None:
    trials = pd.DataFrame({"trial_id": ["a", "b", "c"], "train_steps": [100, 200, 100]})
    rng = np.random.default_rng(0)
    series = pd.DataFrame(
        [
            {"trial_id": trial, "step": step, "x": rng.normal() if step % 20 == 0 else np.nan}
            for trial, last in (("a", 100), ("b", 200), ("c", 60), ("unknown", 100))
            for step in range(0, last + 1, 10)
        ]
    ).sample(frac=1, random_state=0)
    found = windowed(trials, lengths(trials, series), series, "x", [0.0, 0.25, 0.5])
    for i, (trial, length) in enumerate((("a", 100), ("b", 200))):
        own = series[(series["trial_id"] == trial) & series["x"].notna()].sort_values("step")
        assert found[0, i] == own["x"].iloc[-1]
        for w, share in ((1, 0.25), (2, 0.5)):
            assert found[w, i] == pytest.approx(own.loc[own["step"] > length * (1 - share), "x"].mean())
    # One that stopped at 60 of 100 has no final value, and one value in its last half.
    assert np.isnan(found[:2, 2]).all()
    assert np.isfinite(found[2, 2])
    assert lengths(trials.drop(columns="train_steps"), series).tolist() == [100, 200, 60]
