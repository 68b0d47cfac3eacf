"""How probable it is that a run of one kind beats a run of another in the same environment.

Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice", Section 4.3: P(X > Y), ties half, averaged
over environments. It says how often, not by how much.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats

from sweep.analysis.association import Floats
from sweep.analysis.frames import content
from sweep.analysis.multiplicity import holm
from sweep.analysis.performance.scores import (
    SCORES,
    Group,
    Period,
    check_period,
    groups,
    kind_columns,
    needed,
    other_differences,
)
from sweep.analysis.performance.stratified import IntervalKind, Runs, check_kind, chunks
from sweep.analysis.samples import check_bootstrap
from sweep.analysis.table import BOOTSTRAP, Option, Table

Counts = npt.NDArray[np.int64]

_NUMBERS: Final = ("improvement", "improvement_low", "improvement_high", "improvement_p", "p_holm")
IMPROVEMENT_COLUMNS: Final = (
    *("env", "space", "first", "second", "period", "score", "n_environments", "unit"),
    *("n_first", "n_second", "n_diverged_first", "n_diverged_second", *_NUMBERS),
    *("kind", "confidence", "draws", "interval", "note"),
)


def improvement(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    score: str | None = None,
    pool: bool = True,
    period: Period = "final",
    interval: IntervalKind = "t",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """P(a run of ``first`` > a run of ``second``), averaged over environments, a row per pair of kinds of run.

    Columns: `IMPROVEMENT_COLUMNS`. The two kinds are drawn independently within each environment. With
    ``interval="t"`` the bounds are a score interval whose variance is the larger of the bootstrap's and that of
    Newcombe (2006, Statistics in Medicine 25:559, method 5), which is not 0 where one kind always wins;
    "percentile" is rliable's. ``improvement_p``, two-sided against one half, permutes units between the kinds within
    each environment: exact where the kinds do not differ at all. ``p_holm`` is corrected for the pairs of a space.

    ``kind`` is "randomised" where the two differ in ``by`` alone, and "associational" where other hyperparameters
    differ too. Only environments that both have count; groups and refusals otherwise as in `aggregate`, and the same
    errors are raised.
    """
    check_bootstrap(draws, confidence)
    check_kind(interval)
    check_period(period)
    factors = kind_columns(trials, by)
    found = list(groups(trials, metrics, by=by, score=score, pool=pool, allow_pruned=allow_pruned))
    table: list[dict[str, object]] = []
    for place in dict.fromkeys(group.place for group in found):
        alike = [group for group in found if group.place == place]
        rows = []
        for first, second in combinations(alike, 2):
            row = _row(first, second, period, factors)
            row |= {"confidence": confidence, "draws": draws, "interval": interval}
            if row["note"] is None or not str(row["note"]).startswith("refused"):
                row |= _estimates(first, second, period, draws, confidence, interval, seed)
            rows.append(row)
        corrected = holm(np.array([row.get("improvement_p", np.nan) for row in rows], float))
        table += [row | {"p_holm": p} for row, p in zip(rows, corrected, strict=True)]
    frame = pd.DataFrame(table, columns=list(IMPROVEMENT_COLUMNS))
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"note": object})


def probability(x: Runs, y: Runs, x_weights: Floats, y_weights: Floats) -> Floats:
    """P(X > Y) + P(X = Y) / 2 of each environment, ``[d, E]``, from weights ``[d, N_x]`` and ``[d, N_y]``.

    Both need runs in the same environments.
    """
    out = np.empty((len(x_weights), x.environments))
    for e in range(x.environments):
        mine, theirs = x.environment == e, y.environment == e
        order = np.argsort(y.scores[theirs], kind="stable")
        ordered = y.scores[theirs][order]
        up_to = np.cumsum(y_weights[:, theirs][:, order], axis=1)
        up_to = np.concatenate([np.zeros((len(up_to), 1)), up_to], axis=1)
        below, upto = (np.searchsorted(ordered, x.scores[mine], side=side) for side in ("left", "right"))
        wins = (up_to[:, below] + up_to[:, upto]) / 2
        w = x_weights[:, mine]
        out[:, e] = (w * wins).sum(axis=1) / (w.sum(axis=1) * up_to[:, -1])
    return out


def _row(first: Group, second: Group, period: Period, factors: Sequence[str]) -> dict[str, object]:
    a, b = first.row(), second.row()
    refusal = next((group.refusal for group in (first, second) if group.refusal), None)
    common = _common(first, second)
    if refusal is None and not common:
        refusal = f"refused: no environment has runs of both {first.label} and {second.label}"
    others = other_differences(first.sample, second.sample, factors)
    notes = [refusal] if refusal else [str(n) for n in dict.fromkeys((a["note"], b["note"])) if n]
    if others and not refusal:
        notes.append(f"the two differ in {', '.join(others)} too")
    return {
        "env": a["env"],
        "space": a["space"],
        "first": first.label,
        "second": second.label,
        "period": period,
        "score": first.score,
        "n_environments": len(common),
        "unit": first.unit if first.unit == second.unit else "configuration",
        "n_first": a["n_trials"],
        "n_second": b["n_trials"],
        "n_diverged_first": a["n_diverged"],
        "n_diverged_second": b["n_diverged"],
        "kind": "associational" if others else "randomised",
        "note": "; ".join(notes) or None,
    }


def _common(first: Group, second: Group) -> list[str]:
    sets = [set(group.sample.included["env"].map(content)) for group in (first, second)]
    return [env for env in first.environments if env in sets[0] & sets[1]]


def _estimates(
    first: Group,
    second: Group,
    period: Period,
    draws: int,
    confidence: float,
    kind: IntervalKind,
    seed: int,
) -> dict[str, object]:
    common = _common(first, second)
    x, y = first.runs(period, common), second.runs(period, common)
    rng = np.random.default_rng([*(int(g.sample.stream(seed).integers(2**32)) for g in (first, second))])
    by_environment = probability(x, y, x.whole(), y.whole())[0]
    drawn = np.concatenate(
        [
            probability(x, y, x.drawn(some, rng, kind), y.drawn(some, rng, kind)).mean(axis=1)
            for some in chunks(draws, len(x.scores) + len(y.scores))
        ]
    )
    if kind == "percentile":
        low, high = (float(b) for b in np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]))
    else:
        low, high = score_interval(by_environment, float(drawn.var(ddof=1)), x.units, y.units, confidence)
    return {
        "improvement": float(by_environment.mean()),
        "improvement_low": low,
        "improvement_high": high,
        "improvement_p": permutation_p(x, y, draws, rng),
    }


def score_interval(
    by_environment: Floats, variance: float, n: Counts, m: Counts, confidence: float
) -> tuple[float, float]:
    """All θ with (P - θ)² ≤ t² c V(θ), from P of each environment ``[E]`` and the ``n`` and ``m`` units compared there.

    V is the variance of Newcombe's method 5, averaged as P is; c makes it ``variance`` (the bootstrap's) at P, and at
    least what V is with each environment's P half a pair nearer to one half.
    """
    count = len(by_environment)
    middle = float(by_environment.mean())
    moved = (by_environment * n * m + 0.5) / (n * m + 1)
    least = float(_variance(moved, n, m).sum()) / count**2

    def spread(theta: float) -> float:
        return float(_variance(np.full(count, theta), n, m).sum()) / count**2

    reach = float(stats.t.ppf((1 + confidence) / 2, int((n + m - 2).sum()))) ** 2
    reach *= max(variance, least) / spread(float(moved.mean()))

    def outside(theta: float) -> float:
        return (middle - theta) ** 2 - reach * spread(theta)

    # At 0 and 1 themselves V is 0, and so is `outside`: the other end is looked for from just inside.
    inside = float(np.clip(middle, 1e-9, 1 - 1e-9))
    low = 0.0 if middle == 0 else optimize.brentq(outside, 0.0, inside)
    high = 1.0 if middle == 1 else optimize.brentq(outside, inside, 1.0)
    return float(low), float(high)


def permutation_p(x: Runs, y: Runs, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p of P = 1/2: units change places between the kinds within each environment, ``draws`` times."""
    n, m = x.units, y.units
    both = Runs.of(
        np.r_[x.scores, y.scores],
        np.r_[x.environment, y.environment],
        np.r_[x.unit, y.unit + len(np.unique(x.unit))],
    )
    observed = abs(probability(x, y, x.whole(), y.whole()).mean() - 0.5)
    extreme = 0
    for some in chunks(draws, len(both.scores)):
        mine = np.concatenate([_random_labels(a, b, some, rng) for a, b in zip(n, m, strict=True)], axis=1)
        swapped = probability(both, both, mine[:, both.unit], 1 - mine[:, both.unit]).mean(axis=1)
        extreme += int((np.abs(swapped - 0.5) >= observed - 1e-12).sum())
    return (extreme + 1) / (draws + 1)


def _random_labels(n: int, m: int, draws: int, rng: np.random.Generator) -> Floats:
    ranks = np.argsort(rng.random((draws, n + m)), axis=1)
    return np.asarray(ranks < n, dtype=float)


def _variance(theta: Floats, n: Counts, m: Counts) -> Floats:
    half = (n + m) / 2 - 1
    shape = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return np.asarray(theta * (1 - theta) / (n * m) * shape)


TABLE: Final = Table(
    "improvement",
    "how probable it is that a run of one kind beats a run of another, for every pair of kinds",
    improvement,
    "series",
    needed,
    {
        **SCORES,
        "period": Option("text", "final, or average over training [default: final]."),
        "interval": Option("text", "t, or percentile, which is rliable's and too narrow with few runs."),
        "confidence": Option("number", "Of the intervals [default: 0.95]."),
        **BOOTSTRAP,
    },
)
