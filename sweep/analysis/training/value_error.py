"""Does the rank go with the error of the values? (Gulcehre et al. 2022, Figure 29)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sweep.analysis.correlation import CORRELATION_COLUMNS, correlation
from sweep.analysis.exclusions import INCLUDED, classify
from sweep.analysis.final import value_column
from sweep.analysis.frames import AnalysisError, by_space, require_columns, varying
from sweep.analysis.multiplicity import holm
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS
from sweep.analysis.table import BOOTSTRAP, SAMPLE, Option, Table

VALUE_ERRORS: Final = ("value_error", "value_gap", "value_bias")
"""Against the true Q* (where it is known), against returns along evaluation episodes, and at their start, signed."""
AGAINST, WITH, OPEN = "anti-correlated", "correlated", "not shown"


def value_error(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    *,
    values: Sequence[str] | None = None,
    within: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """`correlation` of ``measure``, a rank, with each of ``values`` that was measured (by default, of
    `VALUE_ERRORS`), per environment x space.

    Columns: those of `correlation`, whose ``outcome`` names the value's error, then ``spearman_p_holm``, Holm's p over
    the environments of a space (the family that Figure 29 looks at), and ``association``: "anti-correlated" or
    "correlated" where that is below 1 - ``confidence``, else "not shown"; null where there is no number.

    Associational. Errors of diverging values span decades: Spearman's correlation does not mind, Pearson's and the
    slope do. Raises `AnalysisError` as `correlation` does, and for no ``values``.
    """
    taken = _measured(metrics, values)
    tables = [
        correlation(
            trials,
            metrics,
            measure,
            name,
            within=within,
            draws=draws,
            seed=seed,
            confidence=confidence,
            allow_pruned=allow_pruned,
            min_configurations=min_configurations,
        )
        for name in taken
    ]
    table = pd.concat(tables, ignore_index=True)
    table = table[_worth_showing(table, trials, metrics, taken)].reset_index(drop=True)
    family = ["outcome", "space", *(name for name in within if name != "env")]
    table["spearman_p_holm"] = table.groupby(family, sort=False, dropna=False)["spearman_p"].transform(
        lambda p: holm(p.to_numpy(float))
    )
    shown = table["spearman_p_holm"] < 1 - confidence
    words = np.where(shown, np.where(table["spearman"] < 0, AGAINST, WITH), OPEN)
    table["association"] = pd.Series(words, table.index, dtype=object).where(table["spearman"].notna(), None)
    columns = list(dict.fromkeys(["env", "space", *within, *CORRELATION_COLUMNS]))
    place = columns.index("spearman_p") + 1
    return table[[*columns[:place], "spearman_p_holm", "association", *columns[place:]]]


def value_error_trials(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measure: str = "srank",
    *,
    values: Sequence[str] | None = None,
    allow_pruned: bool = False,
) -> pd.DataFrame:
    """The points of Figure 29: one row per space, trial and value error, as they stand behind `value_error`.

    Columns: env, space, trial_id, seed and the hyperparameters that vary, ``measure``, ``outcome`` (which of
    ``values``) and ``value``. Trials that do not count there, and errors that were not measured, have no row.

    Raises `AnalysisError` for a missing column, and for no ``values``.
    """
    parts = []
    for name in _measured(metrics, values):
        rows = by_space(classify(trials, metrics, [measure, name], allow_pruned=allow_pruned))
        rows = rows[rows["reason"] == INCLUDED]
        rank = rows[value_column(trials, measure)]
        parts.append(rows.assign(**{measure: rank}, outcome=name, value=rows[value_column(trials, name)]))
    beside = [name for name in ("seed", *varying(trials)) if name in trials.columns and name != "env"]
    table = pd.concat(parts, ignore_index=True)
    return table[["env", "space", "trial_id", *beside, measure, "outcome", "value"]]


def _measured(metrics: pd.DataFrame, values: Sequence[str] | None) -> list[str]:
    """Those of ``values`` that somebody measured; if nobody any, the first, to be refused with its numbers."""
    wanted = [name for name in VALUE_ERRORS if name in metrics.columns] if values is None else list(values)
    if not wanted:
        raise AnalysisError(
            f"values={','.join(values or ())}: no error of values to look at; name a column of the metrics, such as "
            f"{', '.join(VALUE_ERRORS)}."
        )
    require_columns(metrics, ("trial_id", "step", *wanted), "metrics")
    return [name for name in wanted if metrics[name].notna().any()] or wanted[:1]


def _worth_showing(
    table: pd.DataFrame, trials: pd.DataFrame, metrics: pd.DataFrame, taken: Sequence[str]
) -> pd.Series:
    """Rows of an error that its environment has, and all of an environment that has none."""
    env = metrics["trial_id"].map(trials.set_index("trial_id")["env"])
    has = {name: set(env[metrics[name].notna()]) for name in taken}
    any_ = set().union(*has.values())
    return pd.Series(
        [e in has[name] or e not in any_ for e, name in zip(table["env"], table["outcome"], strict=True)],
        index=table.index,
        dtype=bool,
    )


def _needs(options: Mapping[str, Any]) -> list[str]:
    return [options.get("measure", "srank"), *options.get("values", VALUE_ERRORS)]


_MEASURE: Final = Option("text", "The rank [default: srank].")
_VALUES: Final = Option(
    "names", f"Errors of the values [default: those of {','.join(VALUE_ERRORS)} that were measured]."
)

TABLE: Final = Table(
    "value-error",
    "the rank against the error of the values per environment and space",
    value_error,
    "last",
    _needs,
    {"measure": _MEASURE, "values": _VALUES, **SAMPLE, **BOOTSTRAP},
)
TRIALS_TABLE: Final = Table(
    "value-error-trials",
    "the rank and the error of the values of each trial: the points behind value-error",
    value_error_trials,
    "last",
    _needs,
    {"measure": _MEASURE, "values": _VALUES, "allow_pruned": SAMPLE["allow_pruned"]},
)
