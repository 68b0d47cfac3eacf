"""Do two spaces differ in their correlation? Overlapping intervals do not say; their difference does."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.frames import AnalysisError, require_columns
from sweep.analysis.intervals import z_error


def correlation_contrast(
    table: pd.DataFrame, first: str = "narrow", second: str = "broad", *, statistic: str = "spearman"
) -> pd.DataFrame:
    """Per environment, the correlation in ``first`` minus that in ``second``, from a `correlation` table.

    Columns: env, first, second, statistic, first_value, second_value, difference (of the correlations
    themselves), low and high (an interval of the difference), p (two-sided), note. Standard errors and the
    test are on Fisher's scale, with Welch's degrees of freedom; the interval of the difference is Zou's
    (2007, Psychological Methods 12:399), which needs each correlation's own interval only. The spaces are
    taken as independent: trials that both contain make the two estimates move together, so that the interval
    is then too wide, not too narrow. An environment where either number is absent has a note and no numbers.
    """
    low, high = f"{statistic}_low", f"{statistic}_high"
    require_columns(
        table, ("env", "space", "n_configurations", statistic, low, high, "confidence"), "correlation"
    )
    if table.duplicated(["env", "space"]).any():
        raise AnalysisError(
            "the correlation table has several rows for an environment and space; make it without `within`."
        )
    rows = []
    for env, group in table.groupby("env", sort=False):
        by_name = {str(record["space"]): record for record in group.to_dict("records")}
        row: dict[str, object] = {"env": env, "first": first, "second": second, "statistic": statistic}
        absent = [s for s in (first, second) if not np.isfinite(by_name.get(s, {}).get(statistic, np.nan))]
        if absent:
            row["note"] = f"refused: no correlation in {' and '.join(absent)}"
        else:
            row |= _difference(by_name[first], by_name[second], statistic)
        rows.append(row)
    numbers = ("first_value", "second_value", "difference", "low", "high", "p")
    frame = pd.DataFrame(rows, columns=["env", "first", "second", "statistic", *numbers, "note"])
    return frame.astype(dict.fromkeys(numbers, float)).astype({"note": object})


def _difference(a: Mapping[Hashable, Any], b: Mapping[Hashable, Any], statistic: str) -> dict[str, object]:
    r, s = float(a[statistic]), float(b[statistic])
    low, high = f"{statistic}_low", f"{statistic}_high"
    difference = r - s
    below = np.hypot(r - a[low], b[high] - s)
    above = np.hypot(a[high] - r, s - b[low])
    variances, freedoms = [], []
    for row in (a, b):
        clusters = int(row["n_configurations"])
        variances.append(z_error(row[low], row[high], clusters, float(row["confidence"])) ** 2)
        freedoms.append(clusters - 1)
    total = sum(variances)
    freedom = (
        total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True)) if total > 0 else np.nan
    )
    gap = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)) - np.arctanh(np.clip(s, -1 + 1e-9, 1 - 1e-9))
    p = float(2 * stats.t.sf(abs(gap) / np.sqrt(total), freedom)) if total > 0 else np.nan
    return {
        "first_value": r,
        "second_value": s,
        "difference": difference,
        "low": float(difference - below),
        "high": float(difference + above),
        "p": p,
    }
