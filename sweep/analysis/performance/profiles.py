"""Performance profiles: the share of runs above each score, for each kind of run.

Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice", Section 4.2: a curve that is above another
everywhere is better in every quantile; curves that cross are kinds of run whose order depends on what is aggregated.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.performance.scores import SCORES, Period, check_period, groups, kind_columns, needed
from sweep.analysis.performance.stratified import (
    IntervalKind,
    Runs,
    bootstrap,
    check_kind,
    interval_of,
    share_above,
)
from sweep.analysis.samples import check_bootstrap
from sweep.analysis.table import BOOTSTRAP, Option, Table

_POINTS: Final = 51
_NUMBERS: Final = ("tau", "share", "share_low", "share_high")
PROFILE_COLUMNS: Final = (
    *("group", "period", "score", *COUNT_COLUMNS, "n_environments", "unit", *_NUMBERS),
    *("confidence", "draws", "interval", "note"),
)


def profiles(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    score: str | None = None,
    pool: bool = True,
    period: Period = "final",
    taus: Sequence[float] | None = None,
    interval: IntervalKind = "t",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """The share of runs with a score above tau, a row per space, kind of run and tau.

    Columns: env, space, ``by``, then `PROFILE_COLUMNS`; the band ``share_low`` to ``share_high`` is pointwise, within
    0 to 1. ``taus`` (default: 51 from the least to the greatest score of the space) are the same for all kinds of a
    space. ``period`` is "final", the last evaluation, or "average", the mean over the evaluations after step 0.
    Environments count equally.

    With ``interval="t"`` the band is a score interval (Wilson's for one environment of independent runs), whose
    variance is the bootstrap's where that is larger: where all runs or none are above tau, the draws do not differ,
    and a band of no width would say too much. "percentile" is rliable's band.

    Groups, draws and refusals as in `aggregate`. Raises `AnalysisError` as it does, and for another ``period``.
    """
    check_bootstrap(draws, confidence)
    check_kind(interval)
    check_period(period)
    factors = kind_columns(trials, by)
    found = list(groups(trials, metrics, by=by, score=score, pool=pool, allow_pruned=allow_pruned))
    table: list[dict[str, object]] = []
    for group in found:
        shared = group.row() | {
            "period": period,
            "confidence": confidence,
            "draws": draws,
            "interval": interval,
        }
        if group.refusal is not None:
            table.append(shared)
            continue
        alike = [g for g in found if g.refusal is None and g.place == group.place]
        at = np.asarray(taus, float) if taus is not None else _grid([g.runs(period) for g in alike])
        runs = group.runs(period)
        statistic = share_above(at)
        shares = statistic(runs, runs.whole())[0]
        drawn = bootstrap([runs], [statistic], draws, group.sample.stream(seed), interval)[0][0]
        for tau, share, of_tau in zip(at, shares, drawn.T, strict=True):
            low, high = _band(runs, float(tau), float(share), of_tau, confidence, interval)
            table.append(shared | {"tau": tau, "share": share, "share_low": low, "share_high": high})
    columns = list(dict.fromkeys(("env", "space", *factors, *PROFILE_COLUMNS)))
    return (
        pd.DataFrame(table, columns=columns).astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})
    )


def _grid(runs: Sequence[Runs]) -> Floats:
    scores = np.concatenate([these.scores for these in runs])
    return np.linspace(scores.min(), scores.max(), _POINTS)


def _band(
    runs: Runs, tau: float, share: float, drawn: Floats, confidence: float, kind: IntervalKind
) -> tuple[float, float]:
    if kind == "percentile":
        bounds = interval_of(share, drawn, runs.freedom, confidence, kind)
        return bounds.low, bounds.high
    units = runs.units
    of_environment = runs.means(runs.whole(), (runs.scores > tau).astype(float))[0]
    # Half a unit moved towards the middle: the variance of a share of 0 or 1 is not 0.
    moved = (of_environment * units + 0.5) / (units + 1)
    least = float((moved * (1 - moved) / units).sum()) / len(units) ** 2
    centre = float(moved.mean())
    variance = max(float(drawn.var(ddof=1)), least)
    scale = variance / (centre * (1 - centre))
    # With the share's own variance the score interval is a quadratic's, as Wilson's (1927).
    reach = float(stats.t.ppf((1 + confidence) / 2, float((units - 1).sum()))) ** 2 * scale
    middle = (share + reach / 2) / (1 + reach)
    half = np.sqrt(reach * share * (1 - share) + reach**2 / 4) / (1 + reach)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


TABLE: Final = Table(
    "profiles",
    "the share of runs above each score, with bands",
    profiles,
    "series",
    needed,
    {
        **SCORES,
        "period": Option("text", "final, or average over training [default: final]."),
        "taus": Option("numbers", "Scores to count runs above [default: 51 over the space's range]."),
        "interval": Option("text", "t, or percentile, which is rliable's and too narrow with few runs."),
        "confidence": Option("number", "Of the bands [default: 0.95]."),
        **BOOTSTRAP,
    },
)
