"""What the page's script needs to show a trial under the pointer: words for each trial, and the figures' data."""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.frames import content, varying
from sweep.report.page import Plot
from sweep.report.words import setting

_PLACE = ("env", "dataset", "train_steps")


@dataclass(frozen=True)
class RunLinks:
    """Where trials are in MLflow: ``before``, a trial's name there, ``after``."""

    before: str
    runs: Mapping[str, str] | None
    """Trial id to run id; None where a trial goes by its own id."""
    after: str = ""

    def of(self, trials: Iterable[str]) -> list[str | None]:
        """What stands between ``before`` and ``after`` for each trial, None for one without a run."""
        return [trial if self.runs is None else self.runs.get(trial) for trial in trials]


def trial_words(trials: pd.DataFrame) -> list[str]:
    """A trial's configuration in words, what varies among ``trials`` alone, then its seed."""
    # What every trial of an environment has, such as its network, tells none from another.
    several = [varying(group) for _, group in trials.groupby("env", sort=False)]
    fields = [f for f in varying(trials) if f not in _PLACE and any(f in of_env for of_env in several)]
    columns = [[setting(field, value) for value in trials[field]] for field in fields]
    if "seed" in trials.columns:
        columns.append([f"seed {content(seed)}" for seed in trials["seed"]])
    if not columns:
        return [str(trial) for trial in trials["trial_id"]]
    return [" · ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]


def page_data(plots: Iterable[tuple[str, Plot]], trials: pd.DataFrame, links: RunLinks | None) -> str | None:
    """JSON of everything that the script reads, by the plots' ids; None where no plot answers the pointer.

    Trials are numbered as ``trials`` has them, which is how the figures name them.
    """
    live = {name: {"form": plot.live.form, **plot.live.data} for name, plot in plots if plot.live is not None}
    if not live:
        return None
    data = {
        "figures": live,
        "trials": trial_words(trials),
        "runs": None if links is None else links.of(map(str, trials["trial_id"])),
        "run_page": None if links is None else [links.before, links.after],
    }
    # Inside a page "<" could end the script; everything else JSON escapes itself.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )


@cache
def plotly_source() -> str:
    """plotly.js of the installed package, in gzip and base64: 2 MB instead of 5."""
    source = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 9, mtime=0)).decode()


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Six significant figures, as many as a picture can show; None for what is no number."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(list(values), dtype=float)]
