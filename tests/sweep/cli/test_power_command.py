"""`sweep power`: what it says of a claim, from declared variances and from a pilot in a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Sweep
from tiny_sweeps import study

from sweep.store import Store

FACTORIAL = {
    "name": "factorial",
    "axes": {"activation": ["relu", "tanh"], "learning_rate": [1e-3, 1e-2], "batch_size": [32, 64]},
    "design": {"kind": "factorial"},
    "seeds": 2,
}


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    path.write_text(study(FACTORIAL).text)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pilot `small` of 8 configurations and 3 seeds, written by the store's own writer."""
    folder = tmp_path_factory.mktemp("pilot")
    of = study({**FACTORIAL, "seeds": 3})
    rows = [
        {
            "trial_id": trial.config.trial_id("f" * 64),
            **trial.config.model_dump(),
            "spaces": list(trial.spaces),
            "status": "planned",
            "pack_id": "p0",
            "scheduler": "fifo",
            "dataset_fingerprint": "f" * 64,
        }
        for trial in of.trials()
    ]
    trials = pd.DataFrame(rows)
    sweep = Store(folder).create("small")
    sweep.write_trials(trials)
    sweep.write_plan({"packs": {"p0": {"trials": trials["trial_id"].tolist()}}})
    sweep.write_sweep_record({"study": of.name, "study_text": of.text, "scheduler": "fifo"})
    attempt = sweep.start_attempt("p0", {"resume_step": -1})
    writer = sweep.segment_writer("p0", attempt, -1)
    rng = np.random.default_rng(2)
    rank = 30 + 10 * (trials["activation"] == "tanh") + rng.normal(0, 2, 8).repeat(3) + rng.normal(0, 1, 24)
    writer.append(
        {
            "trial_id": trials["trial_id"],
            "step": trials["train_steps"],
            "wall_time": np.ones(24),
            "srank": rank,
            "return_mean": rng.normal(0, 1, 24),
        }
    )
    writer.flush()
    outcome = {trial: {"status": "finished", "final_step": 60} for trial in trials["trial_id"]}
    sweep.finish_pack("p0", {"attempt": attempt, "trials": outcome})
    return folder


def test_a_main_effect_from_declared_variances_is_a_grid_around_the_study(
    sweep: Sweep, study_file: Path
) -> None:
    said = sweep(
        "power", study_file, "--effect", "main=3", "--sd-between", 2, "--sd-within", 1, "--draws", 300
    )
    assert said.code == 0, said.err
    assert "a main effect of 3 on srank, one of 3 factors, two-sided at 5 %" in said.out
    assert "standard deviation 2 between configurations, 1 between their seeds, as declared" in said.out
    assert "space factorial: 8 configurations in all x 2 seeds" in said.out
    assert "1 seed  2 seeds  3 seeds  5 seeds  10 seeds" in said.out
    assert "* the study as it stands" in said.out
    assert "enough for 80 %: 32 configurations x 1 seed, 32 trials (" in said.out
    assert "upper" not in said.out


def test_a_pilot_gives_its_variance_and_power_at_its_upper_bound(
    sweep: Sweep, study_file: Path, root: Path
) -> None:
    said = sweep(
        *(
            "power",
            study_file,
            "--effect",
            "main=3",
            "--pilot",
            "small",
            "--root",
            root,
            "--draws",
            300,
            "--json",
        )
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["variance"]["pilot"] == "small"
    # The effect of the activation, of 10, is taken out: what was put there has a spread of 2.
    assert 1 < found["variance"]["estimate"]["between"] < 3.5
    assert found["variance"]["upper"]["within"] > found["variance"]["estimate"]["within"]
    assert "so few mislead" in found["variance"]["notes"][0]
    assert found["smallest_upper"]["trials"] >= found["smallest"]["trials"]
    own = next(row for row in found["table"] if row["study"])
    assert (own["configurations"], own["seeds"], own["trials"]) == (8, 2, 16)
    assert own["power_upper"] <= own["power"]


def test_a_correlation_and_a_difference_are_of_one_environment(
    sweep: Sweep, study_file: Path, root: Path
) -> None:
    options = ("--pilot", "small", "--root", root, "--draws", 200)
    said = sweep("power", study_file, "--effect", "correlation=0.6", *options, "--configurations", "8,20")
    assert said.code == 0, said.err
    assert "a correlation of 0.6 between srank and return_mean over trials" in said.out
    assert "from small (env bsuite/catch/0, space factorial)" in said.out
    assert "space factorial: 8 configurations in each environment x 2 seeds" in said.out
    assert "at the upper bound:" in said.out
    said = sweep("power", study_file, "--effect", "difference=1", *options, "--seeds", "5,30")
    assert said.code == 0, said.err
    assert "a difference of 1 in return_mean between two arms, seed by seed" in said.out
    assert "enough for 80 %: 30 seeds of each arm, 60 trials" in said.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--effect", "main=3"], "the variance is not known: give --pilot NAME, a sweep that has run, or"),
        (["--effect", "main=3", "--sd-between", "1"], "the variance is not known"),
        (["--effect", "difference=3", "--pilot", "small", "--sd-within", "1"], "--pilot has the variance"),
        (
            ["--effect", "slope=3", "--pilot", "small"],
            "must be correlation=R, main=EFFECT or difference=EFFECT",
        ),
        (["--effect", "main=3", "--pilot", "large"], "no sweep 'large'"),
        (["--effect", "main=3", "--pilot", "small", "--env", "atari/Pong"], "the pilot has bsuite/catch/0"),
        (
            ["--effect", "main=3", "--pilot", "small", "--seeds", "few"],
            "--seeds few: give whole numbers by commas",
        ),
        (
            ["--effect", "main=3", "--pilot", "small", "--space", "broad"],
            "has the spaces factorial; name one",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_with_status_2(
    sweep: Sweep, study_file: Path, root: Path, options: list[str], says: str
) -> None:
    said = sweep("power", study_file, "--root", root, *options)
    assert said.code == 2
    assert says in said.err
