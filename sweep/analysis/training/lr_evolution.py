"""Which learning rate is best by online evaluation as training goes on (Gulcehre et al. 2022, Figure 31)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS, INCLUDED
from sweep.analysis.frames import AnalysisError, require_columns
from sweep.analysis.samples import Sample, check_bootstrap, samples
from sweep.analysis.table import BOOTSTRAP, SAMPLE, Option, Table
from sweep.analysis.training.choices import CONFIGURATION, Choices, choices
from sweep.analysis.training.replicates import Replicates
from sweep.analysis.training.series import Series

MOST_STEPS: Final = 100
"""Steps that are looked at unless steps are chosen: the evaluated ones, thinned evenly."""
EVOLUTION_COLUMNS: Final = (
    *(
        "of",
        "outcome",
        *COUNT_COLUMNS,
        "step",
        "best",
        "n_tied",
        "best_outcome",
        "best_low",
        "best_high",
        "share",
    ),
    *("not_distinguishable", "n_not_distinguishable", "n_values", "n_evaluated", "repeated_by", "n_repeats"),
    *("kind", "confidence", "draws", "note"),
)


def lr_evolution(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    outcome: str = "return_mean",
    *,
    of: str = "learning_rate",
    steps: Sequence[float] | None = None,
    within: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """The value of hyperparameter ``of`` with the highest mean ``outcome`` at each step, per environment x space.

    Columns: env, space, ``within``, then `EVOLUTION_COLUMNS`: counts of trials by reason; step; the ``best`` value
    (the lowest of ``n_tied`` with the same mean), its mean outcome and the interval of that mean; ``share``, of
    bootstrap draws in which it is the best again (where it shares that place, by its part);
    ``not_distinguishable``, the values whose mean is not clearly below (itself among them), and how many those are.

    Finished trials count, at each step by their last evaluation until then. What repeats a value (``repeated_by``, at
    least ``n_repeats`` of the best one) is configurations where values have several, else seeds, drawn for all values
    at once; see `Replicates`. A value is distinguishable when a one-sided t test of the difference (jackknife error)
    says so at ``confidence``, corrected for as many tests as there are other values (Bonferroni): in that share of
    sweeps the set holds the value that is truly best. The test is one step's; over steps nothing is corrected.

    ``steps`` are gradient steps; by default those at which at least half of the trials were evaluated, at most 100.
    One seed a value leaves the share and the interval empty and every value in the set. Fewer than two values and
    trials under early stopping give a row with a note. ``kind`` is "associational" where other hyperparameters do not
    take the same levels at every value.

    Raises `AnalysisError` for a missing column, draws < 100, or a confidence outside (0, 1).
    """
    check_bootstrap(draws, confidence)
    require_columns(trials, ("seed", of), "trials")
    require_columns(metrics, ("trial_id", "step", outcome), "metrics")
    series = Series(trials["trial_id"], metrics)
    rows: list[dict[str, object]] = []
    for sample in samples(
        trials,
        metrics,
        [outcome],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=None,
        varying=(),
    ):
        base = {"of": of, "outcome": outcome, "confidence": confidence, "draws": draws, **sample.row()}
        offered, refusal = offer(sample, of)
        if offered is None or refusal is not None:
            rows.append({**base, "note": refusal})
            continue
        places = series.places(sample.included["trial_id"])
        at = steps_of(series, outcome, places, steps)
        repeated = repeats(sample, offered, series.at(outcome, at, places))
        rows += [
            {
                **base,
                "kind": offered.kind,
                "step": int(step),
                **row,
                "note": noted(sample, offered, of, repeated),
            }
            for step, row in zip(
                at, _best(repeated, offered, draws, confidence, sample.stream(seed)), strict=True
            )
        ]
    columns = list(dict.fromkeys(["env", "space", *within, *EVOLUTION_COLUMNS]))
    numbers = ("best_outcome", "best_low", "best_high", "share")
    whole = ("step", "n_tied", "n_not_distinguishable", "n_values", "n_evaluated", "n_repeats")
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(whole, "Int64") | {"note": "object"}
    return pd.DataFrame(rows, columns=columns).astype(types)


def offer(sample: Sample, of: str) -> tuple[Choices | None, str | None]:
    """What there is to choose from in a sample, and why there is no choosing, or None."""
    if sample.refusal is not None:
        return None, sample.refusal
    if sample.included.empty:
        return None, f"refused: none of {len(sample.planned)} trials has finished with the outcome measured"
    offered = choices(sample.included, of)
    if len(offered) < 2:
        return None, f"refused: {of} is {offered.labels[0]} in all {len(sample.included)} trials"
    return offered, None


def steps_of(series: Series, measure: str, places: Iterable[int], steps: Sequence[float] | None) -> Floats:
    """``steps`` in order, or by default those at which the measure was taken, thinned evenly to `MOST_STEPS`.

    Raises `AnalysisError` for a step below 0.
    """
    if steps is not None:
        wrong = [step for step in steps if not step >= 0]
        if wrong or not steps:
            raise AnalysisError(
                f"steps={list(steps)}: name gradient steps from 0, such as steps=100000,2000000."
            )
        return np.unique(np.asarray(steps, float))
    taken = series.evaluated(measure, places)
    if len(taken) <= MOST_STEPS:
        return taken
    thinned: Floats = taken[np.unique(np.linspace(0, len(taken) - 1, MOST_STEPS).round().astype(int))]
    return thinned


def repeats(sample: Sample, offered: Choices, y: Floats) -> Replicates:
    """What repeats the values that a sample offers, with the outcomes ``y`` ``[T, S]`` of its trials."""
    included = sample.included
    return Replicates.of(
        y, offered.code, len(offered), sample.configuration, included["seed"].to_numpy(np.int64)
    )


def noted(sample: Sample, offered: Choices, of: str, repeated: Replicates) -> str | None:
    """What to know of means by value: what else differs, who is missing, and whether anything repeats them."""
    notes = []
    if offered.unlike:
        notes.append(
            f"values of {of} also differ in the levels that {', '.join(offered.unlike)} take: keep those apart "
            "with `within`"
        )
    lost = lost_trials(sample, of)
    if lost:
        notes.append(f"only finished trials count: {lost}")
    if repeated.y.shape[1] and repeated.sizes()[:, -1].min() < 2:
        notes.append(
            f"a value with one {repeated.word.removesuffix('s')}: nothing tells its luck from its worth"
        )
    return "; ".join(notes) or None


def lost_trials(sample: Sample, of: str) -> str:
    """Which values of ``of`` lost trials, as "0.01 lost 3 of 5"; "" for none, and for whole configurations."""
    if of == CONFIGURATION:
        return ""
    planned = choices(sample.planned, of)
    out = (sample.planned["reason"] != INCLUDED).to_numpy()
    lost, all_ = np.bincount(planned.code[out], minlength=len(planned)), np.bincount(planned.code)
    return ", ".join(
        f"{label} lost {n} of {m}" for label, n, m in zip(planned.labels, lost, all_, strict=True) if n
    )


def _best(
    repeated: Replicates, offered: Choices, draws: int, confidence: float, rng: np.random.Generator
) -> list[dict[str, object]]:
    means, sizes = repeated.means(), repeated.sizes()
    steps = np.arange(means.shape[1])
    best = np.where(np.isnan(means), -np.inf, means).argmax(axis=0)
    share = np.full(len(steps), np.nan)
    for part, drawn in repeated.drawn(draws, rng):
        highest = np.fmax.reduce(drawn, axis=0)
        mine = np.take_along_axis(drawn, best[None, None, part], axis=0)[0]
        with np.errstate(invalid="ignore"):
            share[part] = ((mine >= highest) / (drawn >= highest).sum(axis=0)).mean(axis=0)
    error = repeated.errors()[best, steps]
    apart, freedom = repeated.errors_from(best)
    with np.errstate(invalid="ignore"):
        reach = stats.t.ppf((1 + confidence) / 2, sizes[best, steps] - 1) * error
        margin = stats.t.ppf(1 - (1 - confidence) / (len(offered) - 1), freedom) * apart
        clear = means[best, steps] - means > np.where(np.isnan(margin), np.inf, margin)
    rows: list[dict[str, object]] = []
    for s in steps:
        b, n = int(best[s]), int(sizes[best[s], s])
        if np.isnan(means[:, s]).all():
            rows.append({"n_evaluated": 0})
            continue
        held = [
            label for v, label in enumerate(offered.labels) if not clear[v, s] and not np.isnan(means[v, s])
        ]
        rows.append(
            {
                "best": offered.values[b],
                "n_tied": int((means[:, s] == means[b, s]).sum()),
                "best_outcome": means[b, s],
                "best_low": means[b, s] - reach[s],
                "best_high": means[b, s] + reach[s],
                "share": share[s] if n > 1 else np.nan,
                "not_distinguishable": ", ".join(held),
                "n_not_distinguishable": len(held),
                "n_values": int((~np.isnan(means[:, s])).sum()),
                "n_evaluated": int(np.isfinite(repeated.y[:, s]).sum()),
                "repeated_by": repeated.word,
                "n_repeats": n,
            }
        )
    return rows


def _needs(options: Mapping[str, Any]) -> list[str]:
    return [options.get("outcome", "return_mean")]


OF: Final = Option("text", "The hyperparameter to choose [default: learning_rate].")
STEPS: Final = Option("numbers", "Gradient steps, such as 100000,2000000.")

TABLE: Final = Table(
    "lr-evolution",
    "the best learning rate (or other hyperparameter) by online evaluation as training goes on",
    lr_evolution,
    "series",
    _needs,
    {
        "outcome": Option("text", "What it is to be best at [default: return_mean]."),
        "of": OF,
        "steps": STEPS,
        **{name: SAMPLE[name] for name in ("within", "allow_pruned", "confidence")},
        **BOOTSTRAP,
    },
)
