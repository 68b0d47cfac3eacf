"""How far trials cross the factors of a space: combinations that are missing, factors that go together, aliases.

A design is judged by the trials that are left, whatever it was meant to be.
"""

import itertools
from typing import Final

import numpy as np

from sweep.analysis.association import Floats
from sweep.analysis.interventions.designs import choice_unknown
from sweep.analysis.interventions.factorial import Factors
from sweep.analysis.interventions.factorial_model import FactorialModel
from sweep.analysis.samples import FEW_CONFIGURATIONS, Sample

SKEWED: Final = 0.05
"""Correlation between two factors from which they are said not to be orthogonal."""
_CHANCE: Final = 0.25
"""Most that is put down to chance, however few configurations there are."""
_ALIGNED: Final = 0.999
_MOST_NAMED: Final = 4


def cells(sample: Sample, factors: Factors) -> tuple[int, int]:
    """How many combinations of levels have a trial, and how many were planned."""
    return len(_distinct(factors.cells(sample.included))), len(_distinct(factors.cells(sample.planned)))


def randomised(sample: Sample, factors: Factors) -> bool:
    """Whether the levels were set by a design: the study says so, or the planned trials cross them, or as good as.

    Levels drawn at random, independently, go together a little by chance.
    """
    if factors.known:
        return True
    if choice_unknown(sample.planned):
        return False
    chance = 3 / np.sqrt(len(sample.planned["configuration"].unique()))
    across = np.abs(_correlations(factors.cells(sample.planned)))
    np.fill_diagonal(across, 0.0)
    return bool(across.max(initial=0.0) < max(SKEWED, min(chance, _CHANCE)))


def nearest(model: FactorialModel, k: int) -> tuple[float, str]:
    """The correlation of factor ``k`` with the factor that it goes together with most, and its name; NaN for none."""
    across = _correlations(model.signs)[k]
    across[k] = np.nan
    if not np.isfinite(across).any():
        return np.nan, ""
    other = int(np.nanargmax(np.abs(across)))
    return float(across[other]), model.factors.factors[other].name


def aliases(sample: Sample, factors: Factors, k: int) -> list[str]:
    """Two-factor interactions that equal factor ``k``, or its opposite, in every planned combination."""
    planned = _distinct(factors.cells(sample.planned))
    names = [factor.name for factor in factors.factors]
    found = []
    for a, b in itertools.combinations([i for i in range(len(names)) if i != k], 2):
        agreement = float((planned[:, a] * planned[:, b] * planned[:, k]).mean())
        if abs(agreement) > _ALIGNED:
            found.append(f"{'-' if agreement < 0 else ''}{names[a]} x {names[b]}")
    return found


def one_level(model: FactorialModel, k: int) -> str:
    """Which level of factor ``k``, of which one is left, has no trial any more."""
    factor = model.factors.factors[k]
    gone = factor.control if model.signs[0, k] > 0 else factor.treatment
    return f"no trial with {factor.name}={gone} is left to compare"


def inseparable(model: FactorialModel, k: int) -> str:
    """What factor ``k``, whose effect is not estimable, cannot be told from."""
    name, (correlation, other) = model.factors.factors[k].name, nearest(model, k)
    if abs(correlation) > _ALIGNED:
        return f"{name} changes only together with {other} in the trials that are left"
    rest = "the interactions in the model; leave them out" if model.products else "the other factors together"
    return f"{name} cannot be told from {rest} ({len(model.signs)} trials are left)"


def design_notes(sample: Sample, model: FactorialModel, outcome: str) -> list[str]:
    """What a reader has to know of the trials that all effects of a sample stand on."""
    notes = []
    if model.left_out:
        notes.append(f"not in the model: {', '.join(model.left_out)}")
    stuck = [
        f"{factor.name}={factor.treatment if model.signs[0, k] > 0 else factor.control}"
        for k, factor in enumerate(model.factors.factors)
        if k not in model.varying
    ]
    if stuck:
        notes.append(f"all trials that are left have {', '.join(stuck)}: effects are effects there")
    missing = _missing(sample, model.factors)
    if missing:
        # Many are not worth naming: the trials left out at each level say where they are.
        named = f": {'; '.join(missing)}" if len(missing) <= _MOST_NAMED else ""
        planned = cells(sample, model.factors)[1]
        notes.append(f"{len(missing)} of {planned} combinations have no trial{named}")
    if outcome == "return_mean" and len(sample.included["env"].unique()) > 1:
        notes.append("returns of several environments on their own scales: return_normalized has one scale")
    if not randomised(sample, model.factors):
        crossed = "" if choice_unknown(sample.planned) else "the trials do not cross these levels, and "
        notes.append(f"{crossed}no design is known that set them")
    if sample.clusters < FEW_CONFIGURATIONS:
        notes.append(f"few configurations ({sample.clusters})")
    return notes


def _missing(sample: Sample, factors: Factors) -> list[str]:
    """The planned combinations without a trial, in words."""
    planned = {tuple(row) for row in _distinct(factors.cells(sample.planned))}
    there = {tuple(row) for row in _distinct(factors.cells(sample.included))}
    return [
        ", ".join(
            f"{f.name}={f.treatment if sign > 0 else f.control}"
            for f, sign in zip(factors.factors, cell, strict=True)
        )
        for cell in sorted(planned - there)
    ]


def _distinct(rows: Floats) -> Floats:
    """The distinct rows of -1 and +1; by a number each, which sorts far faster than rows do."""
    numbers = (rows > 0) @ (2.0 ** np.arange(rows.shape[1]))
    return np.asarray(rows[np.unique(numbers, return_index=True)[1]])


def _correlations(columns: Floats) -> Floats:
    """Between columns ``[T, K]``, ``[K, K]``; NaN for one that is constant."""
    centred = columns - columns.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(centred.T @ centred / np.outer(norms, norms))
