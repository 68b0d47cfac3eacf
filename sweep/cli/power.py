"""`sweep power`: before anything runs, how many configurations and seeds a claim needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import CHOOSE, Json, Root, Scale, StudyName, listed, print_json
from sweep.cli.power_answer import Question, Variance, as_json_of, show
from sweep.errors import UsageError

if TYPE_CHECKING:
    from sweep.analysis.planning.power import Claim

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("power", rich_help_panel=CHOOSE)(power)


def power(
    study: StudyName,
    root: Root,
    effect: Annotated[
        str,
        typer.Option(
            "--effect",
            metavar="KIND=SIZE",
            help="What is claimed: correlation=R, main=EFFECT (of a two-level factor) or difference=EFFECT (of two "
            "arms), in units of the outcome.",
        ),
    ],
    scale: Scale = None,
    pilot: Annotated[
        str | None, typer.Option(metavar="NAME", help="A sweep under the root to take the variance from.")
    ] = None,
    sd_between: Annotated[
        float | None,
        typer.Option(metavar="SD", help="Without a pilot: standard deviation between configurations."),
    ] = None,
    sd_within: Annotated[
        float | None,
        typer.Option(metavar="SD", help="Without a pilot: standard deviation between seeds of one."),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the effect is on. [default: return_mean; of main, srank]"),
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="NAME", help="Of a correlation: the measure that predicts.")
    ] = "srank",
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the study. [default: the largest that can carry the claim]"),
    ] = None,
    env: Annotated[
        str | None, typer.Option(metavar="ENV", help="Of the pilot. [default: the noisiest]")
    ] = None,
    configurations: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Numbers to try, by commas. [default: around the study's]"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Numbers to try, by commas. [default: around the study's]"),
    ] = None,
    alpha: Annotated[float, typer.Option(metavar="A", help="Of the two-sided test.")] = 0.05,
    target: Annotated[float, typer.Option("--power", metavar="P", help="Power that is wanted.")] = 0.8,
    draws: Annotated[int, typer.Option(metavar="N", help="Sweeps simulated for each number.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the simulation.")] = 0,
    as_json: Json = False,
) -> None:
    """How many configurations and seeds a claim needs: simulated with the analysis itself, before anything runs.

    The variance comes from a pilot, a small sweep of the same kind that has run, or is declared. A pilot of few seeds
    misleads (one time in ten, 5 seeds of a configuration show less than half of the spread), so power is shown at the
    upper 80 % confidence bound of the variance too: plan by that. Nothing is started.

    A correlation and a difference are within one environment; a main effect is over all.

    Examples:

    - `sweep power demo --effect correlation=0.5 --pilot demo`

    - `sweep power gulcehre2022/atari-interventions --effect main=5 --sd-between 20 --sd-within 10`

    - `sweep power my-study.yaml --effect difference=0.1 --outcome return_normalized --pilot small --seeds 5,10,20`

    - `sweep power demo --effect correlation=0.3 --sd-between 1 --sd-within 0.5 --power 0.9 --json`
    """
    from search_spaces import load_study
    from sweep.analysis.planning.power import Claim
    from sweep.analysis.planning.power_plan import plan_power, study_size

    claim = Claim.parse(effect)
    of = outcome or ("srank" if claim.kind == "main" else "return_mean")
    size = study_size(load_study(study, scale and scale.value), space, claim)
    if pilot is None:
        variance = _declared(claim, sd_between, sd_within)
    elif sd_between is not None or sd_within is not None:
        raise UsageError("--pilot has the variance: leave --sd-between and --sd-within out, or the pilot.")
    else:
        variance = _from_pilot(root, pilot, claim, measure, of, size.space, env)
    plan = plan_power(
        claim,
        size,
        variance.spread,
        variance.upper,
        alpha=alpha,
        power=target,
        draws=draws,
        seed=seed,
        configurations=_whole("--configurations", configurations),
        seeds=_whole("--seeds", seeds),
    )
    asked = Question(study, claim, measure, of, size, variance, alpha, target, draws)
    if as_json:
        print_json(as_json_of(asked, plan))
    else:
        show(asked, plan)


def _declared(claim: Claim, between: float | None, within: float | None) -> Variance:
    from sweep.analysis.planning.power_plan import Spread

    if claim.kind == "difference" and within is not None:
        # The arms are one configuration each: what lies between configurations does not count.
        return Variance(Spread.declared(between or 0.0, within))
    if between is None or within is None:
        raise UsageError(
            "the variance is not known: give --pilot NAME, a sweep that has run, or --sd-between and --sd-within."
        )
    return Variance(Spread.declared(between, within))


def _from_pilot(
    root: Path, name: str, claim: Claim, measure: str, outcome: str, space: str, env: str | None
) -> Variance:
    from sweep.analysis.planning.pilot import read_pilot
    from sweep.export import result_table

    measures = list(dict.fromkeys([outcome, *([measure] if claim.kind == "correlation" else [])]))
    main = claim.kind == "main"
    # A variance that few configurations leave open is told by its bound; three are enough to have one.
    table = result_table(
        root, name, "variance-components", measures=measures, factorial=main, min_configurations=3
    )
    found = read_pilot(table, claim, measure, outcome, env=env, space=space)
    return Variance(found.spread, found.upper, found, name)


def _whole(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return sorted({int(one) for one in listed(text)})
    except ValueError:
        raise UsageError(f"{option} {text}: give whole numbers by commas, such as 5,10,20.") from None
