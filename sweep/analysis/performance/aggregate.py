"""How good a kind of run is over several environments, at the end of training and on average over it.

Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice", Section 4. Kumar et al. (2022, DR3),
Table 1 and Figure 4, report the interquartile mean of the score averaged over training as stability: a method that
unlearns has an average above its end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.performance.scores import SCORES, Group, groups, kind_columns, needed
from sweep.analysis.performance.stratified import (
    IntervalKind,
    Runs,
    bootstrap,
    check_kind,
    interquartile_mean,
    interval_of,
    mean,
    median,
    optimality_gap,
)
from sweep.analysis.samples import check_bootstrap
from sweep.analysis.table import BOOTSTRAP, Option, Table

STATISTICS: Final = ("iqm", "median", "mean", "optimality_gap")
PERIODS: Final = ("final", "average", "final - average")
_NUMBERS: Final = tuple(f"{name}{end}" for name in STATISTICS for end in ("", "_low", "_high", "_p"))
AGGREGATE_COLUMNS: Final = (
    *("group", "period", "score", *COUNT_COLUMNS, "n_environments", "unit", *_NUMBERS),
    *("confidence", "draws", "interval", "note"),
)


def aggregate(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    score: str | None = None,
    pool: bool = True,
    gamma: float = 1.0,
    interval: IntervalKind = "t",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """Interquartile mean, median, mean and optimality gap of scores, three rows per space and kind of run.

    ``by`` are the hyperparameters that tell kinds apart (default: `default_factors` of the space). The rows are the
    `PERIODS`: the last evaluation; the plain mean over the evaluations after step 0; and their difference, run by
    run in each draw, below 0 where training went on too long. Columns: env ("all" where environments are pooled),
    space, ``by``, then `AGGREGATE_COLUMNS`; ``<statistic>_p`` is two-sided against 0 and of the difference alone.

    Environments count equally. Draws are within each environment, of seeds where the kind is one configuration
    there and else of configurations with all their seeds (``unit``). ``interval``: see `stratified`.

    A group has a note and no numbers where an environment has fewer than 2 units, where trials ran under early
    stopping, and where returns of several environments would be pooled without a common scale. Raises
    `AnalysisError` for a missing column, draws < 100, a confidence outside (0, 1), another ``interval``.
    """
    check_bootstrap(draws, confidence)
    check_kind(interval)
    factors = kind_columns(trials, by)
    table: list[dict[str, object]] = []
    for group in groups(trials, metrics, by=by, score=score, pool=pool, allow_pruned=allow_pruned):
        shared = group.row() | {"confidence": confidence, "draws": draws, "interval": interval}
        if group.refusal is not None:
            table += [shared | {"period": period} for period in PERIODS]
            continue
        found = _estimates(group, gamma, draws, confidence, interval, seed)
        for period in PERIODS:
            row = shared | {"period": period} | found[period]
            if np.isnan(found[period]["mean_low"]):
                alike = "runs do not differ within their environments, which gives no interval"
                row["note"] = "; ".join(str(note) for note in (alike, shared["note"]) if note)
            table.append(row)
    columns = list(dict.fromkeys(("env", "space", *factors, *AGGREGATE_COLUMNS)))
    return (
        pd.DataFrame(table, columns=columns).astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})
    )


def _estimates(
    group: Group, gamma: float, draws: int, confidence: float, kind: IntervalKind, seed: int
) -> dict[str, dict[str, float]]:
    final, average = group.runs("final"), group.runs("average")
    change = replace(final, scores=final.scores - average.scores)
    statistics = (interquartile_mean, median, mean, optimality_gap(gamma))
    drawn_final, drawn_average = bootstrap(
        [final, average], statistics, draws, group.sample.stream(seed), kind
    )
    found: dict[str, dict[str, float]] = {period: {} for period in PERIODS}
    for name, statistic, ends, averages in zip(
        STATISTICS, statistics, drawn_final, drawn_average, strict=True
    ):
        end, over = (float(statistic(runs, runs.whole())[0]) for runs in (final, average))
        rows: tuple[tuple[str, Runs, float, np.ndarray], ...] = (
            ("final", final, end, ends),
            ("average", average, over, averages),
            ("final - average", change, end - over, ends - averages),
        )
        for period, runs, estimate, drawn in rows:
            bounds = interval_of(estimate, drawn, runs.freedom, confidence, kind)
            found[period] |= {name: estimate, f"{name}_low": bounds.low, f"{name}_high": bounds.high}
            if period == "final - average":
                found[period][f"{name}_p"] = bounds.p
    return found


TABLE: Final = Table(
    "aggregate",
    "interquartile mean, median, mean and optimality gap over environments, at the end and over training",
    aggregate,
    "series",
    needed,
    {
        **SCORES,
        "gamma": Option("number", "The score that the optimality gap is counted from [default: 1]."),
        "interval": Option("text", "t, or percentile, which is rliable's and too narrow with few runs."),
        "confidence": Option("number", "Of the intervals [default: 0.95]."),
        **BOOTSTRAP,
    },
)
