"""How many configurations and seeds a claim needs: power over a grid around what a study has."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from search_spaces import Study
from sweep.analysis.frames import AnalysisError, configuration_codes
from sweep.analysis.interventions.factorial import find_factors
from sweep.analysis.planning.power import Claim, Power, correlation_power, difference_power, main_effect_power
from sweep.analysis.samples import MINIMUM_CONFIGURATIONS

_SEEDS: Final = (1, 2, 3, 5, 10)
_PAIRED_SEEDS: Final = (3, 5, 8, 12, 20, 30, 50)
_TIMES: Final = (0.25, 0.5, 1, 2)
_MOST_CONFIGURATIONS: Final = 4096
_MOST_SEEDS: Final = 4096


@dataclass(frozen=True)
class Size:
    """What a study has in one space."""

    space: str
    configurations: int
    """In each environment; of all environments for a main effect."""
    seeds: int
    factors: int
    """Two-level factors."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the outcome, and shares of variance between configurations of measure and outcome."""

    between: float
    within: float
    shares: tuple[float, float]

    @classmethod
    def declared(cls, between: float, within: float) -> "Spread":
        """The measure is taken to have the outcome's share. Raises `AnalysisError` where nothing varies."""
        total = between**2 + within**2
        if not (between >= 0 and within >= 0 and 0 < total < math.inf):
            raise AnalysisError(
                f"sd_between={between:g}, sd_within={within:g}: must be 0 or more and not both 0: what varies is "
                "what a sweep needs trials for."
            )
        share = between**2 / total
        return cls(between, within, (share, share))


Design = dict[str, object]
"""``configurations``, ``seeds``, ``trials``, and its ``power`` with ``power_error``."""


@dataclass(frozen=True)
class Plan:
    """``table``: a row per configurations x seeds, `POWER_COLUMNS`; and the designs of fewest trials that suffice."""

    table: pd.DataFrame
    smallest: Design | None
    """None where no design does, of those that were asked for or of those within reach."""
    smallest_upper: Design | None
    """The same where the variance is at its upper bound; None also where that is not known."""


POWER_COLUMNS: Final = (
    *(
        "configurations",
        "seeds",
        "trials",
        "power",
        "power_error",
        "power_upper",
        "power_upper_error",
        "study",
    ),
)


def study_size(study: Study, space: str | None, claim: Claim) -> Size:
    """The space ``space``, or the largest that can carry the claim. Raises `AnalysisError` where there is none."""
    names = [one.name for one in study.spaces]
    if space is not None and space not in names:
        raise AnalysisError(
            f"space {space!r}: study {study.name!r} has the spaces {', '.join(names)}; name one."
        )
    sizes = [_size(study, name, claim) for name in names if space in (None, name)]
    if claim.kind == "main":
        sizes = [size for size in sizes if size.factors]
        if not sizes:
            raise AnalysisError(
                f"effect main={claim.size:g}: no two-level factor in {space or 'any space'} of study {study.name!r}; "
                "ask for correlation=R or difference=EFFECT."
            )
    return max(sizes, key=lambda size: size.configurations * size.seeds)


def plan_power(
    claim: Claim,
    size: Size,
    spread: Spread,
    upper: Spread | None,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    draws: int = 1000,
    seed: int = 0,
    configurations: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> Plan:
    """Power of ``claim`` over ``configurations`` x ``seeds``, by default around ``size``.

    ``upper`` is the spread at the pilot's upper bounds. A difference between two arms has one configuration an arm.

    Raises `AnalysisError` for levels outside (0, 1), fewer than 100 draws, and numbers of configurations or seeds that
    are no design.
    """
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise AnalysisError(f"{name}={value}: must lie between 0 and 1, such as {_USUAL[name]}.")
    if draws < 100:
        raise AnalysisError(f"draws={draws}: power needs at least 100 simulated sweeps; 1000 is the default.")
    wanted = _configurations(claim, size) if configurations is None else list(configurations)
    repeats = _seeds(claim, size) if seeds is None else list(seeds)
    _check(claim, wanted, repeats)

    def find(of: Spread, n: int, s: int) -> Power:
        # The same random numbers for every design: neighbours then differ by their design, not by luck.
        return _one(claim, size, of, n, s, alpha, draws, np.random.default_rng(seed))

    rows = []
    for n in wanted:
        for s in repeats:
            row: dict[str, object] = _design(claim, n, s)
            for name, of in (("power", spread), ("power_upper", upper)):
                found = None if of is None else find(of, n, s)
                row[name] = np.nan if found is None else found.value
                row[f"{name}_error"] = np.nan if found is None else found.error
            mine = claim.kind == "difference" or n == size.configurations
            row["study"] = mine and s == size.seeds
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(POWER_COLUMNS))
    if configurations is not None or seeds is not None:
        return Plan(table, _smallest(table, "power", power), _smallest(table, "power_upper", power))
    fewest, fewest_upper = (
        None if of is None else _search(claim, size, partial(find, of), repeats, power)
        for of in (spread, upper)
    )
    return Plan(table, fewest, fewest_upper)


def _search(
    claim: Claim, size: Size, find: Callable[[int, int], Power], seeds: Sequence[int], power: float
) -> Design | None:
    """The design of fewest trials that suffices, beyond the table too; of two alike that of more configurations."""
    if claim.kind == "difference":
        found = _least(lambda s: find(1, s), 2, _MOST_SEEDS, power)
        return None if found is None else _design(claim, 1, found[0]) | _said(found[1])
    best: Design | None = None
    for s in seeds:
        most = _MOST_CONFIGURATIONS if best is None else min(_MOST_CONFIGURATIONS, (_trials(best) - 1) // s)
        if claim.kind == "main":
            first = 2 ** (max(size.factors, MINIMUM_CONFIGURATIONS - 1).bit_length())
            runs = [2**k for k in range(first.bit_length() - 1, most.bit_length()) if 2**k <= most]
            tried = ((n, find(n, s)) for n in runs)
            found = next(((n, value) for n, value in tried if value.value >= power), None)
        else:
            found = _least(partial(_with_seeds, find, s), MINIMUM_CONFIGURATIONS, most, power)
        if found is not None:
            best = _design(claim, found[0], s) | _said(found[1])
    return best


def _with_seeds(find: Callable[[int, int], Power], seeds: int, configurations: int) -> Power:
    return find(configurations, seeds)


def _least(find: Callable[[int], Power], low: int, high: int, power: float) -> tuple[int, Power] | None:
    """The smallest number from ``low`` to ``high`` whose power suffices: doubled until it does, then halved in."""
    short, n = low - 1, low
    while n <= high:
        found = find(n)
        if found.value >= power:
            break
        short, n = n, min(2 * n, high) if n < high else high + 1
    else:
        return None
    while n - short > 1:
        middle = (n + short) // 2
        tried = find(middle)
        if tried.value >= power:
            n, found = middle, tried
        else:
            short = middle
    return n, found


def _design(claim: Claim, configurations: int, seeds: int) -> Design:
    trials = (2 if claim.kind == "difference" else configurations) * seeds
    return {"configurations": configurations, "seeds": seeds, "trials": trials}


def _said(power: Power) -> Design:
    return {"power": power.value, "power_error": power.error}


def _trials(design: Design) -> int:
    return int(str(design["trials"]))


def _one(
    claim: Claim,
    size: Size,
    spread: Spread,
    n: int,
    s: int,
    alpha: float,
    draws: int,
    rng: np.random.Generator,
) -> Power:
    if claim.kind == "correlation":
        return correlation_power(claim.size, n, s, spread.shares, alpha=alpha, draws=draws, rng=rng)
    if claim.kind == "difference":
        return difference_power(claim.size, s, spread.within, alpha=alpha, draws=draws, rng=rng)
    around = (spread.between, spread.within)
    return main_effect_power(claim.size, size.factors, n, s, around, alpha=alpha, draws=draws, rng=rng)


def _size(study: Study, name: str, claim: Claim) -> Size:
    """From the study's trials, which are made and not run."""
    planned = [trial for trial in study.trials() if name in trial.spaces]
    trials = pd.DataFrame([trial.config.model_dump() for trial in planned])
    trials["configuration"] = configuration_codes(trials)
    factors = len(find_factors(trials, study.space(name), {}).factors)
    groups = [trials] if claim.kind == "main" else [group for _, group in trials.groupby("env", sort=False)]
    least = min(len(group["configuration"].unique()) for group in groups)
    return Size(name, least, len(study.space(name).seeds), factors)


def _configurations(claim: Claim, size: Size) -> list[int]:
    if claim.kind == "difference":
        return [1]
    around = [size.configurations * times for times in _TIMES]
    if claim.kind == "main":
        # Two-level designs have a power of two of runs, more than they have factors.
        powers = {2 ** round(math.log2(n)) for n in around}
        return sorted(n for n in powers if n > size.factors and n >= MINIMUM_CONFIGURATIONS)
    return sorted({max(MINIMUM_CONFIGURATIONS, math.ceil(n)) for n in around})


def _seeds(claim: Claim, size: Size) -> list[int]:
    usual = _PAIRED_SEEDS if claim.kind == "difference" else _SEEDS
    return sorted({*usual, size.seeds} - ({1} if claim.kind == "difference" else set()))


def _check(claim: Claim, configurations: Sequence[int], seeds: Sequence[int]) -> None:
    fewest = 2 if claim.kind == "difference" else 1
    if not seeds or min(seeds) < fewest:
        raise AnalysisError(f"seeds={', '.join(map(str, seeds))}: must be {fewest} or more, such as 3,5,10.")
    if claim.kind == "difference":
        if list(configurations) != [1]:
            raise AnalysisError(
                "configurations: a difference is between two arms of one configuration each; give seeds alone."
            )
    elif not configurations or min(configurations) < MINIMUM_CONFIGURATIONS:
        raise AnalysisError(
            f"configurations={', '.join(map(str, configurations))}: must be {MINIMUM_CONFIGURATIONS} or more, as "
            "the analysis asks for, such as 20,40,80."
        )


def _smallest(table: pd.DataFrame, column: str, power: float) -> Design | None:
    """The row of fewest trials whose power suffices."""
    enough = table[table[column] >= power]
    if enough.empty:
        return None
    # Of two designs with as many trials the one of more configurations: they are the unit of replication.
    row = enough.sort_values(["trials", "configurations"], ascending=[True, False], kind="stable").iloc[0]
    return {
        **{name: int(row[name]) for name in ("configurations", "seeds", "trials")},
        "power": float(row[column]),
        "power_error": float(row[f"{column}_error"]),
    }


_USUAL: Final = {"alpha": 0.05, "power": 0.8}
