"""How well measures choose a policy without running it (Gulcehre et al. 2022, section 10, Figures 19 and 20)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError, require_columns
from sweep.analysis.samples import TOGETHER, check_bootstrap, samples
from sweep.analysis.table import BOOTSTRAP, SAMPLE, Option, Table
from sweep.analysis.training.candidates import Candidates, median_scores
from sweep.analysis.training.lr_evolution import STEPS, lost_trials
from sweep.analysis.training.selectors import BEST, MEDIAN, RANDOM, Judged, judged, rule_of
from sweep.analysis.training.series import Series

SELECTORS: Final = ("srank:max", "dead_units:min", "td_error:min", "q_mean:max")
FQE: Final = "fqe_value"
"""A fitted Q evaluation of each policy, where the metrics have one: chosen by its maximum."""
NORMALIZED: Final = "return_normalized"
SELECTION_COLUMNS: Final = (
    *("of", "outcome", "valued", *COUNT_COLUMNS, "step", "selector", "n_candidates", "n_seeds"),
    *("chosen", "chosen_share", "value", "regret", "regret_se", "regret_low", "regret_high"),
    *("sets_mean", "sets_low", "sets_high", "gain", "gain_se", "confidence", "draws", "note"),
)
_NUMBERS: Final = SELECTION_COLUMNS[SELECTION_COLUMNS.index("chosen_share") : -3]

Valued = Literal["mean", "own"]


def policy_selection(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    outcome: str = "return_mean",
    *,
    of: str = "learning_rate",
    selectors: Sequence[str] | None = None,
    steps: Sequence[float] | None = None,
    valued: Valued = "mean",
    valued_at: Literal["end", "step"] = "end",
    within: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """Simple regret (`regret`: 0 best, 1 worst) of choosing a value of ``of`` by a measure, per environment x space.

    A candidate is a value of the hyperparameter ``of``, or with "configuration" everything but the seed. Each seed
    chooses among its own trials by each of ``selectors``, "measure:max" or "measure:min" (by default `SELECTORS` and
    `FQE`, where the metrics have them), as the measure stood at each of ``steps`` (gradient steps; by default the end).
    The chosen candidate counts by its ``outcome`` averaged over seeds (``valued`` "mean": what is chosen is a value of
    a hyperparameter) or in that seed alone ("own"), at the end of training or (``valued_at`` "step") when it was
    chosen. Equal scores share the choice. Beside them stand:

    - "online best", the candidate that is worth most: regret 0;
    - "online median", the one candidate for all environments of a space with the highest median over them of
      `NORMALIZED` (where that is not measured in all of them: of outcome, from 0 for the worst candidate to 1);
    - "random", what a candidate drawn by chance is to be expected to cost.

    Columns: env, space, ``within``, then `SELECTION_COLUMNS`: counts of trials by reason; the candidate ``chosen`` by
    most seeds and by which share of them; its ``value``; the regret, its standard error over seeds, and Student's
    interval, cut to [0, 1] (none where the choice looks at no seed: it is the error of choosing, not of the values);
    ``sets_mean``, ``sets_low``, ``sets_high``, the mean and the quantiles of the regret over bootstrap draws of the set
    of candidates, best and worst anew in each; and the ``gain`` over "online median" in per cent of the size of
    its value, with a standard error over seeds (Figure 20). Rows with env "all" are means over environments: within
    each seed first, then as above.

    Fewer than 3 candidates, candidates that are all worth the same, trials under early stopping and a measure that was
    not taken give a row with a note. Raises `AnalysisError` for a missing column and an option that is not allowed.
    """
    check_bootstrap(draws, confidence)
    chosen_by = _selectors(metrics, selectors)
    measures = [rule_of(selector)[0] for selector in chosen_by]
    _check(valued=(valued, ("mean", "own")), valued_at=(valued_at, ("end", "step")))
    require_columns(trials, ("seed",), "trials")
    require_columns(metrics, ("trial_id", "step", outcome, *measures), "metrics")
    if steps is not None and (not steps or not all(step >= 0 for step in steps)):
        raise AnalysisError(f"steps={list(steps)}: name gradient steps from 0, such as steps=100000,2000000.")
    series = Series(trials["trial_id"], metrics)
    base = {"of": of, "outcome": outcome, "valued": valued, "confidence": confidence, "draws": draws}
    own = valued == "own"
    sampled = list(
        samples(
            trials,
            metrics,
            [outcome],
            within=within,
            allow_pruned=allow_pruned,
            min_configurations=None,
            varying=(),
        )
    )
    rows: list[dict[str, object]] = []
    for step in [np.inf] if steps is None else sorted(set(steps)):
        spaces: dict[tuple[object, ...], list[Candidates]] = {}
        for sample in sampled:
            when = np.inf if valued_at == "end" else step
            group = Candidates.of(sample, of, series, outcome, when, own=own)
            if isinstance(group, str):
                at = None if np.isinf(step) else int(step)
                rows.append({**base, **sample.row(), "step": at, "note": group})
            else:
                key = tuple(value for name, value in sample.key.items() if name != "env")
                spaces.setdefault(key, []).append(group)
        for groups in spaces.values():
            median = median_scores(groups, series, NORMALIZED if NORMALIZED in metrics.columns else None)
            found_by = [list(judged(group, chosen_by, median, series, step, draws, seed)) for group in groups]
            for group, found in zip(groups, found_by, strict=True):
                at = group.last if np.isinf(step) else int(step)
                notes = _notes(group, of)
                rows += [{**base, **row, "step": at} for row in _rows(group, found, confidence, notes, own)]
            if len(groups) > 1:
                at = max(group.last for group in groups) if np.isinf(step) else int(step)
                rows += [{**base, **row, "step": at} for row in _together(groups, found_by, confidence, own)]
    columns = list(dict.fromkeys(["env", "space", *within, *SELECTION_COLUMNS]))
    types = dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(("note", "chosen"), "object")
    return pd.DataFrame(rows, columns=columns).astype(
        types | dict.fromkeys(("step", "n_candidates", "n_seeds"), "Int64")
    )


def _selectors(metrics: pd.DataFrame, given: Sequence[str] | None) -> list[str]:
    usual = [*SELECTORS, f"{FQE}:max"]
    chosen = [s for s in usual if rule_of(s)[0] in metrics.columns] if given is None else list(given)
    if not chosen:
        raise AnalysisError("selectors: none is left; name measures with a direction, such as srank:max.")
    return chosen


def _rows(
    group: Candidates, found: Sequence[Judged], confidence: float, notes: Sequence[str], own: bool
) -> Iterator[dict[str, object]]:
    median = next(one for one in found if one.selector == MEDIAN)
    for one in found:
        there = np.isfinite(one.regrets)
        said = [*notes]
        if one.missing:
            measure = one.selector.rpartition(":")[0]
            said.append(f"{measure} is missing for {one.missing} of {len(group)} candidates")
        if one.ties > 1:
            said.append(f"up to {one.ties} candidates share the choice")
        row = group.sample.row() | {
            "selector": one.selector,
            "n_candidates": len(group),
            "n_seeds": int(there.sum()),
            "note": "; ".join(said) or None,
        }
        if not there.any():
            measure = one.selector.rpartition(":")[0]
            why = f"{measure} was not measured in any candidate by then"
            yield {**row, "note": f"refused: {why if measure else 'no candidate is in every environment'}"}
            continue
        if one.chosen:
            often, times = np.unique(one.chosen, return_counts=True)
            row |= {"chosen": str(often[times.argmax()]), "chosen_share": times.max() / len(one.chosen)}
        size = abs(_over_seeds(median.values)[0])
        gain = 100 * (one.values - median.values) / (size if size > 0 else np.nan)
        row |= {"value": _over_seeds(one.values)[0], "gain": _over_seeds(gain)[0]}
        row["gain_se"] = _over_seeds(gain)[1]
        yield row | _regret_columns(one.regrets, one.sets, confidence) | _certain(one.selector, own)


def _together(
    groups: Sequence[Candidates], found_by: Sequence[Sequence[Judged]], confidence: float, own: bool
) -> Iterator[dict[str, object]]:
    seeds = sorted(set.intersection(*(set(group.seeds.tolist()) for group in groups)))
    key = {**groups[0].sample.key, "env": TOGETHER}
    for same in zip(*found_by, strict=True):
        known = [
            (group, one) for group, one in zip(groups, same, strict=True) if np.isfinite(one.regrets).any()
        ]
        totals = pd.DataFrame([group.sample.row() for group, _ in known])
        row: dict[str, object] = {**key, "selector": same[0].selector}
        if len(known) < 2 or not seeds:
            yield {**row, "note": f"refused: {len(known)} environments, {len(seeds)} seeds in all of them"}
            continue
        row |= {name: int(totals[name].sum()) for name in COUNT_COLUMNS}
        regrets = np.mean([one.regrets[np.searchsorted(group.seeds, seeds)] for group, one in known], axis=0)
        sets = np.mean([one.sets for _, one in known], axis=0)
        note = f"mean of {len(known)} environments"
        if len(known) < len(groups):
            left = [
                str(g.sample.key["env"])
                for g, o in zip(groups, same, strict=True)
                if not np.isfinite(o.regrets).any()
            ]
            note += f", without {', '.join(left)}"
        row |= {
            "n_candidates": min(len(group) for group, _ in known),
            "n_seeds": int(np.isfinite(regrets).sum()),
        }
        columns = _regret_columns(regrets, sets, confidence) | _certain(same[0].selector, own)
        yield row | columns | {"note": note}


def _certain(selector: str, own: bool) -> dict[str, object]:
    """What is no error at all: that a choice which looks at no seed is the same in each."""
    if own or selector not in (BEST, MEDIAN, RANDOM):
        return {}
    return dict.fromkeys(("regret_se", "regret_low", "regret_high", "gain_se"), np.nan)


def _regret_columns(regrets: Floats, sets: Floats, confidence: float) -> dict[str, object]:
    mean, error, seeds = _over_seeds(regrets)
    reach = float(stats.t.ppf((1 + confidence) / 2, seeds - 1)) * error if seeds > 1 else np.nan
    there = sets[np.isfinite(sets)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(there, [tail, 1 - tail]) if len(there) else (np.nan, np.nan)
    return {
        "regret": mean,
        "regret_se": error,
        "regret_low": float(np.clip(mean - reach, 0, 1)),
        "regret_high": float(np.clip(mean + reach, 0, 1)),
        "sets_mean": float(there.mean()) if len(there) else np.nan,
        "sets_low": float(low),
        "sets_high": float(high),
    }


def _over_seeds(values: Floats) -> tuple[float, float, int]:
    there = values[np.isfinite(values)]
    if not len(there):
        return np.nan, np.nan, 0
    error = float(there.std(ddof=1) / np.sqrt(len(there))) if len(there) > 1 else np.nan
    return float(there.mean()), error, len(there)


def _notes(group: Candidates, of: str) -> list[str]:
    notes = []
    if group.offered.unlike:
        notes.append(f"values of {of} also differ in the levels that {', '.join(group.offered.unlike)} take")
    lost = lost_trials(group.sample, of)
    if lost:
        notes.append(f"only finished trials count: {lost}")
    if len(group.seeds) < 2:
        notes.append("one seed: no standard error")
    return notes


def _check(**given: tuple[str, tuple[str, str]]) -> None:
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise AnalysisError(f"{name}={value}: must be {' or '.join(allowed)}.")


def _needs(options: Mapping[str, Any]) -> list[str]:
    measures = [rule_of(selector)[0] for selector in options.get("selectors", SELECTORS)]
    return [options.get("outcome", "return_mean"), NORMALIZED, *measures]


TABLE: Final = Table(
    "policy-selection",
    "regret of choosing a learning rate (or another hyperparameter) by a measure instead of by running it",
    policy_selection,
    "series",
    _needs,
    {
        "outcome": Option("text", "What a policy is worth [default: return_mean]."),
        "of": Option(
            "text", "The hyperparameter to choose, or configuration for all of them [default: learning_rate]."
        ),
        "selectors": Option("names", f"Measures with a direction [default: {','.join(SELECTORS)}]."),
        "steps": STEPS,
        "valued": Option(
            "text", "What counts: the mean over seeds, or the seed's own policy [default: mean]."
        ),
        "valued_at": Option("text", "When it counts: at the end, or at the step of choosing [default: end]."),
        **{name: SAMPLE[name] for name in ("within", "allow_pruned", "confidence")},
        **BOOTSTRAP,
    },
)
