"""The trials that an estimate stands on, group by group, with a refusal where they cannot carry one."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sweep.analysis.exclusions import EARLY_STOPPED, INCLUDED, classify, counts
from sweep.analysis.final import value_column
from sweep.analysis.frames import AnalysisError, by_space, require_columns

MINIMUM_CONFIGURATIONS: Final = 5
FEW_CONFIGURATIONS: Final = 15
"""Below this many an interval leans on Student's t more than on the draws; estimates say so."""
TOGETHER: Final = "all"
"""The ``env`` of a row about several environments."""


@dataclass(frozen=True)
class Sample:
    """Trials of one environment and space (and more, with ``within``)."""

    key: Mapping[str, object]
    """Column and value of each grouping, env and space first."""
    planned: pd.DataFrame
    """All trials, with the columns of `classify`."""
    included: pd.DataFrame
    """Those that count, with the measures under their own names and ``configuration`` int64."""
    refusal: str | None
    """Why there is no number, beginning with "refused: "; None where there may be one."""

    def values(self, measure: str) -> np.ndarray:
        """Final ``measure`` of the included trials, ``[T]`` float64."""
        return self.included[measure].to_numpy(float)

    @property
    def configuration(self) -> np.ndarray:
        """A number from 0 for each included trial's configuration, ``[T]`` int64."""
        codes: np.ndarray = np.unique(self.included["configuration"].to_numpy(), return_inverse=True)[1]
        return codes.astype(np.int64)

    @property
    def clusters(self) -> int:
        """Number of included configurations."""
        return int(self.included["configuration"].nunique())

    def row(self) -> dict[str, object]:
        """The columns that every table begins with: the key and `COUNT_COLUMNS`; ``note`` is the refusal."""
        return {**self.key, **counts(self.planned), "note": self.refusal}

    def stream(self, seed: int) -> np.random.Generator:
        """Random numbers of this group alone, so that its row does not depend on the other groups."""
        name = "\0".join(map(str, self.key.values()))
        return np.random.default_rng([seed, zlib.crc32(name.encode())])


def samples(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str],
    *,
    within: Sequence[str] = (),
    allow_pruned: bool = False,
    min_configurations: int | None = MINIMUM_CONFIGURATIONS,
    varying: Sequence[str] | None = None,
    across_environments: bool = False,
) -> Iterator[Sample]:
    """One `Sample` per environment x space (x ``within``, columns of ``trials``), of all ``measures`` at the end.

    ``across_environments`` takes the environments of a space together; their ``env`` is then `TOGETHER`, or the name
    of the only one. ``within=["env"]`` keeps them apart again.

    Refused are trials under early stopping (unless ``allow_pruned``), fewer than ``min_configurations`` (None: the
    caller judges), and a measure of ``varying`` (all by default) that is constant. A trial in two spaces is in two
    samples. Raises `AnalysisError` for a missing column and ``min_configurations`` < 3.
    """
    if min_configurations is not None and min_configurations < 3:
        raise AnalysisError(
            f"min_configurations={min_configurations}: must be at least 3 for a line to have an error."
        )
    require_columns(trials, within, "trials")
    rows = by_space(classify(trials, metrics, measures, allow_pruned=allow_pruned))
    # `loss` is a hyperparameter and a measure; in a sample a measure has its own name.
    own = {value_column(trials, name): name for name in measures}
    rows = rows.drop(columns=[name for column, name in own.items() if column != name]).rename(columns=own)
    together = across_environments and "env" not in within
    keys = [*(() if together else ("env",)), "space", *(name for name in within if name != "env")]
    for key, group in rows.groupby(keys, sort=False, dropna=False, observed=True):
        included = group[group["reason"] == INCLUDED]
        refusal = _refusal(
            group, included, measures, measures if varying is None else varying, min_configurations
        )
        names = dict(zip(keys, key, strict=True))
        if together:
            envs = group["env"].unique()
            names = {"env": TOGETHER if len(envs) > 1 else envs[0], **names}
        yield Sample(names, group, included, refusal)


def check_bootstrap(draws: int, confidence: float) -> None:
    """Raise `AnalysisError` for numbers that no interval can be made with."""
    if draws < 100:
        raise AnalysisError(
            f"draws={draws}: a bootstrap interval needs at least 100 draws; 2000 is the default."
        )
    check_confidence(confidence)


def check_confidence(confidence: float) -> None:
    """Raise `AnalysisError` unless 0 < ``confidence`` < 1."""
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence={confidence}: must lie between 0 and 1, such as 0.95.")


def pruned_refusal(group: pd.DataFrame) -> str | None:
    """The refusal of classified trials of which some ran under early stopping, or None."""
    pruned = group[group["reason"] == EARLY_STOPPED]
    if pruned.empty:
        return None
    names = sorted(set(pruned["scheduler"].astype(str)))
    return (
        f"refused: {len(pruned)} trials ran under early stopping ({', '.join(names)}), which selects on the "
        "outcome; run them under fifo, or allow pruned trials and read the result as biased"
    )


def _refusal(
    group: pd.DataFrame,
    included: pd.DataFrame,
    measures: Sequence[str],
    varying: Sequence[str],
    min_configurations: int | None,
) -> str | None:
    pruned = pruned_refusal(group)
    if pruned:
        return pruned
    configurations = int(included["configuration"].nunique())
    if min_configurations is not None and configurations < min_configurations:
        what = {1: measures[0], 2: "both measures"}.get(len(measures), "all measures")
        return (
            f"refused: {configurations} configurations with {what}, at least {min_configurations} are "
            f"needed ({len(included)} of {len(group)} trials)"
        )
    for name in varying:
        values = included[name]
        if (values == values.iloc[0]).all():
            return f"refused: {name} is {values.iloc[0]:g} in all {len(included)} trials"
    return None
