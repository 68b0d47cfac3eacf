"""The environments of a space together: whose configurations are settings that run in each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.frames import configuration_codes, require_columns
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, TOGETHER, Sample, pruned_refusal, samples

_OF_AN_ENVIRONMENT = ("env", "dataset", "dataset_fingerprint")
_FEWEST = 3
"""Configurations that count an environment in; the caller's minimum is of settings."""


def apart_and_together(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str],
    *,
    within: Sequence[str] = (),
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> Iterator[Sample]:
    """`samples` of each environment, and after them one of every space that has several, with ``env`` `TOGETHER`.

    There a configuration is what a trial was set to, environment and its dataset aside: the same setting in two
    environments is one draw from the space, and the unit of replication. Raises what `samples` raises.
    """
    require_columns(trials, ("env",), "trials")
    yield from samples(
        trials,
        metrics,
        measures,
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
    )
    if trials["env"].nunique() < 2 or "env" in within:
        return
    for sample in samples(
        trials,
        metrics,
        measures,
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=_FEWEST,
        across_environments=True,
    ):
        if sample.key["env"] == TOGETHER:
            yield _by_setting(sample, min_configurations)


def standardised(values: Floats, environment: pd.Series) -> Floats:
    """``values`` ``[T]`` less their environment's mean, over its standard deviation; NaN where that is zero."""
    series = pd.Series(values)
    groups = series.groupby(environment.to_numpy())
    spread = groups.transform("std")
    return ((series - groups.transform("mean")) / spread.where(spread > 0)).to_numpy(float)


def _by_setting(sample: Sample, min_configurations: int) -> Sample:
    planned = sample.planned
    datasets = planned.groupby("env")["dataset"].nunique() if "dataset" in planned.columns else pd.Series([1])
    own = _OF_AN_ENVIRONMENT if datasets.max() == 1 else ("env",)
    codes = configuration_codes(planned.drop(columns=[name for name in own if name in planned.columns]))
    planned = planned.assign(configuration=codes)
    included = sample.included.assign(configuration=planned.loc[sample.included.index, "configuration"])
    refusal, settings = sample.refusal, included["configuration"].nunique()
    if settings < min_configurations and pruned_refusal(planned) is None:
        refusal = (
            f"refused: {settings} settings in {included['env'].nunique()} environments, at least "
            f"{min_configurations} are needed ({len(included)} of {len(planned)} trials)"
        )
    return replace(sample, planned=planned, included=included, refusal=refusal)
