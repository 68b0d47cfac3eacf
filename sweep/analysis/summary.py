"""Where trials of a kind ended: median and quartiles of final measures."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import INCLUDED, classify
from sweep.analysis.final import final, value_column
from sweep.analysis.frames import by_space, require_columns


def final_summary(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str],
    *,
    by: Sequence[str] = ("activation",),
) -> pd.DataFrame:
    """One row per environment x space x ``by``: n_planned, n_trials, n_configurations, n_diverged, and for
    each measure its median, ``<measure>_q25`` and ``<measure>_q75`` over finished trials at the end of
    training.

    Descriptive: a quartile is a spread of trials, not an error of an estimate. A measure's numbers are over
    the trials that have it; trials under early stopping are described with the rest.
    """
    require_columns(trials, by, "trials")
    classified = classify(trials, metrics, [], allow_pruned=True)[["trial_id", "reason", "configuration"]]
    rows = by_space(final(trials, metrics, measures=measures).merge(classified, on="trial_id"))
    keys = ["env", "space", *by]
    table: list[dict[Hashable, object]] = []
    for key, group in rows.groupby(keys, sort=False, dropna=False, observed=True):
        ended = group[group["reason"] == INCLUDED]
        row: dict[Hashable, object] = dict(zip(keys, key, strict=True))
        row |= {
            "n_planned": len(group),
            "n_trials": len(ended),
            "n_configurations": int(ended["configuration"].nunique()),
            "n_diverged": int((group["reason"] == "diverged").sum()),
        }
        for measure in measures:
            taken = ended[value_column(trials, measure)].astype(float).dropna().to_numpy()
            q25, median, q75 = np.quantile(taken, [0.25, 0.5, 0.75]) if len(taken) else (np.nan,) * 3
            row |= {measure: median, f"{measure}_q25": q25, f"{measure}_q75": q75}
        table.append(row)
    columns = [*keys, "n_planned", "n_trials", "n_configurations", "n_diverged"]
    columns += [f"{measure}{end}" for measure in measures for end in ("", "_q25", "_q75")]
    return pd.DataFrame(table, columns=columns)
