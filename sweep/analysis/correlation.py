"""Does a measure go with an outcome? Per environment and space; the configuration is the unit of replication.

Associational: both columns are results of training. Nothing here says what would happen if the measure were
changed.
"""

import zlib
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Pair
from sweep.analysis.exclusions import COUNT_COLUMNS, EARLY_STOPPED, INCLUDED, classify, counts
from sweep.analysis.final import value_column
from sweep.analysis.frames import AnalysisError, by_space, require_columns
from sweep.analysis.intervals import cluster_draws, correlation_interval, mean_interval

MINIMUM_CONFIGURATIONS: Final = 5
FEW_CONFIGURATIONS: Final = 15

_ESTIMATES: Final = ("pearson", "spearman", "slope")
CORRELATION_COLUMNS: Final = (
    *("measure", "outcome", *COUNT_COLUMNS),
    *(name for e in _ESTIMATES for name in (e, f"{e}_low", f"{e}_high", f"{e}_p")),
    *("intercept", "confidence", "draws", "note"),
)


def correlation(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    outcome: str = "return_mean",
    *,
    within: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """``measure`` against ``outcome`` at the end of training, one row per environment x space (x ``within``).

    Columns: env, space, ``within``, then `CORRELATION_COLUMNS`: counts of trials, configurations and
    exclusions by reason; Pearson, Spearman and the least-squares slope (outcome per unit of measure), each
    with the bounds of a ``confidence`` interval and a two-sided p; ``note`` says why numbers are absent or
    how far to trust them.

    Configurations are drawn with replacement, all their seeds with them (``draws`` bootstrap draws). A group
    draws from a stream of its own, so its row does not depend on the other groups. Fewer than
    ``min_configurations``, a constant measure or outcome, or trials under early stopping give a row with a
    note and no numbers. A trial in two spaces counts in both. p-values are not corrected for the number of
    rows.

    Raises `AnalysisError` for a missing column, draws < 100, or a confidence outside (0, 1).
    """
    if draws < 100:
        raise AnalysisError(
            f"draws={draws}: a bootstrap interval needs at least 100 draws; 2000 is the default."
        )
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence={confidence}: must lie between 0 and 1, such as 0.95.")
    if min_configurations < 3:
        raise AnalysisError(
            f"min_configurations={min_configurations}: must be at least 3 for a line to have an error."
        )
    require_columns(trials, within, "trials")
    rows = by_space(classify(trials, metrics, [measure, outcome], allow_pruned=allow_pruned))
    keys = ["env", "space", *within]
    x, y = (value_column(trials, name) for name in (measure, outcome))
    table: list[dict[Hashable, object]] = []
    for key, group in rows.groupby(keys, sort=False, dropna=False, observed=True):
        row: dict[Hashable, object] = dict(zip(keys, key, strict=True))
        row.update(counts(group))
        row |= {"measure": measure, "outcome": outcome, "confidence": confidence, "draws": draws}
        included = group[group["reason"] == INCLUDED]
        refusal = _refusal(group, included, {measure: x, outcome: y}, min_configurations)
        if refusal:
            row["note"] = refusal
        else:
            pair = Pair.of(included[x], included[y], included["configuration"])
            stream = np.random.default_rng([seed, zlib.crc32("\0".join(map(str, key)).encode())])
            row |= _estimates(pair, draws, confidence, stream)
        table.append(row)
    columns = list(dict.fromkeys((*keys, *CORRELATION_COLUMNS)))
    frame = pd.DataFrame(table, columns=columns)
    return frame.astype(
        {name: float for e in _ESTIMATES for name in (e, f"{e}_low", f"{e}_high", f"{e}_p")}
    ).astype({"intercept": float, "note": object})


def regression_line(
    x: np.ndarray,
    y: np.ndarray,
    configuration: np.ndarray,
    at: np.ndarray,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Least-squares line through trials ``x``, ``y`` ``[T]`` at the points ``at``: columns x, fit, low, high.

    The band is pointwise: at each x, the bootstrap over ``configuration`` of the mean outcome there.
    """
    pair = Pair.of(x, y, configuration)
    intercept, slope = pair.line(np.ones((1, pair.clusters)))
    b0, b1 = pair.line(cluster_draws(pair.clusters, draws, np.random.default_rng(seed)))
    rows = []
    for point in np.asarray(at, dtype=float):
        fit = float(intercept[0] + slope[0] * point)
        band = mean_interval(fit, b0 + b1 * point, pair.clusters, confidence)
        rows.append({"x": float(point), "fit": fit, "low": band.low, "high": band.high})
    return pd.DataFrame(rows, columns=["x", "fit", "low", "high"])


def _refusal(
    group: pd.DataFrame, included: pd.DataFrame, columns: dict[str, str], min_configurations: int
) -> str | None:
    pruned = int((group["reason"] == EARLY_STOPPED).sum())
    if pruned:
        names = sorted(set(group.loc[group["reason"] == EARLY_STOPPED, "scheduler"].astype(str)))
        return (
            f"refused: {pruned} trials ran under early stopping ({', '.join(names)}), which selects on the "
            "outcome; run them under fifo, or allow pruned trials and read the result as biased"
        )
    configurations = int(included["configuration"].nunique())
    if configurations < min_configurations:
        return (
            f"refused: {configurations} configurations with both measures, at least {min_configurations} are "
            f"needed ({len(included)} of {len(group)} trials)"
        )
    for name, column in columns.items():
        values = included[column]
        if (values == values.iloc[0]).all():
            return f"refused: {name} is {values.iloc[0]:g} in all {len(included)} trials"
    return None


def _estimates(pair: Pair, draws: int, confidence: float, rng: np.random.Generator) -> dict[Hashable, object]:
    whole, drawn = np.ones((1, pair.clusters)), cluster_draws(pair.clusters, draws, rng)
    intercept, slope = (float(values[0]) for values in pair.line(whole))
    row: dict[Hashable, object] = {"intercept": intercept}
    missing = []
    for name, estimate, interval in (
        ("pearson", pair.pearson, correlation_interval),
        ("spearman", pair.spearman, correlation_interval),
        ("slope", lambda weights: pair.line(weights)[1], mean_interval),
    ):
        value = float(estimate(whole)[0]) if name != "slope" else slope
        bounds = interval(value, estimate(drawn), pair.clusters, confidence)
        row |= {name: value, f"{name}_low": bounds.low, f"{name}_high": bounds.high, f"{name}_p": bounds.p}
        if not bounds.exists:
            missing.append(name)
    if missing:
        # A number without its uncertainty is what this table exists to prevent.
        row |= {f"{name}{end}": np.nan for name in _ESTIMATES for end in ("", "_low", "_high", "_p")}
        row["intercept"] = np.nan
        row["note"] = (
            "refused: a measure varies in so few configurations that many bootstrap draws hold no variation "
            f"({pair.clusters} configurations)"
        )
    elif pair.clusters < FEW_CONFIGURATIONS:
        row["note"] = (
            f"few configurations ({pair.clusters}): Student's t with {pair.clusters - 1} degrees of freedom"
        )
    return row
