"""Returns under disturbances of growing amount: the runs of one kind, and ratios of their means with their errors."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.frames import AnalysisError
from sweep.analysis.performance.scores import FEW_UNITS, by_kind
from sweep.analysis.samples import Sample, samples

KINDS: Final = ("shift", "scale", "noise")
# Below this many standard errors above 0, an undisturbed return is no base for a share.
_CLEAR: Final = 2.0

Settings = Mapping[str, Mapping[str, Any]]
"""Of each trial id the robustness group of its protocol: amounts by kind of disturbance, and ``offset``."""


@dataclass(frozen=True)
class Estimate:
    """A value, its variance and the degrees of freedom of that."""

    value: float
    variance: float
    freedom: float

    def columns(self, confidence: float, *, test: bool = False) -> dict[str, object]:
        """Columns of the value and its interval by Student's t, with ``test`` the two-sided p of 0."""
        if not self.variance > 0:
            return {"value": self.value, "note": "runs do not differ, which gives no interval"}
        error = float(np.sqrt(self.variance))
        reach = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * error
        found: dict[str, object] = {
            "value": self.value,
            "value_low": self.value - reach,
            "value_high": self.value + reach,
        }
        if test:
            found["value_p"] = 2 * float(stats.t.sf(abs(self.value) / error, self.freedom))
        return found

    @staticmethod
    def combined(parts: Sequence[tuple[float, "Estimate"]]) -> "Estimate":
        """Sum of independent estimates times their factors, with Satterthwaite's degrees of freedom."""
        variances = [factor**2 * part.variance for factor, part in parts]
        below = sum(v**2 / part.freedom for v, (_, part) in zip(variances, parts, strict=True))
        total = sum(variances)
        return Estimate(
            sum(factor * part.value for factor, part in parts),
            total,
            total**2 / below if below > 0 else np.nan,
        )


@dataclass(frozen=True)
class Curve:
    """Runs of one kind in one environment under one disturbance."""

    sample: Sample
    label: str
    perturbation: str
    amounts: tuple[float, ...]
    """From 0, the undisturbed environment."""
    offset: float

    @property
    def unit(self) -> str:
        """What varies as a whole: "configuration" where there are several, else "seed"."""
        return "configuration" if self.sample.clusters > 1 else "seed"

    @property
    def returns(self) -> Floats:
        """``[T, L]``, the offset not added."""
        return self.sample.included[[str(i) for i in range(len(self.amounts))]].to_numpy(float)

    @property
    def refusal(self) -> str | None:
        """Why there is no number, beginning with "refused: ", or None."""
        if self.sample.refusal:
            return self.sample.refusal
        if self.sample.included.empty:
            return "refused: no finished run has been disturbed at the end of its training"
        if len(np.unique(self._units)) < 2:
            return f"refused: 1 {self.unit}; an interval needs at least 2"
        clean = self._ratio(self.returns[:, 0] + self.offset, np.ones(len(self.returns)))
        error = np.sqrt(clean.variance)
        if clean.value <= _CLEAR * error:
            return (
                f"refused: the undisturbed return, {clean.value:.4g} with the offset {self.offset:g}, is not above 0 "
                f"by {_CLEAR:g} standard errors ({error:.2g}): a share of it means nothing. Where returns can be "
                "negative, offset= counts them from below the least"
            )
        return None

    def kept(self, level: int) -> Estimate:
        """ρ at a level."""
        shifted = self.returns + self.offset
        return self._ratio(shifted[:, level], shifted[:, 0])

    def area(self, axis: str) -> Estimate:
        """The area under ρ."""
        places = np.array(self.amounts) if axis == "amount" else np.arange(len(self.amounts), dtype=float)
        weights = np.trapezoid(np.eye(len(places)), places, axis=-1)
        shifted = self.returns + self.offset
        return self._ratio(shifted @ weights, shifted[:, 0])

    def about(self) -> dict[str, object]:
        """The first columns of its rows."""
        return {
            **self.sample.row(),
            "group": self.label,
            "perturbation": self.perturbation,
            "n_environments": 1,
            "unit": self.unit,
            "offset": self.offset,
            "note": self.refusal or self._remark,
        }

    @property
    def _remark(self) -> str | None:
        count = len(np.unique(self._units))
        return f"few {self.unit}s ({count})" if count < FEW_UNITS else None

    @property
    def _units(self) -> Any:
        return (
            self.sample.configuration
            if self.unit == "configuration"
            else np.arange(len(self.sample.included))
        )

    def _ratio(self, above: Floats, below: Floats) -> Estimate:
        """Ratio of means, its variance linearised over units (Cochran 1977, Sampling Techniques, 6.4)."""
        value = float(above.sum() / below.sum())
        of_unit = np.bincount(self._units, above - value * below)
        n = len(of_unit)
        return Estimate(value, float(n / (n - 1) * (of_unit**2).sum() / below.sum() ** 2), n - 1)


def disturbed(
    trials: pd.DataFrame,
    spectra: pd.DataFrame,
    settings: Settings,
    given: Mapping[str, Sequence[float] | None],
    offset: float | None,
    by: Sequence[str] | None,
    allow_pruned: bool,
) -> Iterator[Curve]:
    """The runs of each kind, environment and space under each kind of disturbance of their protocols.

    Trials of other amounts, or another offset, are another curve. Raises `AnalysisError` where amounts are not known,
    do not ascend, or are not as many as were measured.
    """
    for kind in KINDS:
        vectors = spectra[spectra["name"] == f"robustness_{kind}_returns"]
        vectors = vectors.sort_values("step", kind="stable").drop_duplicates("trial_id", keep="last")
        if vectors.empty:
            continue
        own = {str(t): _own(settings.get(str(t), {}), kind, given[kind], offset) for t in trials["trial_id"]}
        for trial in vectors["trial_id"]:
            if own.get(str(trial), ()) is None:
                raise AnalysisError(
                    f"the amounts of robustness_{kind}_returns are not known of trial {trial}: give them, such as "
                    f"{kind}=1,2,4, without the 0 of the undisturbed return."
                )
        for kinds in by_kind(trials, by):
            about = [own[str(t)] for t in kinds.trials["trial_id"]]
            for one in dict.fromkeys(one for one in about if one is not None):
                amounts, added = one
                these = kinds.trials[[other == one for other in about]]
                for sample in samples(
                    these,
                    _wide(vectors[vectors["trial_id"].isin(these["trial_id"])], kind, amounts),
                    [str(level) for level in range(len(amounts))],
                    within=kinds.factors,
                    allow_pruned=allow_pruned,
                    min_configurations=None,
                    varying=(),
                ):
                    key = {**kinds.fixed(), **sample.key}
                    yield Curve(replace(sample, key=key), kinds.label(sample.key), kind, amounts, added)


def _own(
    settings: Mapping[str, Any], kind: str, given: Sequence[float] | None, offset: float | None
) -> tuple[tuple[float, ...], float] | None:
    """Amounts from 0 and offset of a trial; None where its protocol has none of this kind and none are given."""
    amounts = given if given is not None else settings.get(kind)
    if not amounts:
        return None
    levels = (0.0, *(float(amount) for amount in amounts))
    if any(b <= a for a, b in itertools.pairwise(levels)):
        listed = ",".join(f"{amount:g}" for amount in amounts)
        raise AnalysisError(f"{kind}={listed}: amounts must ascend from above 0, such as {kind}=1,2,4.")
    return levels, float(offset if offset is not None else settings.get("offset", 0.0))


def _wide(vectors: pd.DataFrame, kind: str, amounts: Sequence[float]) -> pd.DataFrame:
    """Metrics with a column for each level, "0" the undisturbed one."""
    wrong = vectors[vectors["values"].map(len) != len(amounts)]
    if len(wrong):
        first = wrong.iloc[0]
        raise AnalysisError(
            f"robustness_{kind}_returns of trial {first['trial_id']} has {len(first['values'])} values, but {kind} "
            f"has {len(amounts) - 1} amounts ({', '.join(f'{a:g}' for a in amounts[1:])}) and the undisturbed return: "
            f"give as many amounts as were measured, {len(first['values']) - 1}."
        )
    table = pd.DataFrame(
        np.array(vectors["values"].tolist(), float).reshape(len(vectors), len(amounts)),
        columns=[str(level) for level in range(len(amounts))],
    )
    return table.assign(trial_id=vectors["trial_id"].to_numpy(), step=vectors["step"].to_numpy())
