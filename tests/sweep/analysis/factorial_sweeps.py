"""Trials of a study as the store would hold them, with an outcome whose effects were put there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from search_spaces import Study, load_study
from sweep.analysis.interventions.designs import with_study

AXES: Mapping[str, Sequence[Any]] = {
    "activation": ["relu", "tanh"],
    "learning_rate": [3e-4, 3e-5],
    "target_update_period": [2500, 200],
    "sam_weight": [0.0, 0.05],
}
"""(control, treatment)"""


def study(
    axes: Mapping[str, Sequence[Any]] = AXES,
    seeds: int = 1,
    *,
    design: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    datasets: int = 1,
) -> Study:
    """One space, `factorial`, over ``axes``; data are `d0`, `d1`, … of as many environments."""
    space = {
        "name": "factorial",
        "axes": dict(axes),
        "design": dict(design or {"kind": "factorial"}),
        "seeds": seeds,
    }
    content = {
        "study": "interventions",
        "title": "t",
        "question": "q",
        "datasets": {
            f"d{i}": {"env": f"bsuite/catch/{i}", "collect": {"agent": "random", "steps": 100}}
            for i in range(datasets)
        },
        "base": dict(base or {}) | ({} if "dataset" in axes else {"dataset": "d0"}),
        "spaces": [space],
    }
    return Study.parse(content, "test")


def trials_of(a_study: Study | str, *, known: bool = True, scale: str | None = None) -> pd.DataFrame:
    """Finished trials; ``known``: that know their study, as those that `sweep export` reads do."""
    of = load_study(a_study, scale) if isinstance(a_study, str) else a_study
    rows = []
    for i, planned in enumerate(of.trials()):
        config = planned.config.model_dump()
        config["hidden_sizes"] = tuple(config["hidden_sizes"])
        rows.append(
            {
                "trial_id": f"t{i:05}",
                "sweep": "x",
                "spaces": list(planned.spaces),
                "status": "finished",
                "pack_id": "p0",
                **config,
                "scheduler": "fifo",
                "dataset_fingerprint": f"of {config['dataset']}",
            }
        )
    trials = pd.DataFrame(rows)
    return with_study(trials, {"study_text": of.text}) if known else trials


def measured(trials: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Metrics of one row per trial, at its last step."""
    return pd.DataFrame(
        {"trial_id": trials["trial_id"].to_numpy(), "step": trials["train_steps"].to_numpy(), **values}
    )


def signs(trials: pd.DataFrame, axes: Mapping[str, Sequence[Any]] = AXES) -> pd.DataFrame:
    """-1 where a trial has the first value of an axis, +1 the second."""
    return pd.DataFrame({name: np.where(trials[name] == values[1], 1, -1) for name, values in axes.items()})
