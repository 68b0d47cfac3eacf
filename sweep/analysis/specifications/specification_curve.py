"""How far a claim depends on the choices behind it: every specification, sorted, and what chance would make of them.

Simonsohn, Simmons & Nelson (2020), "Specification curve analysis", Nature Human Behaviour 4:1208. One specification's
p-value says little where hundreds could have been run; the curve as a whole has a null distribution of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.confounding.environments import apart_and_together
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_confidence
from sweep.analysis.specifications.rank_definitions import LAYERS, RANKS, Definition, series_of
from sweep.analysis.specifications.specification_choices import (
    ADJUSTMENTS,
    CHOICES,
    DELTAS,
    OUTCOMES,
    PROTOCOL_DELTA,
    THRESHOLDS,
    WINDOWS,
    Choices,
    needed,
    stored_vectors,
)
from sweep.analysis.specifications.specifications import Columns, Fitted, fit
from sweep.analysis.specifications.specifications import permutations as orders_of
from sweep.analysis.specifications.windows import lengths, windowed
from sweep.analysis.table import Table

# A choice that more of the trials lack is no choice; fewer, and those trials are left out of the whole curve.
_MOST_MISSING: Final = 0.1
CURVE_COLUMNS: Final = (
    *("position", "measure", "layer", "delta", "window", "threshold", "outcome", "adjust", *COUNT_COLUMNS),
    *("estimate", "estimate_low", "estimate_high", "estimate_p", "freedom", "significant"),
    *("kind", "confidence", "note"),
)


def specification_curve(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    measures: Sequence[str] = RANKS,
    outcomes: Sequence[str] = OUTCOMES,
    layers: Sequence[str] = LAYERS[:3],
    deltas: Sequence[float] = DELTAS,
    windows: Sequence[float] = WINDOWS,
    thresholds: Sequence[float] = THRESHOLDS,
    adjust: Sequence[str] = ADJUSTMENTS,
    spectra: pd.DataFrame | None = None,
    delta: float = PROTOCOL_DELTA,
    within: Sequence[str] = (),
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """The estimate of every specification, a row each, from the lowest to the highest, per environment and space.

    A space of several environments has another curve of all of them, env "all", in which a configuration is a setting
    whatever the environment. The choices:

    - ``measures``: measures that are to predict; of ``layers`` (last, penultimate, first, mean) where vectors over
      layers are stored; srank at ``deltas`` too, from stored singular values (``spectra``). ``delta`` is the
      protocol's.
    - ``outcomes``: measures that are to be predicted.
    - ``windows``: the last share of training over which measure and outcome are averaged; 0 is the last value.
    - ``thresholds``: the measure is split at these quantiles of the trials (of an environment where that is adjusted
      for), beside the straight line.
    - ``adjust``: none; env; all, which is every hyperparameter that varies, the environment and seeds; or a
      hyperparameter by name, with the environment.

    Columns: env, space, ``within``, then `CURVE_COLUMNS`. ``estimate``: see `specifications.fit`; ``threshold`` is null
    for the line, ``delta`` where there is none. Associational: all is measured, nothing set. The p-values are those of
    single specifications; `specification_summary` has those of the whole.

    Raises `AnalysisError` for choices that do not exist, and where no measure or outcome was measured.
    """
    choices = Choices(measures, outcomes, layers, deltas, windows, thresholds, adjust, delta)
    check_confidence(confidence)
    table: list[dict[str, object]] = []
    for sample, found in curves(
        trials, metrics, spectra, choices, within, allow_pruned, min_configurations, permutations=0, seed=0
    ):
        shared = sample.row() | {"kind": "associational", "confidence": confidence}
        if found is None or not found.fitted.specifications:
            table.append(shared | {"note": sample.refusal or "refused: no specification can be run"})
            continue
        table += [shared | row for row in _rows(found.fitted, confidence)]
    columns = list(dict.fromkeys(("env", "space", *within, *CURVE_COLUMNS)))
    numbers = [name for name in columns if name.startswith("estimate")]
    frame = pd.DataFrame(table, columns=columns)
    return frame.astype(dict.fromkeys(numbers, float)).astype({"note": object, "position": "Int64"})


@dataclass(frozen=True)
class Curve:
    """What was run of ``possible`` specifications, on trials of which ``incomplete`` were left out."""

    fitted: Fitted
    possible: int
    incomplete: int
    configurations: int
    exchangeable: int
    """Configurations that have others to change places with."""


def curves(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    spectra: pd.DataFrame | None,
    choices: Choices,
    within: Sequence[str],
    allow_pruned: bool,
    min_configurations: int,
    permutations: int,
    seed: int,
) -> Iterator[tuple[Sample, Curve | None]]:
    """Each sample with its curve, or None where it is refused; outcomes permuted ``permutations`` times."""
    measured = [name for name in choices.outcomes if name in metrics.columns and metrics[name].notna().any()]
    if not measured:
        raise AnalysisError(
            f"outcomes={','.join(choices.outcomes)}: none was measured; name one of {', '.join(metrics.columns)}."
        )
    length = lengths(trials, metrics)
    x = {
        (definition, share): column
        for definition, series in series_of(choices.definitions, metrics, spectra, choices.delta)
        for share, column in zip(
            choices.windows, windowed(trials, length, series, "value", choices.windows), strict=True
        )
    }
    if not x:
        raise AnalysisError(
            f"measures={','.join(choices.measures)}: none was measured; name one of {', '.join(metrics.columns)}."
        )
    y = {
        (name, share): column
        for name in measured
        for share, column in zip(
            choices.windows, windowed(trials, length, metrics, name, choices.windows), strict=True
        )
    }
    places = pd.Series(np.arange(len(trials)), index=trials["trial_id"].astype(object))
    for sample in apart_and_together(
        trials,
        metrics,
        [measured[0]],
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    ):
        if sample.refusal is not None:
            yield sample, None
            continue
        rows = places[sample.included["trial_id"].astype(object)].to_numpy()
        columns = _complete(
            sample.included, {k: v[rows] for k, v in x.items()}, {k: v[rows] for k, v in y.items()}
        )
        orders, free = orders_of(columns, permutations, sample.stream(seed))
        asked = choices.specifications(columns.environments)
        incomplete = len(sample.included) - len(columns.frame)
        clusters = int(columns.frame["configuration"].nunique())
        yield sample, Curve(fit(columns, asked, orders), len(asked), incomplete, clusters, free)


def _complete(
    frame: pd.DataFrame,
    measures: Mapping[tuple[Definition, float], Floats],
    outcomes: Mapping[tuple[str, float], Floats],
) -> Columns:
    """The trials that have everything that most trials have: all specifications are of the same ones."""
    kept = {
        key: values
        for key, values in [*measures.items(), *outcomes.items()]
        if np.isfinite(values).mean() >= 1 - _MOST_MISSING
    }
    whole = np.ones(len(frame), dtype=bool)
    for values in kept.values():
        whole &= np.isfinite(values)
    return Columns(
        frame[whole],
        {key: values[whole] for key, values in measures.items() if key in kept},
        {key: values[whole] for key, values in outcomes.items() if key in kept},
    )


def _rows(fitted: Fitted, confidence: float) -> Iterator[dict[str, object]]:
    order = np.argsort(fitted.estimate, kind="stable")
    for position, i in enumerate(order, start=1):
        one, estimate, error, freedom = (
            fitted.specifications[i],
            fitted.estimate[i],
            fitted.error[i],
            fitted.freedom[i],
        )
        reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
        p = 2 * float(stats.t.sf(abs(estimate) / error, freedom))
        yield {
            "position": position,
            **one.definition._asdict(),
            **{name: getattr(one, name) for name in ("window", "threshold", "outcome", "adjust")},
            "estimate": estimate,
            "estimate_low": estimate - reach,
            "estimate_high": estimate + reach,
            "estimate_p": p,
            "freedom": freedom,
            "significant": p < 1 - confidence,
        }


TABLE: Final = Table(
    "specification-curve",
    "a claim under every choice of measure, outcome, window, threshold and adjustment, sorted",
    specification_curve,
    "series",
    needed,
    CHOICES,
    also=stored_vectors,
)
