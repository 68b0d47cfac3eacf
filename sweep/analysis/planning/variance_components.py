"""How much of a measure's spread lies between configurations and how much between their seeds: what a plan needs.

One-way analysis of variance with configurations as the random factor, by Henderson's method 3 where seeds are missing
(Searle, Casella and McCulloch, Variance Components, 1992, chapter 5). A pilot of few seeds knows its variances badly,
and a plan that takes them at their word is short of seeds half of the time: so each has an upper confidence bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sweep.analysis.association import Floats
from sweep.analysis.exclusions import COUNT_COLUMNS
from sweep.analysis.frames import AnalysisError
from sweep.analysis.interventions.designs import space_of
from sweep.analysis.interventions.factorial import find_factors
from sweep.analysis.interventions.factorial_model import factorial_model
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS, Sample, check_confidence, samples
from sweep.analysis.table import SAMPLE, Option, Table

_NUMBERS: Final = (
    *("mean", "sd_between", "sd_between_upper", "sd_within", "sd_within_upper", "share_between"),
    *("share_between_upper", "seeds_per_configuration"),
)
COMPONENT_COLUMNS: Final = (
    *("measure", *_NUMBERS, "freedom_between", "freedom_within", "removed", "confidence"),
    *(*COUNT_COLUMNS, "note"),
)
UPPER: Final = 0.8
"""Confidence of the upper bounds."""


@dataclass(frozen=True)
class Components:
    """Variances between and within configurations, each with an upper bound; NaN where a pilot cannot tell."""

    between: float
    between_upper: float
    within: float
    within_upper: float
    share: float
    """Of the whole variance, between configurations: the intraclass correlation."""
    share_upper: float
    freedom: tuple[int, int]
    """Degrees of freedom between and within."""
    repeats: float
    """Seeds of a configuration, as they count where some are missing."""


def variance_components(
    trials: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: Sequence[str] = ("return_mean", "srank"),
    *,
    factorial: bool = False,
    confidence: float = UPPER,
    within: Sequence[str] = (),
    allow_pruned: bool = False,
    min_configurations: int = MINIMUM_CONFIGURATIONS,
) -> pd.DataFrame:
    """Spread of each measure at the end of training between and within configurations, per environment x space.

    Columns: ``sd_between`` and ``sd_within`` in units of the measure, ``share_between`` of the whole variance, each
    with an ``_upper`` bound of one-sided ``confidence``. Differences that all configurations share, between seeds, are
    taken out. ``factorial`` takes environments together and takes out the effects of the two-level factors and
    blocks too (``removed``), which leaves what the error of `intervention_ate` is made of. With one seed a
    configuration the two cannot be told apart: all is counted as between, and ``note`` says so.

    Raises `AnalysisError` for a missing column and a confidence outside (0, 1).
    """
    check_confidence(confidence)
    table: list[dict[str, object]] = []
    for measure in measures:
        for sample in samples(
            trials,
            metrics,
            [measure],
            within=within,
            allow_pruned=allow_pruned,
            min_configurations=min_configurations,
            across_environments=factorial,
        ):
            row = sample.row() | {"measure": measure, "confidence": confidence}
            if sample.refusal is None:
                design, removed = _design(sample, trials, within) if factorial else (_ones(sample), None)
                row |= {"removed": removed, **_describe(sample, measure, design, confidence)}
            table.append(row)
    keys = list(dict.fromkeys(["env", "space", *within]))
    frame = pd.DataFrame(table, columns=list(dict.fromkeys((*keys, *COMPONENT_COLUMNS))))
    whole = dict.fromkeys(("freedom_between", "freedom_within"), "Int64")
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype(whole).astype({"note": object})


def components(
    y: Floats,
    cluster: npt.NDArray[np.int64],
    design: Floats,
    seed: npt.NDArray[np.int64] | None,
    confidence: float = UPPER,
) -> Components:
    """Of ``y`` ``[T]`` around a ``design`` ``[T, P]`` that is constant within a ``cluster`` ``[T]``.

    ``seed`` ``[T]``, where configurations share theirs, takes the mean differences between seeds out of both. Upper
    bounds: chi-squared within, that of Ting et al. (1990, JASA 85:700) between, of the F ratio for the share.

    Raises `AnalysisError` where the design leaves no configuration to spare.
    """
    groups = int(cluster.max()) + 1
    seeds = np.empty((len(y), 0)) if seed is None else np.eye(int(seed.max()) + 1)[seed]
    # A level for each configuration is a mean taken away, not a column for each of thousands.
    rest_full, spent = _residual(_centred(y[:, None], cluster)[:, 0], _centred(seeds, cluster))
    free_full = len(y) - groups - spent
    around = np.column_stack([design, seeds])
    rest, spent = _residual(y, around)
    between_freedom = len(y) - spent - free_full
    if between_freedom < 1:
        raise AnalysisError(
            f"variance between {groups} configurations: the design has as many coefficients; "
            "a pilot needs more configurations than effects."
        )
    # What a configuration's own level adds to the residual of the design: the trace of Z'MZ over its freedom.
    sums = np.zeros((groups, spent))
    np.add.at(sums, cluster, _basis(around))
    repeats = (len(y) - float((sums**2).sum())) / between_freedom
    ms_between = (rest - rest_full) / between_freedom
    if free_full < 1:
        upper = ms_between * between_freedom / stats.chi2.ppf(1 - confidence, between_freedom)
        return Components(ms_between, float(upper), np.nan, np.nan, 1.0, 1.0, (between_freedom, 0), repeats)
    ms_within = rest_full / free_full
    within_upper = ms_within * free_full / stats.chi2.ppf(1 - confidence, free_full)
    between = max((ms_between - ms_within) / repeats, 0.0)
    reach = _upper_difference(ms_between, ms_within, between_freedom, free_full, confidence)
    f = ms_between / ms_within if ms_within > 0 else np.inf
    f_upper = f / stats.f.ppf(1 - confidence, between_freedom, free_full)
    return Components(
        between,
        max(reach / repeats, 0.0),
        ms_within,
        float(within_upper),
        _share(f, repeats),
        _share(float(f_upper), repeats),
        (between_freedom, free_full),
        repeats,
    )


def _describe(sample: Sample, measure: str, design: Floats, confidence: float) -> dict[str, object]:
    y = sample.values(measure)
    seeds = None
    if "seed" in sample.included.columns:
        codes, found = pd.factorize(sample.included["seed"])
        # Seeds of their own in each configuration are no blocks.
        seeds = codes if 1 < len(found) <= len(y) / 2 else None
    try:
        found_components = components(y, sample.configuration, design, seeds, confidence)
    except AnalysisError as error:
        return {"note": f"refused: {error}"}
    c, notes = found_components, []
    if not np.isfinite(c.within):
        notes.append(
            "one seed a configuration: what lies between and within configurations cannot be told apart and is "
            "all counted as between"
        )
    elif c.repeats < _FEW_SEEDS:
        notes.append(f"about {c.repeats:.3g} seeds a configuration: so few mislead; go by the upper bounds")
    return {
        "mean": float(y.mean()),
        "sd_between": np.sqrt(c.between),
        "sd_between_upper": np.sqrt(c.between_upper),
        "sd_within": np.sqrt(c.within),
        "sd_within_upper": np.sqrt(c.within_upper),
        "share_between": c.share,
        "share_between_upper": c.share_upper,
        "seeds_per_configuration": c.repeats,
        "freedom_between": c.freedom[0],
        "freedom_within": c.freedom[1],
        "note": "; ".join(notes) or None,
    }


_FEW_SEEDS: Final = 10


def _ones(sample: Sample) -> Floats:
    return np.ones((len(sample.included), 1))


def _design(sample: Sample, trials: pd.DataFrame, within: Sequence[str]) -> tuple[Floats, str]:
    """What `intervention_ate` explains, seeds aside, and in words."""
    factors = find_factors(sample.planned, space_of(trials, sample.key["space"]), {}, within)
    if not factors.factors:
        return _ones(sample), factors.none.removeprefix("refused: ")
    model = factorial_model(sample, factors, None)
    x = model.squares.x
    # Seed dummies vary within a configuration; a column of the design does not.
    steady = (np.abs(_centred(x, sample.configuration)) < 1e-12).all(axis=0)
    return x[:, steady], model.words


def _residual(y: Floats, x: Floats) -> tuple[float, int]:
    """Sum of squares that ``x`` leaves of ``y``, and how many columns of ``x`` are independent."""
    basis = _basis(x)
    rest = y - basis @ (basis.T @ y)
    return float(rest @ rest), basis.shape[1]


def _basis(x: Floats) -> Floats:
    """Orthonormal columns that span those of ``x``, whose entries are of order 1 or rounding."""
    if not x.shape[1]:
        return x
    left, size, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray(left[:, size > 1e-9 * max(float(size[0]), 1.0)])


def _centred(x: Floats, cluster: npt.NDArray[np.int64]) -> Floats:
    """Columns less their mean in each cluster."""
    counts = np.bincount(cluster)
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, cluster, x)
    return x - (sums / counts[:, None])[cluster]


def _share(f: float, repeats: float) -> float:
    return 1.0 if np.isinf(f) else float(np.clip((f - 1) / (f + repeats - 1), 0.0, 1.0))


def _upper_difference(first: float, second: float, n1: int, n2: int, confidence: float) -> float:
    """Upper bound of the difference of two expected mean squares, the first the greater."""
    alpha = 1 - confidence
    h1 = n1 / float(stats.chi2.ppf(alpha, n1)) - 1
    g2 = 1 - n2 / float(stats.chi2.ppf(1 - alpha, n2))
    f = float(stats.f.ppf(alpha, n1, n2))
    h12 = ((1 - f) ** 2 - (h1 * f) ** 2 - g2**2) / f
    spread = (h1 * first) ** 2 + (g2 * second) ** 2 + h12 * first * second
    return first - second + float(np.sqrt(max(spread, 0.0)))


TABLE: Final = Table(
    "variance-components",
    "spread of measures between configurations and between their seeds: what a plan needs",
    variance_components,
    "last",
    lambda options: list(options.get("measures", ("return_mean", "srank"))),
    {
        "measures": Option("names", "The measures, by commas [default: return_mean,srank]."),
        "factorial": Option("flag", "Take the effects of two-level factors and of blocks out."),
        **SAMPLE,
        "confidence": Option("number", "Of the upper bounds [default: 0.8]."),
    },
)
