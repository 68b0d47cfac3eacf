"""Writes docs/calibration.md: how often intervals of the analysis hold what they promise, where the truth is known.

    python docs/make_calibration_page.py              # all cases, 500 simulated sweeps each, in half an hour
    python docs/make_calibration_page.py --only slope   # cases whose method has this word; prints, writes nothing

A case simulates sweeps from a structural causal model (tests/sweep/analysis/structural_models.py), asks a function of
`sweep.analysis` for an interval and a p-value, and counts: how often the interval holds the truth, and, where the truth
is zero, how often p falls below 5 %.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

HERE = Path(__file__).resolve().parent
PAGE = HERE / "calibration.md"
sys.path.insert(0, str(HERE.parent / "tests" / "sweep" / "analysis"))

import factorial_sweeps  # noqa: E402
import structural_models as models  # noqa: E402

from sweep import analysis  # noqa: E402

LEVEL = 0.05
COVERAGE = (0.93, 0.97)
FALSE_ALARMS = (0.035, 0.065)
SMALLEST_EFFECT = 0.2
"""Declared for the verdicts, in standard deviations of the outcome per standard deviation of the measure."""
VERDICTS = ("agrees", "shrinks", "vanishes", "reverses", "appears", "cannot tell")
VERDICT_SWEEPS = 100
DRAWS = 400
"""Bootstrap draws of each simulated sweep; 2,000 are the default of the tables."""


class Found(NamedTuple):
    """An interval and a p-value of one simulated sweep, and what is true of it."""

    low: float
    high: float
    p: float
    truth: float


@dataclass(frozen=True)
class Case:
    """A method on a model: ``once`` simulates a sweep and says what the method finds, None where it refuses."""

    method: str
    model: str
    once: Callable[[np.random.Generator], Found | None]
    holds: bool = True
    """Whether the method's assumptions hold on this model."""
    why: str = ""
    """What does not hold, and what the tool says of it."""


@dataclass(frozen=True)
class Result:
    """Of ``n`` sweeps that gave a number: share of intervals that hold the truth, and false alarms where it is 0."""

    case: Case
    n: int
    refused: int
    coverage: float
    false_alarms: float | None

    @property
    def kept(self) -> bool:
        """Whether coverage and false alarms lie in the bands."""
        covered = COVERAGE[0] <= self.coverage <= COVERAGE[1]
        quiet = self.false_alarms is None or FALSE_ALARMS[0] <= self.false_alarms <= FALSE_ALARMS[1]
        return covered and quiet


def simulated(name: str, **options: Any) -> Callable[[np.random.Generator], models.Simulated]:
    """The model of that name, as processes can share it."""
    return partial(_simulated, name, options)


def _simulated(name: str, options: dict[str, Any], rng: np.random.Generator) -> models.Simulated:
    return models.MODELS[name](rng, **options)


# Methods: from a simulated sweep to what is found of it. Module-level functions, so that processes can share them.


def correlation_slope(model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found:
    """The slope of the table `correlation` against the one that it converges to."""
    trials, metrics, truth = model(rng)
    row = analysis.correlation(trials, metrics, models.MEASURE, models.OUTCOME, draws=DRAWS).iloc[0]
    return Found(row["slope_low"], row["slope_high"], row["slope_p"], truth.pooled)


def naive_slope(model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found:
    """Least squares over trials, each taken as independent."""
    _, metrics, truth = model(rng)
    fit = stats.linregress(metrics[models.MEASURE], metrics[models.OUTCOME])
    reach = stats.t.ppf(1 - LEVEL / 2, len(metrics) - 2) * fit.stderr
    return Found(fit.slope - reach, fit.slope + reach, fit.pvalue, truth.pooled)


def pooled_as_effect(model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found:
    """The pooled slope read as the effect of the measure."""
    return _read_as_effect(correlation_slope, model, rng)


def _read_as_effect(
    method: Callable[..., Found], model: Callable[..., models.Simulated], rng: np.random.Generator
) -> Found:
    state = rng.bit_generator.state
    effect = model(rng)[2].effect
    rng.bit_generator.state = state
    return method(model, rng)._replace(truth=effect)


def within_slope(group: str, model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found:
    """The slope within groups of the table `simpson`, against the one that it converges to."""
    trials, metrics, truth = model(rng)
    table = analysis.simpson(trials, metrics, models.MEASURE, models.OUTCOME, groups=[group], draws=100)
    row = table[table["group"] == group].iloc[0]
    # In outcome per standard deviation of the measure there.
    true = truth.within[group] * row["measure_sd"]
    return Found(row["within_slope_low"], row["within_slope_high"], row["within_slope_p"], true)


def audited(approach: str, model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found | None:
    """A row of `audit`: the adjusted slope against the one that it converges to, else against no effect."""
    trials, metrics, truth = model(rng)
    table = analysis.audit(trials, metrics, models.MEASURE, models.OUTCOME, draws=DRAWS)
    row = table[table["approach"] == approach].iloc[0]
    if not np.isfinite(row["low"]):
        return None
    true = truth.adjusted * row["measure_sd"] if approach == "adjusted" else 0.0
    return Found(row["low"], row["high"], row["p"], true)


def verdict_of(name: str, seed: int) -> str:
    """The word of the audit of one sweep of the model ``name``."""
    trials, metrics, _ = models.MODELS[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"draws": 100, "sesoi": SMALLEST_EFFECT, "unit": "sd"}
        table = analysis.audit(trials, metrics, models.MEASURE, models.OUTCOME, **options)
    return str(analysis.audit_verdict(table).iloc[0]["verdict"])


def threshold_difference(
    quantile: float, printed: bool, model: Callable[..., models.Simulated], rng: np.random.Generator
) -> Found:
    """The difference of `threshold-ate` at a quantile where there is none; ``printed``: as the paper's Table 1."""
    trials, metrics, _ = model(rng)
    options = {"quantiles": [quantile], "by": "", "draws": DRAWS}
    row = analysis.threshold_ate(trials, metrics, models.MEASURE, models.OUTCOME, **options).iloc[0]
    if printed:
        low, high = (row["paper_ate"] + sign * row["paper_half_width"] for sign in (-1, 1))
        return Found(low, high, row["paper_p"], 0.0)
    return Found(row["ate_low"], row["ate_high"], row["ate_p"], 0.0)


def indirect_effect(model: Callable[..., models.Simulated], rng: np.random.Generator) -> Found:
    """What the learning rate does to the outcome by way of the measure, where the measure does nothing."""
    trials, metrics, _ = model(rng)
    table = analysis.mediation(
        trials, metrics, "learning_rate", [models.MEASURE], models.OUTCOME, draws=DRAWS
    )
    row = table[table["effect"] == "indirect"].iloc[0]
    return Found(row["estimate_low"], row["estimate_high"], row["estimate_p"], 0.0)


FACTOR_EFFECTS = {"activation": 8.0, "learning_rate": -5.0, "target_update_period": 0.0, "sam_weight": 0.0}


@cache
def factorial_trials(seeds: int) -> pd.DataFrame:
    """The trials of a 2^4 factorial."""
    return factorial_sweeps.trials_of(factorial_sweeps.study(seeds=seeds))


def main_effect(
    factor: str,
    seeds: int,
    noise: str,
    rng: np.random.Generator,
    *,
    plain: bool = False,
    interaction: float = 0.0,
) -> Found:
    """A main effect of a 2^4 factorial whose configurations differ at random, each in ``seeds`` seeds."""
    trials = factorial_trials(seeds)
    codes = analysis.configuration_codes(trials)
    signs = factorial_sweeps.signs(trials)
    value = sum(effect / 2 * signs[name].to_numpy() for name, effect in FACTOR_EFFECTS.items())
    value = value + interaction * signs["activation"].to_numpy() * signs["learning_rate"].to_numpy()
    value = value + 2 * models._noise(rng, noise, (codes.max() + 1,))[codes]  # type: ignore[arg-type]
    value = value + 3 * models._noise(rng, noise, (len(trials),))  # type: ignore[arg-type]
    table = analysis.intervention_ate(trials, factorial_sweeps.measured(trials, srank=value))
    row = table[table["factor"] == factor].iloc[0]
    truth = FACTOR_EFFECTS[factor]
    if plain:
        error = row["plain_half_width"] / stats.norm.ppf(0.975)
        p = 2 * stats.norm.sf(abs(row["plain_effect"]) / error)
        low, high = (row["plain_effect"] + sign * row["plain_half_width"] for sign in (-1, 1))
        return Found(low, high, p, truth)
    return Found(row["effect_low"], row["effect_high"], row["effect_p"], truth)


def aggregate_mean(
    statistic: str, interval: str, environments: int, seeds: int, rng: np.random.Generator
) -> Found:
    """An aggregate of normalised scores of one algorithm: environments are given, runs vary."""
    count = environments * seeds
    trials = pd.DataFrame(
        {
            "trial_id": [f"t{i}" for i in range(count)],
            "spaces": [["all"]] * count,
            "status": "finished",
            "env": np.repeat([f"bsuite/catch/{e}" for e in range(environments)], seeds),
            "dataset": "d",
            "algorithm": "dqn",
            "seed": np.tile(np.arange(seeds), environments),
            "train_steps": 10,
            "scheduler": "fifo",
        }
    )
    middle = np.linspace(0, 1, environments)
    scores = np.repeat(middle, seeds) + 0.2 * rng.standard_normal(count)
    metrics = pd.DataFrame({"trial_id": trials["trial_id"], "step": 10, "return_normalized": scores})
    table = analysis.aggregate(
        trials, metrics, by=["algorithm"], interval=interval, draws=DRAWS, seed=int(rng.integers(2**31))
    )
    row = table[table["period"] == "final"].iloc[0]
    return Found(
        row[f"{statistic}_low"], row[f"{statistic}_high"], np.nan, _aggregate_truth(statistic, environments)
    )


@cache
def _aggregate_truth(statistic: str, environments: int) -> float:
    """Of infinitely many runs: the mean in closed form, the interquartile mean of the mixture by integration."""
    middle = np.linspace(0, 1, environments)
    if statistic in ("mean", "median"):
        return 0.5
    grid = np.linspace(-2, 3, 200_001)
    density = stats.norm.pdf(grid[:, None], middle, 0.2).mean(axis=1)
    below = stats.norm.cdf(grid[:, None], middle, 0.2).mean(axis=1)
    inside = (below >= 0.25) & (below <= 0.75)
    return float(
        np.trapezoid((grid * density)[inside], grid[inside]) / np.trapezoid(density[inside], grid[inside])
    )


def cases() -> list[Case]:
    """All cases, in the order of the page."""
    found: list[Case] = []
    few = "12 configurations x 2 seeds"
    usual = "60 configurations x 4 seeds"
    for name, words in (
        ("no_effect", "no effect, hyperparameters move either measure or outcome"),
        ("observed_confounding", "confounded by the learning rate"),
    ):
        found.append(
            Case("slope of `correlation`", f"{words}; {usual}", partial(correlation_slope, simulated(name)))
        )
    found += [
        Case(
            "slope of `correlation`",
            f"no effect; {few}",
            partial(correlation_slope, simulated("no_effect", n_configurations=12, seeds=2)),
            False,
            "few configurations: the row's note says so",
        ),
        Case(
            "slope of `correlation`",
            f"no effect, errors of Student's t with 3 degrees of freedom; {usual}",
            partial(correlation_slope, simulated("no_effect", noise="t3")),
        ),
        Case(
            "slope of `correlation`",
            f"no effect, lognormal errors; {usual}",
            partial(correlation_slope, simulated("no_effect", noise="lognormal")),
            False,
            "skewed errors: use Spearman's",
        ),
        Case(
            "naive: least squares over trials",
            f"no effect; {usual}",
            partial(naive_slope, simulated("no_effect")),
            False,
            "seeds of a configuration are not independent",
        ),
        Case(
            "naive: pooled slope read as an effect",
            f"confounded by the learning rate; {usual}",
            partial(pooled_as_effect, simulated("observed_confounding")),
            False,
            "confounding: `simpson` and `audit` say so",
        ),
    ]
    for group, name, options, holds in (
        ("learning_rate", "observed_confounding", {}, True),
        ("activation", "simpson_reversal", {}, True),
        ("learning_rate", "no_effect", {"n_configurations": 12, "seeds": 2}, False),
    ):
        size = f"{options.get('n_configurations', 60)} configurations x {options.get('seeds', 4)} seeds"
        found.append(
            Case(
                f"slope of `simpson` within {group}",
                f"{name.replace('_', ' ')}; {size}",
                partial(within_slope, group, simulated(name, **options)),
                holds,
                "" if holds else "few configurations: the row's note says so",
            )
        )
    for name in ("observed_confounding", "no_effect"):
        words = f"{name.replace('_', ' ')}; {usual}"
        found.append(Case("`audit`, adjusted", words, partial(audited, "adjusted", simulated(name))))
    found += [
        Case(
            "`audit`, adjusted",
            "few seeds; 12 configurations x 2 seeds",
            partial(audited, "adjusted", simulated("few_seeds")),
        ),
        Case(
            "`audit`, doubly robust",
            f"no effect; {usual}",
            partial(audited, "doubly robust", simulated("no_effect")),
        ),
        Case(
            "`audit`, doubly robust",
            f"hidden confounder; {usual}",
            partial(audited, "doubly robust", simulated("hidden_confounder")),
            False,
            "nothing seen tells of it: the robustness value and E-value say how strong it would have to be",
        ),
    ]
    for quantile in (0.5, 0.95):
        found.append(
            Case(
                f"`threshold-ate` at quantile {quantile}",
                f"no effect; {usual}",
                partial(threshold_difference, quantile, False, simulated("no_effect")),
            )
        )
    found += [
        Case(
            "`threshold-ate` at quantile 0.5",
            f"no effect; {few}",
            partial(threshold_difference, 0.5, False, simulated("no_effect", n_configurations=12, seeds=2)),
            False,
            "few configurations: the row's note says so",
        ),
        Case(
            "naive: Table 1 as printed, at quantile 0.5",
            f"no effect; {usual}",
            partial(threshold_difference, 0.5, True, simulated("no_effect")),
            False,
            "seeds are not independent; the printed interval is one of 90 %, p is one-sided",
        ),
        Case(
            "indirect effect of `mediation`",
            f"no effect of the mediator; {usual}",
            partial(indirect_effect, simulated("no_effect")),
        ),
        Case(
            "indirect effect of `mediation`",
            f"a hidden confounder of mediator and outcome; {usual}",
            partial(indirect_effect, simulated("hidden_confounder")),
            False,
            "sequential ignorability fails, which no data show: every row says so",
        ),
    ]
    for factor, truth, seeds, noise in (
        ("activation", "effect 8", 1, "normal"),
        ("sam_weight", "no effect", 4, "normal"),
        ("sam_weight", "no effect", 4, "t3"),
    ):
        words = f"2⁴ factorial, {seeds} seed{'s' if seeds > 1 else ''}, {noise} errors, {truth}"
        found.append(Case("`intervention-ate`", words, partial(main_effect, factor, seeds, noise)))
    found.append(
        Case(
            "naive: difference of means, normal interval (Table 2)",
            "2⁴ factorial, 4 seeds, no effect",
            partial(main_effect, "sam_weight", 4, "normal", plain=True),
            False,
            "other factors' effects are left in the error, seeds are taken as configurations",
        )
    )
    for statistic, interval in (("mean", "t"), ("iqm", "t"), ("iqm", "percentile")):
        found.append(
            Case(
                f"`aggregate`, {statistic}, {interval} interval",
                "6 environments x 5 runs",
                partial(aggregate_mean, statistic, interval, 6, 5),
                interval == "t",
                "" if interval == "t" else "few runs: percentiles are too narrow by (n - 1) / n in variance",
            )
        )
    return found


def run(case: Case, repetitions: int) -> Result:
    """Simulate, ask, count. The same numbers on every machine of one kind, whatever runs beside it."""
    rng = np.random.default_rng(zlib.crc32(f"{case.method}\0{case.model}".encode()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case.once(rng) for _ in range(repetitions)]
    there = [one for one in found if one is not None and np.isfinite(one.low + one.high)]
    if not there:
        return Result(case, 0, repetitions, np.nan, None)
    low, high, p, truth = np.array(there, float).T
    null = np.isfinite(p) & (truth == 0)
    alarms = float((p[null] < LEVEL).mean()) if null.any() else None
    return Result(
        case, len(there), repetitions - len(there), float(((low <= truth) & (truth <= high)).mean()), alarms
    )


def run_all(wanted: Sequence[Case], repetitions: int, workers: int) -> Iterable[Result]:
    """Results in the order of the cases, on ``workers`` processes."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(run, wanted, [repetitions] * len(wanted))


def verdicts(workers: int) -> dict[str, dict[str, int]]:
    """How often the audit says each word of sweeps of each model."""
    with ProcessPoolExecutor(workers) as pool:
        found = {}
        for name in models.MODELS:
            words = list(pool.map(verdict_of, [name] * VERDICT_SWEEPS, range(VERDICT_SWEEPS), chunksize=25))
            found[name] = {word: words.count(word) for word in dict.fromkeys((*VERDICTS, *words))}
    return found


def page(results: Sequence[Result], words: dict[str, dict[str, int]], repetitions: int) -> str:
    """The page's text."""
    head = "| Method | Simulated sweep | Sweeps | Coverage | False alarms | |\n|---|---|---:|---:|---:|---|"
    noise = 100 * 1.96 * np.sqrt(0.95 * 0.05 / repetitions)
    holding = [r for r in results if r.case.holds]
    missed = [r for r in holding if not r.kept]
    where = "all of them" if not missed else f"{len(holding) - len(missed)} of {len(holding)}"
    return f"""# Do the intervals hold what they promise?

Written by `python docs/make_calibration_page.py`: sweeps simulated from structural causal models with known effects
([structural_models.py](../tests/sweep/analysis/structural_models.py)), {repetitions:,} a row. Coverage is the share of
nominal 95 % intervals that hold the truth, false alarms the share of p < 0.05 where there is nothing to find. Bands:
coverage 93 to 97 %, false alarms 3.5 to 6.5 %; counting {repetitions:,} sweeps has itself an error of ± {noise:.1f}
points.

Where a method's assumptions hold, {where} keep both bands.

## Where the assumptions hold

{head}
{_lines(holding)}

## Where they do not: by how much, and what the tool says

{head}
{_lines([r for r in results if not r.case.holds])}

## What the audit says

The word of `audit`'s verdict in {VERDICT_SWEEPS} sweeps of each model, with a smallest effect of interest of
{SMALLEST_EFFECT} standard deviations. Under a hidden confounder the adjusted association is not the effect, and no word
can say so: what the verdict adds is how strong such a confounder would have to be.

| Simulated sweep | True | {" | ".join(VERDICTS)} |
|---|---|{"---:|" * len(VERDICTS)}
{_verdict_lines(words)}
"""


_TRUE = {
    "observed_confounding": "shrinks: two thirds of it are the learning rate's",
    "simpson_reversal": "reverses within activations",
    "no_effect": "nothing, pooled or adjusted",
    "hidden_confounder": "no effect; adjusted too large",
    "heavy_tails": "shrinks, as observed confounding",
    "few_seeds": "shrinks; 12 configurations x 2 seeds",
}


def _verdict_lines(words: dict[str, dict[str, int]]) -> str:
    return "\n".join(
        f"| {name.replace('_', ' ')} | {_TRUE[name]} | "
        + " | ".join(str(told[word]) for word in VERDICTS)
        + " |"
        for name, told in words.items()
    )


def _lines(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        alarms = "" if result.false_alarms is None else f"{100 * result.false_alarms:.1f} %"
        said = result.case.why if not result.case.holds else "" if result.kept else "**outside the band**"
        refused = f" ({result.refused} refused)" if result.refused else ""
        rows.append(
            f"| {result.case.method} | {result.case.model} | {result.n:,}{refused} | {100 * result.coverage:.1f} % "
            f"| {alarms} | {said} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Run the cases, print each as it ends, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="cases whose method or sweep has this word; nothing is written")
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    wanted = [c for c in cases() if given.only is None or given.only in f"{c.method} {c.model}"]
    results = []
    began = time.monotonic()
    for result in run_all(wanted, given.repetitions, given.workers):
        results.append(result)
        print(_lines([result]), f"{time.monotonic() - began:.0f} s", flush=True)
    if given.only is None:
        PAGE.write_text(page(results, verdicts(given.workers), given.repetitions))
        print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
