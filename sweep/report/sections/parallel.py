"""Parallel coordinates: which hyperparameters the trials of an environment had, and where they ended."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from sweep.analysis.frames import varying
from sweep.analysis.vocabulary import term
from sweep.report.context import Context, thinned
from sweep.report.figures.palette import STEPS
from sweep.report.figures.panel import Series
from sweep.report.figures.parallel import Coordinate, parallel
from sweep.report.live import numbers
from sweep.report.page import Download, Live, Plot
from sweep.report.words import count, short, value_words

MOST_ENVIRONMENTS = 6
MOST_COORDINATES = 12
FEWEST_TRIALS = 5
# Below this many trials, lines on one spot can be told apart.
_FEW = 20
# Of the room between two neighbouring values, how much the trials of one value are spread over.
_SPREAD = 0.36
_NEVER = ("env", "dataset", "train_steps")
# Values further apart than this go on a scale of powers.
_DECADES = 30


def parallel_plots(context: Context) -> list[Plot]:
    """One for each environment with trials at their end, the first few environments."""
    here = [
        env
        for env in context.envs
        if context.ends.loc[context.ends["env"] == env, "trial_id"].nunique() >= FEWEST_TRIALS
    ]
    return [_plot(context, env, len(here)) for env in here[:MOST_ENVIRONMENTS]]


def _plot(context: Context, env: str, environments: int) -> Plot:
    ends = context.ends[context.ends["env"] == env]
    # A trial of two spaces is one line.
    trials = ends.drop_duplicates("trial_id").assign(
        space=ends.groupby("trial_id", sort=False)["space"].agg(" and ".join).to_numpy()
    )
    marks = thinned(trials)
    fields = [field for field in varying(trials) if field not in _NEVER]
    shown = fields[: MOST_COORDINATES - 3]
    order = marks[context.outcome].rank(method="average", pct=True).to_numpy(float)
    results = list(dict.fromkeys((context.measure, context.outcome)))
    set_ = [
        *([_kinds("Space", marks["space"], context.spaces)] if len(set(trials["space"])) > 1 else []),
        *(_coordinate(term(field).label, marks[field]) for field in shown),
    ]
    coordinates = [
        *(_spread(c, order) for c in set_),
        *(_coordinate(term(n).label, marks[n]) for n in results),
    ]
    classes = np.minimum(7, (order * 8).astype(np.int64))
    outcome = term(context.outcome).inline
    caption = f"A line is a trial: {count(len(trials), 'trial')} on {env}"
    caption += f", of which {len(marks):,} are drawn, spread evenly." if len(marks) < len(trials) else "."
    if len(marks) >= _FEW:
        caption += f" Trials of one value are spread a little there, in the order of their {outcome}."
    if len(shown) < len(fields):
        caption += f" {count(len(fields) - len(shown), 'more hyperparameter')} in the download."
    if environments > MOST_ENVIRONMENTS:
        caption += f" Drawn for the first {MOST_ENVIRONMENTS} of {environments} environments."
    columns = ["trial_id", "space", *fields, "seed", context.measure, context.outcome]
    kept = [name for name in dict.fromkeys(columns) if name in trials.columns]
    return Plot(
        title=f"Trials on {env}, by hyperparameter",
        panels=(parallel(coordinates, classes, f"Hyperparameters and {outcome} of trials on {env}"),),
        legend=(Series(f"lowest {outcome}", STEPS[0]), Series("highest", STEPS[7])),
        caption=caption,
        download=Download.of(trials[kept], context.data.name, env, "parallel"),
        layout="full",
        live=Live(
            "parallel",
            {
                "coordinates": [
                    {
                        "label": c.label,
                        "values": numbers(c.values),
                        "range": numbers([c.low, c.high]),
                        "at": [place for place, _ in c.ticks],
                        "ticks": [words for _, words in c.ticks],
                    }
                    for c in coordinates
                ],
                "color": numbers(order),
                "trial": [context.numbering[str(trial)] for trial in marks["trial_id"]],
                "ends": {term(name).label: numbers(marks[name]) for name in results},
            },
        ),
    )


def _coordinate(label: str, values: pd.Series) -> Coordinate:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values) or values.isna().any():
        return _kinds(label, values.map(value_words))
    places = values.to_numpy(float)
    different = np.unique(places)
    powers = different[0] > 0 and different[-1] / different[0] > _DECADES
    scale = np.log10 if powers else np.asarray
    places, different = scale(places), scale(different)
    low, high = float(different[0]), float(different[-1])
    if low == high:
        low, high = low - 1, high + 1
    if len(different) <= 8 and _apart(different, low, high):
        at = different
    elif powers:
        at = np.arange(np.ceil(low), np.floor(high) + 1)
    else:
        at = np.asarray(MaxNLocator(5).tick_values(low, high))
        at = at[(at >= low) & (at <= high)]
    ticks = tuple((float(place), short(float(f"{10**place if powers else place:.4g}"))) for place in at)
    return Coordinate(label, places, ticks, low, high)


def _kinds(label: str, values: pd.Series, order: Sequence[str] = ()) -> Coordinate:
    names = sorted(
        set(values), key=lambda name: (list(order).index(name) if name in order else len(order), name)
    )
    places = values.map({name: place for place, name in enumerate(names)}).to_numpy(float)
    high = max(1.0, len(names) - 1.0)
    shown = names if len(names) <= 12 else []
    ticks = tuple((float(place), name or "none") for place, name in enumerate(shown))
    return Coordinate(label, places, ticks, 0.0, high)


def _spread(coordinate: Coordinate, order: np.ndarray) -> Coordinate:
    """Trials of one value beside each other by ``order`` ``[T]``, rather than all on one spot."""
    values = coordinate.values
    different = np.unique(values)
    if len(values) < _FEW or not 2 <= len(different) <= MOST_COORDINATES:
        return coordinate
    room = _SPREAD * float(np.diff(different).min())
    places = values.copy()
    for value in different:
        here = np.flatnonzero(values == value)
        if len(here) > 1:
            ranks = order[here].argsort(kind="stable").argsort(kind="stable")
            places[here] += room * (ranks / (len(here) - 1) - 0.5)
    half = room / 2
    return replace(coordinate, values=places, low=coordinate.low - half, high=coordinate.high + half)


def _apart(places: np.ndarray, low: float, high: float) -> bool:
    """Whether ticks at ``places`` leave each other room for words."""
    return len(places) < 2 or float(np.diff(places).min()) > 0.06 * (high - low)
