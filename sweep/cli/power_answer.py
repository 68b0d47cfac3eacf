"""How `sweep power` answers: in words and a grid, or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from sweep.cli.common import console

if TYPE_CHECKING:
    from sweep.analysis.planning.pilot import Pilot
    from sweep.analysis.planning.power import Claim
    from sweep.analysis.planning.power_plan import Plan, Size, Spread

__all__ = ["Question", "Variance", "as_json_of", "show"]


@dataclass(frozen=True)
class Variance:
    """What varies, at the pilot's upper bound too, and where that is from."""

    spread: Spread
    upper: Spread | None = None
    pilot: Pilot | None = None
    name: str | None = None


@dataclass(frozen=True)
class Question:
    """What was asked, to be said with the answer."""

    study: str
    claim: Claim
    measure: str
    outcome: str
    size: Size
    variance: Variance
    alpha: float
    target: float
    draws: int


def show(asked: Question, plan: Plan) -> None:
    """Print the claim, what its power stands on, the grid, and the designs that suffice."""

    def say(*text: str) -> None:
        console.print(escape(" ".join(text)), highlight=False, soft_wrap=True)

    size, kind = asked.size, asked.claim.kind
    arms = kind == "difference"
    say("claim    ", _claim_words(asked))
    say("variance ", _variance_words(asked.claim, asked.variance))
    has = "" if arms else f"{size.configurations} configurations{_PER[kind]} x "
    say("study    ", f"space {size.space}: {has}{size.seeds} seed{'' if size.seeds == 1 else 's'}")
    for note in asked.variance.pilot.notes if asked.variance.pilot else ():
        say("pilot    ", note)
    console.print()
    console.print(_grid(plan, arms))
    worst = 100 * float(plan.table["power_error"].max())
    bound = (
        "" if asked.variance.upper is None else "; behind the stroke at the upper 80 % bound of the variance"
    )
    own = "; * the study as it stands" if plan.table["study"].any() else ""
    say(f"\npower in %, ± {worst:.1f} at most from simulation{bound}{own}")
    say(f"enough for {100 * asked.target:g} %: {_design_words(plan.smallest, arms)}")
    if asked.variance.upper is not None:
        say(f"at the upper bound: {_design_words(plan.smallest_upper, arms)}")


_PER = {"correlation": " in each environment", "main": " in all", "difference": ""}


def _claim_words(asked: Question) -> str:
    size, outcome, factors = asked.claim.size, asked.outcome, asked.size.factors
    what = {
        "correlation": f"a correlation of {size:g} between {asked.measure} and {outcome} over trials",
        "main": f"a main effect of {size:g} on {outcome}, one of {factors} factor{'' if factors == 1 else 's'}",
        "difference": f"a difference of {size:g} in {outcome} between two arms, seed by seed",
    }[asked.claim.kind]
    return f"{what}, two-sided at {100 * asked.alpha:g} %"


def _variance_words(claim: Claim, variance: Variance) -> str:
    spread, upper, pilot = variance.spread, variance.upper, variance.pilot

    def bounded(value: float, bound: float | None) -> str:
        return f"{value:.3g}" + ("" if bound is None else f" (at most {bound:.3g})")

    within = bounded(spread.within, None if upper is None else upper.within)
    if claim.kind == "correlation":
        of_measure, of_outcome = (
            bounded(spread.shares[i], None if upper is None else upper.shares[i]) for i in range(2)
        )
        words = f"share between configurations {of_measure} of the measure, {of_outcome} of the outcome"
    elif claim.kind == "main":
        between = bounded(spread.between, None if upper is None else upper.between)
        words = f"standard deviation {between} between configurations, {within} between their seeds"
    else:
        words = f"standard deviation {within} between seeds"
    if pilot is None:
        return f"{words}, as declared"
    more = f"; the noisiest of {pilot.others + 1}" if pilot.others else ""
    return f"{words}, from {variance.name} (env {pilot.env}, space {pilot.space}{more})"


def _grid(plan: Plan, arms: bool) -> Table:
    """Seeds across, configurations down; power, and behind the stroke that at the upper bound."""
    seeds = sorted(set(plan.table["seeds"]))
    title = "seeds of each arm" if arms else "configurations"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title)
    for count in seeds:
        table.add_column(f"{count}" if arms else f"{count} seed{'' if count == 1 else 's'}", justify="right")
    for configurations, rows in plan.table.groupby("configurations"):
        cells = []
        for row in rows.sort_values("seeds").to_dict("records"):
            upper = row["power_upper"]
            bound = "" if upper != upper else f" / {100 * upper:.0f}"
            cells.append(f"{100 * row['power']:.0f}{bound}{'*' if row['study'] else ''}")
        table.add_row("power" if arms else str(configurations), *cells)
    return table


def _design_words(design: dict[str, Any] | None, arms: bool) -> str:
    if design is None:
        return (
            "no design tried is enough; give more with --configurations or --seeds, or claim a larger effect"
        )
    seeds = f"{design['seeds']} seed{'' if design['seeds'] == 1 else 's'}"
    what = f"{seeds} of each arm" if arms else f"{design['configurations']} configurations x {seeds}"
    share = f"{100 * design['power']:.0f} ± {100 * design['power_error']:.1f} %"
    return f"{what}, {design['trials']} trials ({share})"


def as_json_of(asked: Question, plan: Plan) -> dict[str, Any]:
    """All of that for programs."""
    variance, pilot = asked.variance, asked.variance.pilot
    return {
        "study": asked.study,
        "space": asked.size.space,
        "configurations": asked.size.configurations,
        "seeds": asked.size.seeds,
        "factors": asked.size.factors,
        "effect": {"kind": asked.claim.kind, "size": asked.claim.size},
        "measure": asked.measure if asked.claim.kind == "correlation" else None,
        "outcome": asked.outcome,
        "alpha": asked.alpha,
        "power": asked.target,
        "draws": asked.draws,
        "variance": {
            "pilot": variance.name,
            "env": None if pilot is None else pilot.env,
            "space": None if pilot is None else pilot.space,
            "notes": [] if pilot is None else list(pilot.notes),
            "estimate": asdict(variance.spread),
            "upper": None if variance.upper is None else asdict(variance.upper),
        },
        "table": plan.table.to_dict("records"),
        "smallest": plan.smallest,
        "smallest_upper": plan.smallest_upper,
    }
