"""Samples of all trials and of each value of one hyperparameter: the paper's "Combined", "ReLU" and "Tanh"."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from sweep.analysis.frames import AnalysisError, content, require_columns
from sweep.analysis.samples import Sample, samples
from sweep.analysis.table import Option

COMBINED: Final = "combined"
NO_TYPES: Final = "none"
BY: Final = {
    "by": Option(
        "text",
        "Also each value of this hyperparameter by itself, or none [default: activation, where there is one].",
    )
}


def samples_by_type(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str],
    by: str | None = None,
    *,
    within: Sequence[str] = (),
    **options: Any,
) -> Iterator[Sample]:
    """`samples` per environment x space (x ``within``), with a key ``type``: `COMBINED`, then each value of ``by``.

    ``by`` is a column of ``trials``; None is activation where the trials have it; "none" (or "") makes no types, and
    neither does a single value: it would repeat the combined row. ``options`` go to `samples`. Raises `AnalysisError`
    for a missing column and where ``by`` is also among ``within``.
    """
    if by is None:
        by = "activation" if "activation" in trials.columns and "activation" not in within else NO_TYPES
    parts: dict[tuple[object, ...], list[Sample]] = {}
    if by not in (NO_TYPES, ""):
        require_columns(trials, (by,), "trials")
        if by in within:
            raise AnalysisError(
                f"by={by} and within={by}: a hyperparameter divides the trials once; leave it out of one (by=none)."
            )
        typed = trials.assign(type=trials[by].map(content))
        for sample in samples(typed, metrics, measures, within=[*within, "type"], **options):
            parts.setdefault(_place(sample), []).append(sample)
    for whole in samples(trials, metrics, measures, within=within, **options):
        yield replace(whole, key={**whole.key, "type": COMBINED})
        types = parts.get(_place(whole), [])
        if len(types) > 1:
            yield from sorted(types, key=lambda sample: str(sample.key["type"]))


def _place(sample: Sample) -> tuple[object, ...]:
    # Not the values themselves: a NaN among them equals nothing.
    return tuple(str(value) for name, value in sample.key.items() if name != "type")
