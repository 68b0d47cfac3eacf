"""Which specifications of a claim there might be: what was declared, and what a sweep's store has of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sweep.analysis.frames import CONFIGURATION_FIELDS, FOREIGN_FIELD, AnalysisError
from sweep.analysis.specifications.rank_definitions import LAYERS, RANKS, Definition, declared, vectors_for
from sweep.analysis.specifications.specifications import ENVIRONMENT, EVERYTHING, LINE, NOTHING, Specification
from sweep.analysis.table import SAMPLE, Option

if TYPE_CHECKING:
    from sweep.store import SweepStore

OUTCOMES: Final = ("return_mean", "return_normalized", "return_normalized_dqn")
DELTAS: Final = (0.001, 0.01, 0.05, 0.1)
WINDOWS: Final = (0.0, 0.1, 0.25, 0.5)
THRESHOLDS: Final = (0.25, 0.5, 0.75)
ADJUSTMENTS: Final = (NOTHING, ENVIRONMENT, EVERYTHING)
PROTOCOL_DELTA: Final = 0.01


@dataclass(frozen=True)
class Choices:
    """What may be chosen: see `specification_curve`."""

    measures: Sequence[str] = RANKS
    outcomes: Sequence[str] = OUTCOMES
    layers: Sequence[str] = LAYERS[:3]
    deltas: Sequence[float] = DELTAS
    windows: Sequence[float] = WINDOWS
    thresholds: Sequence[float] = THRESHOLDS
    adjust: Sequence[str] = ADJUSTMENTS
    delta: float = PROTOCOL_DELTA

    def __post_init__(self) -> None:
        for name, values, low, high, words in (
            (
                "deltas",
                self.deltas,
                0,
                1,
                "shares of the singular values' sum above 0 and below 1, such as 0.01",
            ),
            ("thresholds", self.thresholds, 0, 1, "quantiles above 0 and below 1, such as 0.5"),
            ("windows", self.windows, -1e-9, 1 + 1e-9, "shares of training from 0, the last value, to 1"),
        ):
            wrong = [value for value in values if not low < value < high]
            if wrong:
                raise AnalysisError(f"{name}={','.join(f'{v:g}' for v in wrong)}: must be {words}.")
        for name, given, allowed in (
            ("layers", self.layers, LAYERS),
            ("adjust", self.adjust, (*ADJUSTMENTS, *CONFIGURATION_FIELDS)),
        ):
            unknown = [v for v in given if v not in allowed and not v.startswith(FOREIGN_FIELD)]
            if unknown:
                raise AnalysisError(f"{name}={','.join(unknown)}: must be of {', '.join(allowed)}.")
        for name in ("measures", "outcomes", "layers", "windows", "adjust"):
            if not getattr(self, name):
                raise AnalysisError(f"{name} is empty: name at least one.")

    @property
    def definitions(self) -> list[Definition]:
        """Of the measure."""
        return declared(self.measures, self.layers, self.deltas, self.delta)

    def specifications(self, environments: int) -> list[Specification]:
        """All that these choices allow; the environment is no choice where there is one."""
        adjust = [name for name in self.adjust if environments > 1 or name != ENVIRONMENT]
        return [
            Specification(definition, outcome, window, threshold, name)
            for name in adjust
            for outcome in self.outcomes
            for window in self.windows
            for threshold in (LINE, *self.thresholds)
            for definition in self.definitions
        ]


def stored_vectors(sweep: "SweepStore", options: Mapping[str, Any]) -> dict[str, Any]:
    """``spectra`` of the windows asked for and the protocol's ``delta``, from a sweep's store."""
    names = vectors_for(options.get("measures", RANKS), options.get("layers", LAYERS[:3]))
    share = max([0.1, *options.get("windows", WINDOWS)])
    start = int((1 - share) * int(sweep.trials()["train_steps"].min()))
    rows, _ = sweep.table(
        "spectra", ["trial_id", "step", "name", "values"], [("name", "in", names), ("step", ">=", start)]
    )
    deltas = {
        pack.get("protocol", {}).get("delta", PROTOCOL_DELTA)
        for plan in sweep.plans()
        for pack in plan["packs"].values()
    }
    return {"spectra": rows.to_pandas(), "delta": deltas.pop() if len(deltas) == 1 else PROTOCOL_DELTA}


def needed(options: Mapping[str, Any]) -> list[str]:
    """The measures that a curve reads."""
    return list(dict.fromkeys([*options.get("measures", RANKS), *options.get("outcomes", OUTCOMES)]))


CHOICES: Final = {
    "measures": Option("names", f"Measures that are to predict [default: {','.join(RANKS)}]."),
    "outcomes": Option("names", "What is to be predicted [default: the returns that were measured]."),
    "layers": Option("names", f"Of {', '.join(LAYERS)} [default: all but mean]."),
    "deltas": Option("numbers", "δ of srank beside the protocol's [default: 0.001,0.01,0.05,0.1]."),
    "windows": Option("numbers", "Last shares of training; 0 is the last value [default: 0,0.1,0.25,0.5]."),
    "thresholds": Option("numbers", "Quantiles to split at, beside the line [default: 0.25,0.5,0.75]."),
    "adjust": Option("names", "Of none, env, all and hyperparameters [default: none,env,all]."),
    **SAMPLE,
}
