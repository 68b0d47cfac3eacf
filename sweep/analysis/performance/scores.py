"""The scores of kinds of runs over the environments of a space: what aggregates, profiles and comparisons stand on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from sweep.analysis.frames import (
    AnalysisError,
    by_space,
    configuration_fields,
    content,
    contents,
    require_columns,
)
from sweep.analysis.frames import varying as varying_fields
from sweep.analysis.performance.stratified import Runs
from sweep.analysis.samples import TOGETHER, Sample, samples
from sweep.analysis.table import Option
from sweep.store.schema import MEASURES

MOST_LEVELS: Final = 6
MOST_GROUPS: Final = 30
FEW_UNITS: Final = 5
"""Below this many seeds or configurations in an environment a group says so."""
_CHOSEN: Final = 12
"""A hyperparameter of more values than this, in two kinds of run, was drawn and not chosen."""
_PLACE: Final = frozenset({"env", "dataset", "dataset_fingerprint", "seed"})
_SCORES: Final = ("return_normalized", "return_mean")

SCORES: Final[Mapping[str, Option]] = {
    "by": Option(
        "names", f"Hyperparameters that make the groups [default: those of 2 to {MOST_LEVELS} levels]."
    ),
    "score": Option(
        "text", "The score [default: return_normalized where every environment has it, else return_mean]."
    ),
    "pool": Option("flag", "Take the environments of a space together; no: a row for each [default: yes]."),
    "allow_pruned": Option(
        "flag", "Let trials in that ran under early stopping, which biases every estimate."
    ),
}


Period = Literal["final", "average"]


@dataclass(frozen=True)
class Group:
    """Runs of one kind in one space, at the end of training and on average over it."""

    sample: Sample
    label: str
    """The kind in words, such as "algorithm cql, dr3_weight 0.03"; "all" where nothing tells kinds apart."""
    score: str
    environments: tuple[str, ...]
    """Those of the space, whether this kind has runs in them or not."""
    unit: str
    """What is drawn: "configuration" where an environment has several, else "seed"."""
    refusal: str | None
    fixed: Mapping[str, object]
    """Values of hyperparameters that tell kinds apart in other spaces."""

    @property
    def place(self) -> tuple[object, object]:
        """Environment (or `TOGETHER`) and space: groups of one place can be compared."""
        return self.sample.key["env"], self.sample.key["space"]

    def runs(self, period: str = "final", environments: Collection[str] | None = None) -> Runs:
        """The included runs with their scores of ``period``, all or those in some environments."""
        rows = self.sample.included
        if environments is not None:
            rows = rows[rows["env"].map(content).isin(environments)]
        unit = rows["configuration"] if self.unit == "configuration" else np.arange(len(rows))
        scores = {"final": rows["score_final"], "average": rows["score_average"]}
        return Runs.of(scores[period], rows["env"].map(content), unit)

    def row(self) -> dict[str, object]:
        """The first columns of a table's row; ``note`` is the refusal, or what a reader should know."""
        included = self.sample.included
        return {
            **self.fixed,
            **self.sample.row(),
            "group": self.label,
            "score": self.score,
            "n_environments": int(included["env"].nunique()),
            "unit": self.unit,
            "note": self.refusal or self._remarks(),
        }

    def _remarks(self) -> str | None:
        planned, included = self.sample.planned, self.sample.included
        remarks = []
        fewest = _units(included, self.unit).sort_values(kind="stable")
        if fewest.iloc[0] < FEW_UNITS:
            remarks.append(f"few {self.unit}s ({fewest.iloc[0]} in {fewest.index[0]})")
        diverged = int((planned["reason"] == "diverged").sum())
        if diverged:
            runs = "run" if diverged == 1 else "runs"
            remarks.append(f"{diverged} diverged {runs} left out: the group's score is that of the others")
        absent = [env for env in self.environments if env not in set(included["env"].map(content))]
        if absent:
            remarks.append(f"no run in {', '.join(absent)}: not comparable with groups that have some")
        return "; ".join(remarks) or None


def groups(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    score: str | None = None,
    pool: bool = True,
    allow_pruned: bool = False,
) -> Iterator[Group]:
    """One `Group` per space (and environment, unless ``pool``) and combination of values of ``by``.

    A final score is the last, as in `final`; an average is the plain mean over evaluations after step 0, so the
    untrained network does not count. Scores that are not normalised are never pooled over environments: such
    groups are refused. Raises `AnalysisError` for a column that is not there.
    """
    clash = {"env", "space", "spaces", "seed"} & set(by or ())
    if clash:
        raise AnalysisError(
            f"by={', '.join(sorted(clash))}: groups are of one space, and seeds their repetitions; name "
            "hyperparameters, or pool=no for each environment by itself."
        )
    require_columns(trials, ("trial_id", "env", "spaces", "status", *(by or ())), "trials")
    require_columns(metrics, ("trial_id", "step", *([score] if score else ())), "metrics")
    if score is None and not set(_SCORES) & set(metrics.columns):
        raise AnalysisError(
            "the metrics table has neither return_normalized nor return_mean: name its score, such as score=accuracy."
        )
    measured = _environments_with(trials, metrics, "return_normalized")
    for kinds in by_kind(trials, by):
        envs = tuple(dict.fromkeys(kinds.trials["env"].map(content)))
        for some in [envs] if pool else [(env,) for env in envs]:
            chosen = score or ("return_normalized" if set(some) <= measured else "return_mean")
            yield from _groups_of(kinds, metrics, some, chosen, measured, allow_pruned)


@dataclass(frozen=True)
class Kinds:
    """The trials of one space and the ``factors`` that tell kinds of run apart in it."""

    trials: pd.DataFrame
    """With ``spaces`` this one alone; layer sizes are text."""
    factors: tuple[str, ...]
    columns: tuple[str, ...]
    """The factors of all spaces."""

    def label(self, key: Mapping[str, object]) -> str:
        """A kind in words, such as "algorithm cql, dr3_weight 0.03": of the factors that vary in the space."""
        telling = varying_fields(self.trials, self.factors)
        return ", ".join(f"{factor} {content(key[factor])}" for factor in telling) or "all"

    def fixed(self) -> dict[str, object]:
        """Values of the other spaces' factors; None where they vary here, and so within a kind."""
        others = [column for column in self.columns if column not in self.factors]
        varied = set(varying_fields(self.trials, others))
        return {column: None if column in varied else self.trials[column].iloc[0] for column in others}


def by_kind(trials: pd.DataFrame, by: Sequence[str] | None) -> Iterator[Kinds]:
    """Space by space; ``by`` None is `default_factors` of each."""
    for field in kind_columns(trials, by):
        if trials[field].map(lambda value: isinstance(value, list | tuple | np.ndarray)).any():
            trials = trials.assign(**{field: trials[field].map(content)})
    columns = tuple(kind_columns(trials, by))
    for space, members in by_space(trials).groupby("space", sort=False):
        own = pd.Series([[space]] * len(members), index=members.index)
        factors = tuple(by) if by is not None else tuple(default_factors(members))
        yield Kinds(members.drop(columns="space").assign(spaces=own), factors, columns)


def kind_columns(trials: pd.DataFrame, by: Sequence[str] | None) -> list[str]:
    """The columns that tell kinds of run apart in any space: ``by``, or the `default_factors` of each."""
    if by is not None:
        return list(by)
    require_columns(trials, ("spaces",), "trials")
    found = {f for _, members in by_space(trials).groupby("space") for f in default_factors(members)}
    return [field for field in configuration_fields(trials) if field in found]


def check_period(period: str) -> None:
    """Raise `AnalysisError` unless ``period`` is "final" or "average"."""
    if period not in ("final", "average"):
        raise AnalysisError(
            f"period={period}: must be final, the last evaluation, or average, the mean over training."
        )


def needed(options: Mapping[str, Any]) -> list[str]:
    """The measures that a table of groups reads."""
    score = options.get("score")
    return [str(score)] if score else list(_SCORES)


def default_factors(trials: pd.DataFrame) -> list[str]:
    """The hyperparameters of at least 2 and at most `MOST_LEVELS` values, those of fewest values first, as long as
    they make at most `MOST_GROUPS` kinds; in the order of `configuration_fields`.
    """
    fields = [field for field in varying_fields(trials) if field not in _PLACE]
    text = pd.DataFrame({field: contents(trials[field])[0] for field in fields})
    levels = {field: text[field].nunique() for field in fields}
    chosen: list[str] = []
    for field in sorted(fields, key=levels.__getitem__):
        wider = [*chosen, field]
        if levels[field] <= MOST_LEVELS and len(text.drop_duplicates(subset=wider)) <= MOST_GROUPS:
            chosen = wider
    return [field for field in fields if field in chosen]


def other_differences(first: Sample, second: Sample, factors: Sequence[str]) -> list[str]:
    """Hyperparameters beside ``factors`` of which two kinds of run have different sets of few values."""
    both = pd.concat([first.planned, second.planned], ignore_index=True)
    fields = [field for field in varying_fields(both) if field not in _PLACE and field not in factors]
    found = []
    for field in fields:
        sets = [set(sample.planned[field].map(content)) for sample in (first, second)]
        # Values drawn at random differ between any two kinds without telling them apart.
        if sets[0] != sets[1] and len(sets[0] | sets[1]) <= _CHOSEN:
            found.append(field)
    return found


def _groups_of(
    kinds: Kinds,
    metrics: pd.DataFrame,
    envs: tuple[str, ...],
    score: str,
    measured: set[str],
    allow_pruned: bool,
) -> Iterator[Group]:
    refusal = None
    if score in MEASURES and not score.startswith("return_normalized") and len(envs) > 1:
        without = [env for env in envs if env not in measured]
        why = f" (return_normalized is not measured in {', '.join(without)})" if without else ""
        refusal = (
            f"refused: {score} of {len(envs)} environments has no common scale{why}; pool=no takes each environment "
            "by itself, score= names another score"
        )
    average = _averages(metrics, score)
    for sample in samples(
        kinds.trials[kinds.trials["env"].map(content).isin(envs)],
        metrics,
        [score],
        within=kinds.factors,
        allow_pruned=allow_pruned,
        min_configurations=None,
        varying=(),
        across_environments=True,
    ):
        included = sample.included.rename(columns={score: "score_final"})
        included = included.assign(score_average=included["trial_id"].map(average))
        several = included.groupby("env")["configuration"].nunique().gt(1).any()
        unit = "configuration" if several else "seed"
        yield Group(
            # A kind that has runs in one environment of several stays beside the others of its space.
            replace(
                sample, key={**sample.key, "env": TOGETHER if len(envs) > 1 else envs[0]}, included=included
            ),
            kinds.label(sample.key),
            score,
            envs,
            unit,
            sample.refusal or _none(included) or refusal or _too_few(included, unit),
            kinds.fixed(),
        )


def _none(included: pd.DataFrame) -> str | None:
    return "refused: no finished run has the score at the end of its training" if included.empty else None


def _too_few(included: pd.DataFrame, unit: str) -> str | None:
    units = _units(included, unit)
    if units.min() < 2:
        return (
            f"refused: 1 {unit} in {units.idxmin()}; an interval needs at least 2 in every environment "
            f"({len(included)} runs in all)"
        )
    return None


def _units(included: pd.DataFrame, unit: str) -> pd.Series:
    """Number of units of each environment, by its name."""
    by_env = included.groupby(included["env"].map(content), sort=False)
    return by_env["configuration"].nunique() if unit == "configuration" else by_env.size()


def _averages(metrics: pd.DataFrame, score: str) -> "pd.Series[Any]":
    if score not in metrics.columns:
        return pd.Series(dtype=float)
    taken = metrics.loc[metrics[score].notna() & (metrics["step"] > 0), ["trial_id", score]]
    means: pd.Series[Any] = taken.groupby("trial_id", observed=True)[score].mean()
    means.index = means.index.astype(object)
    return means


def _environments_with(trials: pd.DataFrame, metrics: pd.DataFrame, score: str) -> set[str]:
    if score not in metrics.columns:
        return set()
    having = set(metrics.loc[metrics[score].notna(), "trial_id"].unique())
    return set(trials.loc[trials["trial_id"].isin(having), "env"].map(content))
