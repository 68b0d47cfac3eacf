"""The same four tables as a researcher writes them in a notebook: pandas, scipy, and a loop over bootstrap draws.

Each reads the Parquet files with `pandas.read_parquet`, the columns it needs alone, takes the last value of each
measure by `groupby(...).last()`, and draws configurations with all their seeds, a draw at a time. A draw's numbers are
those that the store's tables bootstrap, no more; `intervention-ate`, whose intervals there come from a formula, has
the difference of two means for each factor here. Fewer draws than asked for can be made and the rest extrapolated,
a draw costing what the one before did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.large_sweep import SWITCHES
from search_spaces.trial import TrialConfig
from sweep.store import Store

MEASURE, OUTCOME = "srank", "return_mean"
QUANTILES = (0.25, 0.5, 0.75, 0.95)
BINS = 5


def run(root: Path, name: str, table: str, draws: int, of: int) -> dict[str, Any]:
    """Seconds for `of` draws, reading included, extrapolated from `draws`; and the estimates by row."""
    start = time.perf_counter()
    groups = list(_TABLES[table][0](_ended(root, name)))
    reading = time.perf_counter() - start  # the groups, too, are made but once
    random = np.random.default_rng(0)
    start = time.perf_counter()
    estimates, spread = {}, {}
    statistic = _TABLES[table][1]
    for key, group in groups:
        estimates[key] = statistic(group)
        members = list(group.groupby("configuration").indices.values())
        drawn = []
        for _ in range(draws):
            chosen = random.integers(0, len(members), len(members))
            drawn.append(statistic(group.iloc[np.concatenate([members[c] for c in chosen])]))
        spread[key] = np.std(drawn, axis=0, ddof=1)
    looping = time.perf_counter() - start
    return {
        "seconds": reading + looping * of / draws,
        "reading_seconds": reading,
        "loop_seconds": looping,
        "draws": draws,
        "estimates": estimates,
        "errors": spread,
    }


def _ended(root: Path, name: str) -> pd.DataFrame:
    """A row a finished trial and space: its configuration and where it ended."""
    folder = Store(root).sweep(name).layout.parts("metrics")
    metrics = pd.read_parquet(folder, columns=["trial_id", "step", MEASURE, OUTCOME])
    last = metrics.sort_values("step").groupby("trial_id")[[MEASURE, OUTCOME]].last()
    trials = Store(root).trials(name)
    fields = [f for f in TrialConfig.model_fields if f != "seed"]
    trials["configuration"] = trials[fields].astype(str).agg("|".join, axis=1).astype("category").cat.codes
    ended = trials[trials["status"] == "finished"].merge(last, left_on="trial_id", right_index=True)
    return ended.explode("spaces").rename(columns={"spaces": "space"}).reset_index(drop=True)


def _varying(group: pd.DataFrame) -> list[str]:
    fields = [f for f in TrialConfig.model_fields if f not in ("seed", "env", "dataset", "hidden_sizes")]
    return [f for f in fields if len(group[f].unique()) > 1]


Groups = Iterator[tuple[tuple[str, ...], pd.DataFrame]]


def _by_env_and_space(ended: pd.DataFrame) -> Groups:
    yield from ended.groupby(["env", "space"])


def _by_type_too(ended: pd.DataFrame) -> Groups:
    for (env, space), group in ended.groupby(["env", "space"]):
        yield (env, space, "combined"), group
        if len(group["activation"].unique()) > 1:
            for activation, own in group.groupby("activation"):
                yield (env, space, activation), own


def _by_space(ended: pd.DataFrame) -> Groups:
    for space, group in ended.groupby("space"):
        yield (space,), group


def _by_grouping(ended: pd.DataFrame) -> Groups:
    for (env, space), group in ended.groupby(["env", "space"]):
        for field in _varying(group):
            values = group[field]
            labels = pd.qcut(values, BINS, labels=False) if values.nunique() > 12 else values
            yield (env, space, field), group.assign(group=labels)


def _associations(group: pd.DataFrame) -> list[float]:
    x, y = group[MEASURE], group[OUTCOME]
    return [stats.pearsonr(x, y).statistic, stats.spearmanr(x, y).statistic, stats.linregress(x, y).slope]


def _above_less_below(group: pd.DataFrame) -> list[float]:
    found = []
    for quantile in QUANTILES:
        above = group[MEASURE] > group[MEASURE].quantile(quantile)
        found.append(group.loc[above, OUTCOME].mean() - group.loc[~above, OUTCOME].mean())
    return found


def _effects(group: pd.DataFrame) -> list[float]:
    found = []
    for field in SWITCHES:
        means = group.groupby(field)[MEASURE].mean()
        found.append(means.iloc[-1] - means.iloc[0] if len(means) == 2 else np.nan)
    return found


def _pooled_and_within(group: pd.DataFrame) -> list[float]:
    pooled = np.polyfit(group[MEASURE], group[OUTCOME], 1)[0]
    means = group.groupby("group")[[MEASURE, OUTCOME]].transform("mean")
    x, y = group[MEASURE] - means[MEASURE], group[OUTCOME] - means[OUTCOME]
    return [pooled, (x * y).sum() / (x * x).sum()]


_TABLES: dict[str, tuple[Callable[[pd.DataFrame], Groups], Callable[[pd.DataFrame], list[float]]]] = {
    "correlation": (_by_env_and_space, _associations),
    "threshold-ate": (_by_type_too, _above_less_below),
    "intervention-ate": (_by_space, _effects),
    "simpson": (_by_grouping, _pooled_and_within),
}
