"""Does a measure go with an outcome? Per environment and space; the configuration is the unit of replication.

Associational: both columns are results of training. Nothing here says what would happen if the measure were
changed.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.association import Pair
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.intervals import cluster_draws, correlation_interval, mean_interval
from sweep.analysis.samples import FEW_CONFIGURATIONS, MINIMUM_CONFIGURATIONS, check_bootstrap, samples
from sweep.analysis.table import BOOTSTRAP, MEASURE, SAMPLE, Table, pair

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
    check_bootstrap(draws, confidence)
    table: list[dict[str, object]] = []
    for sample in samples(
        trials,
        metrics,
        [measure, outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        row = sample.row()
        row |= {"measure": measure, "outcome": outcome, "confidence": confidence, "draws": draws}
        if sample.refusal is None:
            pair = Pair.of(sample.values(measure), sample.values(outcome), sample.configuration)
            row |= _estimates(pair, draws, confidence, sample.stream(seed))
        table.append(row)
    keys = ["env", "space", *within]
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


def _estimates(pair: Pair, draws: int, confidence: float, rng: np.random.Generator) -> dict[str, object]:
    whole, drawn = np.ones((1, pair.clusters)), cluster_draws(pair.clusters, draws, rng)
    intercept, slope = (float(values[0]) for values in pair.line(whole))
    row: dict[str, object] = {"intercept": intercept}
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


TABLE: Final = Table(
    "correlation",
    "a measure against an outcome per environment and space, with bootstrap intervals",
    correlation,
    "last",
    pair,
    {**MEASURE, **SAMPLE, **BOOTSTRAP},
)
