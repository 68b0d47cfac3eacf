"""`sweep data collect`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from search_spaces import Collect, DatasetRecipe, Problem, SpecificationError
from search_spaces.trial import DEFAULT_HIDDEN_SIZES
from sweep.cli.common import Root, console
from sweep.errors import SweepError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["collect"]


def _option(field: str, metavar: str, default: str = "", **more: Any) -> Any:
    """An option that is a key of a recipe: meaning and default are the recipe's own."""
    about = Collect.model_fields[field]
    value = default or str(about.default)
    shown = "" if about.is_required() or (about.default is None and not default) else f" [default: {value}]"
    meaning = cast("str", about.description)
    help_text = f"{meaning[0].upper()}{meaning[1:]}.{shown}"
    return typer.Option(metavar=metavar, help=help_text, show_default=False, **more)


def collect(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An environment, such as bsuite/catch/0 or atari/Asterix.")
    ],
    root: Root,
    name: Annotated[str, typer.Option(metavar="NAME", help="The dataset's name.")],
    steps: Annotated[int, _option("steps", "N")],
    agent: Annotated[
        str,
        typer.Option(
            metavar="AGENT",
            help="Who acts: `dqn` learns as it goes, `random` draws every action, and SWEEP/TRIAL_ID plays what that "
            "finished trial has learnt.",
        ),
    ] = "dqn",
    noise: Annotated[
        str,
        typer.Option(
            metavar="P[,P...]",
            help="Probability that a uniform action is executed in place of the recorded one. Several, with commas "
            "between, make a dataset each: NAME-noise0, NAME-noise0.1, ...",
        ),
    ] = "0",
    seed: Annotated[int | None, _option("seed", "N")] = None,
    num_envs: Annotated[int | None, _option("num_envs", "N")] = None,
    epsilon: Annotated[float | None, _option("epsilon", "P")] = None,
    epsilon_start: Annotated[float | None, _option("epsilon_start", "P")] = None,
    epsilon_end: Annotated[float | None, _option("epsilon_end", "P")] = None,
    epsilon_decay_steps: Annotated[int | None, _option("epsilon_decay_steps", "N", "half of --steps")] = None,
    network: Annotated[str | None, _option("network", "|".join(DEFAULT_HIDDEN_SIZES))] = None,
    hidden_sizes: Annotated[
        str | None,
        _option("hidden_sizes", "N[,N...]", "64,64 for mlp, 512 for nature_dqn, 128 for minatar; 0 for none"),
    ] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "X")] = None,
    batch_size: Annotated[int | None, _option("batch_size", "N")] = None,
    discount: Annotated[float | None, _option("discount", "X")] = None,
    target_update_period: Annotated[int | None, _option("target_update_period", "N")] = None,
    updates_per_step: Annotated[float | None, _option("updates_per_step", "X")] = None,
    learning_starts: Annotated[int | None, _option("learning_starts", "N")] = None,
    reward_clip: Annotated[float | None, _option("reward_clip", "X", "not clipped")] = None,
    checkpoints: Annotated[int | None, _option("checkpoints", "N")] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads of an emulator that can use several; the data do not depend on it. [default: one a core]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a dataset: an agent acts in the real environment, and every transition is kept.

    The agent `dqn` learns as it acts, from acting at random to acting well: the dataset is the full replay of
    its training, and `checkpoint` says for each transition how far training was. `random` draws every action
    uniformly. A finished trial's policy acts greedily, with `--epsilon` to explore. Equal options give equal
    data on one machine. Nothing is visible before a dataset is whole.

    Examples:

    - `sweep data collect bsuite/catch/0 --name catch --steps 32768`

    - `sweep data collect bsuite/catch/0 --name catch --steps 32768 --noise 0,0.1,0.2,0.3,0.4,0.5` makes
      RL Unplugged's six levels of noise

    - `sweep data collect atari/Asterix --name asterix --steps 20480 --network nature_dqn`

    - `sweep data collect mujoco/Hopper --name hopper-random --steps 8192 --agent random`

    - `sweep data collect bsuite/catch/0 --name catch-good --steps 8192 --agent demo/0123456789abcdef
      --epsilon 0.05` plays what a trial of the sweep `demo` has learnt
    """
    given = {
        "seed": seed,
        "num_envs": num_envs,
        "epsilon": epsilon,
        "epsilon_start": epsilon_start,
        "epsilon_end": epsilon_end,
        "epsilon_decay_steps": epsilon_decay_steps,
        "network": network,
        "hidden_sizes": None if hidden_sizes is None else _sizes(hidden_sizes),
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "discount": discount,
        "target_update_period": target_update_period,
        "updates_per_step": updates_per_step,
        "learning_starts": learning_starts,
        "reward_clip": reward_clip,
        "checkpoints": checkpoints,
    }
    fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    fields.update(_agent(root, agent), steps=steps)
    levels = _levels(noise)
    recipes = [
        DatasetRecipe(
            name=name if len(levels) == 1 else f"{name}-noise{level:g}",
            env=env,
            collect=Collect(**fields, random_action_noise=level),
        )
        for level in levels
    ]
    _refuse_existing(root, recipes)
    made: list[str] = []
    try:
        for recipe in recipes:
            _make(root, recipe, threads or len(os.sched_getaffinity(0)))
            made.append(recipe.name)
    except KeyboardInterrupt:
        # Typer would end without a word.
        whole = f"{' and '.join(made)} are whole and stay; " if len(made) > 1 else ""
        whole = f"{made[0]} is whole and stays; " if len(made) == 1 else whole
        raise SweepError(
            f"interrupted. {whole}nothing of {recipe.name} was kept. Give the command again to make it."
        ) from None


def _agent(root: Path, agent: str) -> dict[str, str]:
    if agent in ("dqn", "random"):
        return {"agent": agent}
    if "/" not in agent:
        raise UsageError(
            f"--agent {agent!r}: it must be dqn, random, or a finished trial as SWEEP/TRIAL_ID, such as "
            "demo/0123456789abcdef."
        )
    from sweep.policies import find_trial

    return {"agent": "policy", "policy": find_trial(root, agent)}


def _levels(noise: str) -> list[float]:
    try:
        levels = [float(part) for part in noise.split(",")]
    except ValueError:
        levels = []
    names = [f"{level:g}" for level in levels]
    if not levels or len(set(names)) < len(names) or not all(0 <= level <= 1 for level in levels):
        raise UsageError(
            f"--noise {noise!r}: it must be one probability in [0, 1], or several different ones with commas "
            "between, such as 0,0.1,0.2,0.3,0.4,0.5."
        )
    return levels


def _sizes(text: str) -> list[int]:
    try:
        return [] if text.strip() == "0" else [int(part) for part in text.split(",")]
    except ValueError:
        message = "must be widths with commas between, such as 64,64, or 0 for none"
        raise SpecificationError([Problem(("hidden_sizes",), message, text)], "--hidden-sizes") from None


def _refuse_existing(root: Path, recipes: list[DatasetRecipe]) -> None:
    """Before any is made: the sixth of six names would be refused after five collections."""
    from agents.data.manifest import dataset_exists
    from agents.errors import DatasetError

    there = [recipe.name for recipe in recipes if dataset_exists(root / "datasets" / recipe.name)]
    if there:
        raise DatasetError(
            f"{' and '.join(repr(name) for name in there)} exist{'s' if len(there) == 1 else ''} already in "
            f"{root / 'datasets'}. Choose another --name, or delete the folder first."
        )


def _make(root: Path, recipe: DatasetRecipe, threads: int) -> None:
    from sweep.datasets import collect_dataset, collect_spec

    last: dict[str, Any] = {}
    spec = collect_spec(recipe)
    with _progress(console) as bar:
        task = bar.add_task(recipe.name, total=spec.steps, pace="")

        def advance(done: int, total: int, info: dict[str, Any]) -> None:
            last.update(info)
            recent = info["recent_mean_return"]
            shown = "" if recent is None else f" · recent mean return {recent:.3g}"
            bar.update(task, completed=done, pace=f"{info['steps_per_second']:,.0f} agent steps/s{shown}")

        fingerprint = collect_dataset(root, recipe.name, spec, advance, num_threads=threads)
    console.print(
        f"made {root / 'datasets' / recipe.name}, fingerprint {fingerprint[:12]}\n{_account(spec.steps, last)}",
        highlight=False,
    )


def _progress(to: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=to)


def _account(steps: int, info: dict[str, Any]) -> str:
    """The rate, and where the time went."""
    seconds = info["seconds_by_part"]
    whole = steps / info["steps_per_second"]
    shares = ", ".join(f"{part} {spent / whole:.0%}" for part, spent in seconds.items())
    learnt = f", {info['updates']:,} gradient steps" if info["updates"] else ""
    return (
        f"{steps:,} agent steps{learnt} in {whole:.1f} s: {info['steps_per_second']:,.0f} steps/s; {shares}"
    )
