"""The rank at each learning rate, early and late in training (Gulcehre et al. 2022, Figure 5)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import require_columns
from sweep.analysis.samples import check_confidence, samples
from sweep.analysis.table import SAMPLE, Option, Table
from sweep.analysis.training.lr_evolution import OF, STEPS, noted, offer, repeats, steps_of
from sweep.analysis.training.series import Series

EARLY: Final = 0.05
"""Share of training that is looked at beside its end: the paper's 1M of 20M steps."""
RANK_COLUMNS: Final = (
    *("of", "value", "measure", *COUNT_COLUMNS, "step", "mean", "low", "high"),
    *("n_measured", "repeated_by", "n_repeats", "kind", "confidence", "note"),
)


def rank_by_lr(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    *,
    of: str = "learning_rate",
    steps: Sequence[float] | None = None,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """Mean of ``measure`` at each value of hyperparameter ``of`` and step, per environment x space (x ``within``).

    Columns: env, space, ``within``, then `RANK_COLUMNS`: counts of trials by reason; mean with the bounds of a
    ``confidence`` interval (jackknife error over ``n_repeats`` configurations, or seeds where a value has only one
    configuration; Student's t); ``n_measured`` trials.

    Finished trials count, by their last measurement at or before the step. ``steps`` are gradient steps; by default
    the first measured at or after a twentieth of training, and the last. One repeat has no interval. ``kind`` is
    "associational" where other hyperparameters do not take the same levels at every value.

    Raises `AnalysisError` for a missing column or a confidence outside (0, 1).
    """
    check_confidence(confidence)
    require_columns(trials, ("seed", of), "trials")
    require_columns(metrics, ("trial_id", "step", measure), "metrics")
    series = Series(trials["trial_id"], metrics)
    rows: list[dict[str, object]] = []
    for sample in samples(
        trials,
        metrics,
        [measure],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=None,
        varying=(),
    ):
        base = {"of": of, "measure": measure, "confidence": confidence, **sample.row()}
        offered, refusal = offer(sample, of)
        if offered is None or refusal is not None:
            rows.append({**base, "note": refusal})
            continue
        places = series.places(sample.included["trial_id"])
        at = steps_of(series, measure, places, steps)
        if steps is None:
            at = np.unique([at[np.searchsorted(at, EARLY * at[-1])], at[-1]])
        repeated = repeats(sample, offered, series.at(measure, at, places))
        means, sizes, errors = repeated.means(), repeated.sizes(), repeated.errors()
        with np.errstate(invalid="ignore"):
            reach = stats.t.ppf((1 + confidence) / 2, sizes - 1) * errors
        base |= {"kind": offered.kind, "note": noted(sample, offered, of, repeated)}
        for s, step in enumerate(at):
            for v, value in enumerate(offered.values):
                measured = np.isfinite(repeated.y[offered.code == v, s])
                rows.append(
                    {
                        **base,
                        "value": value,
                        "step": int(step),
                        "mean": means[v, s],
                        "low": means[v, s] - reach[v, s],
                        "high": means[v, s] + reach[v, s],
                        "n_measured": int(measured.sum()),
                        "repeated_by": repeated.word,
                        "n_repeats": int(sizes[v, s]),
                    }
                )
    columns = list(dict.fromkeys(["env", "space", *within, *RANK_COLUMNS]))
    types = dict.fromkeys(("mean", "low", "high"), "float64") | {"note": "object"}
    return pd.DataFrame(rows, columns=columns).astype(
        types | dict.fromkeys(("step", "n_measured", "n_repeats"), "Int64")
    )


def _needs(options: Mapping[str, Any]) -> list[str]:
    return [options.get("measure", "srank")]


TABLE: Final = Table(
    "rank-by-lr",
    "the rank at each learning rate (or value of another hyperparameter) at chosen steps",
    rank_by_lr,
    "series",
    _needs,
    {
        "measure": Option("text", "The rank, or another measure [default: srank]."),
        "of": OF,
        "steps": STEPS,
        **{name: SAMPLE[name] for name in ("within", "allow_pruned", "confidence")},
    },
)
