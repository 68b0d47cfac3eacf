"""The study that the benchmarks of scale run: one dataset, many learning rates, a few shapes, seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search_spaces import Study
from search_spaces.collect_recipe import Collect
from search_spaces.dataset_recipe import DatasetRecipe

DATASET = "catch-random"
SEEDS = 100


def large_study(trials: int, rows: int = 100) -> Study:
    """`trials`, or somewhat fewer, of two shapes, each with `rows` rows when it is done."""
    seeds = min(SEEDS, trials // 2)
    rates = [float(f"{rate:.6g}") for rate in np.geomspace(1e-5, 1e-2, max(trials // (2 * seeds), 1))]
    steps = 100 * rows
    return Study.model_validate(
        {
            "study": "scale",
            "title": "as many trials as are asked for",
            "question": "What does each trial cost beside its training?",
            "datasets": {DATASET: _recipe()},
            "protocol": {"log_every": 100},
            "max_trials": max(trials, 1),
            "spaces": [
                {
                    "name": "all",
                    "base": {"dataset": DATASET, "train_steps": steps},
                    "axes": {"activation": ["relu", "tanh"], "learning_rate": rates},
                    "seeds": seeds,
                }
            ],
        }
    )


def make_dataset(root: Path) -> None:
    """Collect the study's dataset under `root`."""
    from sweep.datasets import collect_dataset, collect_spec

    collect_dataset(root, DATASET, collect_spec(_recipe()))


def _recipe() -> DatasetRecipe:
    return DatasetRecipe(name=DATASET, env="bsuite/catch/0", collect=Collect(agent="random", steps=2000))
