"""Through what does a hyperparameter act? Learning rate -> dead units -> rank -> return, or any such chain.

The treatment was set by the design; its mediators were not. So the effect of the treatment on the first mediator, and
its total effect on the outcome, are effects of an intervention, and every other number is an association that becomes
an effect only under assumptions which no data can check: each row says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from search_spaces.trial import TrialConfig
from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import FOREIGN_FIELD, AnalysisError
from sweep.analysis.intervals import cluster_draws, mean_interval
from sweep.analysis.interventions.designs import choice_unknown, space_of
from sweep.analysis.interventions.factorial import find_factors, levels
from sweep.analysis.interventions.held_fixed import held_fixed, scaled
from sweep.analysis.interventions.serial_chain import Chain, Paths, fit
from sweep.analysis.samples import (
    FEW_CONFIGURATIONS,
    MINIMUM_CONFIGURATIONS,
    Sample,
    check_bootstrap,
    samples,
)
from sweep.analysis.table import BOOTSTRAP, SAMPLE, Option, Table

DEFAULT_MEDIATORS: Final = ("dead_units", "srank")
_ESTIMATES: Final = ("estimate", "standardised")
_NUMBERS: Final = tuple(f"{e}{end}" for e in _ESTIMATES for end in ("", "_low", "_high", "_p"))[:-1]
MEDIATION_COLUMNS: Final = (
    *("treatment", "treatment_scale", "outcome", "effect", "path", *_NUMBERS, "share_of_total"),
    *("adjusted_for", "confidence", "draws", "kind", *COUNT_COLUMNS, "identification", "note"),
)
_ORTHOGONAL: Final = 0.05
# A correlation that makes the variance of each coefficient five times what it would be without the other.
_HARD_TO_TELL: Final = 0.9


def mediation(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    treatment: str = "learning_rate",
    mediators: Sequence[str] = DEFAULT_MEDIATORS,
    outcome: str = "return_mean",
    *,
    adjust: Sequence[str] | None = None,
    within: Sequence[str] = (),
    pool: bool = False,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Paths of the linear chain ``treatment`` -> ``mediators`` in order -> ``outcome``, per environment x space.

    A row for each coefficient (``effect`` "path"; each variable on all before it), the "total" and the "direct" effect,
    all "indirect" effects together and along each path (the product of its coefficients). ``estimate`` is in units
    of the outcome (or the end of the path) per unit of treatment: a learning rate counts in factors of ten
    (``treatment_scale`` "log10"), two levels that are no numbers as treatment less control. ``standardised`` is in
    standard deviations of both. Intervals are the bootstrap over configurations with Student's t; of a product
    they are too wide where two of its coefficients are near zero. ``share_of_total`` is given where the total
    effect's interval leaves out zero.

    ``adjust`` are hyperparameters held fixed: by default all others that vary; ``adjusted_for`` says which could be.
    ``pool`` takes environments together, each with a level of its own. ``identification`` says what has to hold for
    the indirect effects to be effects. ``treatment`` may be a measure too.

    Raises `AnalysisError` for a missing column, a chain that names something twice, draws < 100 and a confidence
    outside (0, 1).
    """
    check_bootstrap(draws, confidence)
    chain = [treatment, *mediators, outcome]
    repeated = [name for name in chain if chain.count(name) > 1]
    if repeated or not mediators:
        what = f"{repeated[0]!r} stands in it twice" if repeated else "it has no mediator"
        raise AnalysisError(
            f"chain {_arrow(chain)}: {what}; name a treatment, one mediator or more, and an outcome, all different."
        )
    measures = [name for name in chain if not is_hyperparameter(name)]
    table: list[dict[str, object]] = []
    for sample in samples(
        trials,
        metrics,
        measures,
        within=within,
        allow_pruned=allow_pruned,
        min_configurations=min_configurations,
        across_environments=pool,
    ):
        table += _rows(sample, trials, chain, adjust, within, draws, seed, confidence)
    keys = list(dict.fromkeys(["env", "space", *within]))
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *MEDIATION_COLUMNS))))
    return frame.astype(dict.fromkeys((*_NUMBERS, "share_of_total"), float)).astype({"note": object})


def is_hyperparameter(name: str) -> bool:
    """Whether a chain's variable is set and not measured."""
    return name in TrialConfig.model_fields or name.startswith(FOREIGN_FIELD)


def identification(chain: Sequence[str]) -> str:
    """The assumption that indirect effects rest on, in words about this chain."""
    treatment, *mediators, outcome = chain
    through = " and ".join(mediators)
    confounder = (
        f"{mediators[0]} is itself changed by {treatment} and acts on both {' and '.join((*mediators[1:], outcome))}"
        if len(mediators) > 1
        else f"whatever {treatment} changes may act on both {mediators[0]} and {outcome}"
    )
    return (
        f"not identified by the design: {through} were not set but came about in training; {confounder} "
        "(an exposure-induced confounder of mediator and outcome), and so may things that were not measured. "
        "Sequential ignorability cannot be checked from these data"
    )


def _rows(
    sample: Sample,
    trials: pd.DataFrame,
    chain: list[str],
    adjust: Sequence[str] | None,
    within: Sequence[str],
    draws: int,
    seed: int,
    confidence: float,
) -> list[dict[str, object]]:
    base = sample.row() | {
        "treatment": chain[0],
        "outcome": chain[-1],
        "confidence": confidence,
        "draws": draws,
        "identification": identification(chain),
    }
    if sample.refusal is not None:
        return [base]
    first, scale, refusal = _treatment(sample, trials, chain[0], within)
    base["treatment_scale"] = scale
    if refusal is not None:
        return [base | {"note": refusal}]
    variables = np.column_stack([first, *(sample.values(name) for name in chain[1:])])
    covariates, adjusted, left_out = held_fixed(sample, adjust, (*chain, *within))
    base["adjusted_for"] = ", ".join(adjusted) or None
    model = Chain.of(covariates, variables, sample.configuration)
    whole = fit(model, np.ones((1, sample.clusters)))
    closest, pair = _closest(variables, chain)
    if not np.isfinite(whole.total[0]):
        held = f", given {', '.join(adjusted)}" if adjusted else ""
        reason = f"the variables of the chain follow from one another{held} (correlation {closest:.3f} between {pair})"
        return [base | {"note": f"refused: {reason}: leave one out"}]
    drawn = fit(model, cluster_draws(sample.clusters, draws, sample.stream(seed)))
    set_by_design = _set_by_design(model, trials, sample, chain[0])
    notes = [f"not adjusted for: {', '.join(left_out)}"] if left_out else []
    if abs(closest) > _HARD_TO_TELL:
        notes.append(f"{pair} go together (correlation {closest:.2f}): their paths can hardly be told apart")
    if sample.clusters < FEW_CONFIGURATIONS:
        notes.append(
            f"few configurations ({sample.clusters}): Student's t with {sample.clusters - 1} degrees of freedom"
        )
    rows = _effects(whole, drawn, chain, sample.clusters, confidence)
    if any(row.pop("missing") for row in rows):
        reason = "a variable of the chain varies in so few configurations that many bootstrap draws hold none"
        return [base | {"note": f"refused: {reason} ({sample.clusters} configurations)"}]
    for row in rows:
        to_first = row["effect"] == "total" or row["path"] == _arrow(chain[:2])
        row["kind"] = "randomised" if set_by_design and to_first else "associational"
    return [base | row | {"note": "; ".join(notes) or None} for row in rows]


def _effects(
    whole: Paths, drawn: Paths, chain: list[str], clusters: int, confidence: float
) -> list[dict[str, object]]:
    last = len(chain) - 1
    found: list[tuple[str, str, int, int, Floats, Floats]] = []
    for j in range(1, len(chain)):
        for i in range(j):
            if (i, j) != (0, last):
                name = _arrow((chain[i], chain[j]))
                found.append(("path", name, i, j, whole.slopes[:, i, j], drawn.slopes[:, i, j]))
    ends = _arrow((chain[0], chain[-1]))
    found.append(("total", ends, 0, last, whole.total, drawn.total))
    found.append(("direct", ends, 0, last, whole.slopes[:, 0, last], drawn.slopes[:, 0, last]))
    paths = whole.indirect()
    sums = [np.sum([of.along(path) for path in paths], axis=0) for of in (whole, drawn)]
    found.append(("indirect", "all", 0, last, *sums))
    if len(paths) > 1:
        found += [
            ("indirect", _arrow([chain[i] for i in path]), 0, last, whole.along(path), drawn.along(path))
            for path in paths
        ]
    total = mean_interval(float(whole.total[0]), drawn.total, clusters, confidence)
    rows = []
    for effect, path, i, j, value, values in found:
        row: dict[str, object] = {"effect": effect, "path": path, "missing": False}
        for name, estimate, spread in (
            ("estimate", value, values),
            ("standardised", whole.standardised(value, i, j), drawn.standardised(values, i, j)),
        ):
            bounds = mean_interval(float(estimate[0]), spread, clusters, confidence)
            row |= {name: float(estimate[0]), f"{name}_low": bounds.low, f"{name}_high": bounds.high}
            row["missing"] = bool(row["missing"]) or not bounds.exists
            if name == "estimate":
                row["estimate_p"] = bounds.p
        if effect in ("direct", "indirect") and (total.low > 0 or total.high < 0):
            row["share_of_total"] = float(value[0] / whole.total[0])
        rows.append(row)
    return rows


def _treatment(
    sample: Sample, trials: pd.DataFrame, name: str, within: Sequence[str]
) -> tuple[Floats, str | None, str | None]:
    """Values of the treatment ``[T]``, their scale, and why there are none."""
    if not is_hyperparameter(name):
        return sample.values(name), "linear", None
    if name not in sample.included.columns:
        raise AnalysisError(
            f"treatment {name!r}: the trials table has no such column; name a hyperparameter or a measure that it has."
        )
    column = sample.included[name]
    words = levels(column)
    if len(pd.unique(words)) < 2:
        return np.empty(0), None, f"refused: {name} is {words.iloc[0]} in all {len(words)} trials"
    if (
        pd.api.types.is_numeric_dtype(column)
        and not pd.api.types.is_bool_dtype(column)
        and column.notna().all()
    ):
        return (*scaled(name, column.to_numpy(float)), None)
    factors = find_factors(sample.planned, space_of(trials, sample.key["space"]), {}, within).factors
    own = next((f for f in factors if name in (f.name, *f.together)), None)
    if own is None:
        return np.empty(0), None, f"refused: {name} has {len(pd.unique(words))} levels that are no numbers"
    return (own.signs(sample.included) + 1) / 2, f"{own.treatment} less {own.control}", None


def _set_by_design(model: Chain, trials: pd.DataFrame, sample: Sample, treatment: str) -> bool:
    """Whether the treatment is a hyperparameter, of a known design or crossed with all that is adjusted for."""
    if not is_hyperparameter(treatment) or choice_unknown(sample.planned):
        return False
    if space_of(trials, sample.key["space"]) is not None:
        return True
    rest, whole = model.scatter(np.ones((1, sample.clusters)))
    return bool(rest[0, 0, 0] > (1 - _ORTHOGONAL) * whole[0, 0, 0])


def _closest(variables: Floats, chain: Sequence[str]) -> tuple[float, str]:
    """The strongest correlation between two variables before the outcome, and their names."""
    across = np.array(np.corrcoef(variables[:, :-1].T))
    np.fill_diagonal(across, 0.0)
    place = int(np.argmax(np.abs(across)))
    i, j = divmod(place, len(across))
    return float(across[i, j]), f"{chain[i]} and {chain[j]}"


def _arrow(names: Sequence[str]) -> str:
    return " -> ".join(names)


def _needs(options: Mapping[str, Any]) -> list[str]:
    chain = (
        options.get("treatment", "learning_rate"),
        *options.get("mediators", DEFAULT_MEDIATORS),
        options.get("outcome", "return_mean"),
    )
    return [name for name in chain if not is_hyperparameter(name)]


TABLE: Final = Table(
    "mediation",
    "through what a hyperparameter acts: learning rate, dead units, rank, return",
    mediation,
    "last",
    _needs,
    {
        "treatment": Option("text", "What begins the chain [default: learning_rate]."),
        "mediators": Option("names", "What it acts through, in order [default: dead_units,srank]."),
        "outcome": Option("text", "What ends the chain [default: return_mean]."),
        "adjust": Option("names", "Hyperparameters to hold fixed [default: all others that vary]."),
        "pool": Option("flag", "Environments together, each with a level of its own."),
        **SAMPLE,
        **BOOTSTRAP,
    },
)
