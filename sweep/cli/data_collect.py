"""`sweep data collect`."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from sweep.cli.common import Root, console

__all__ = ["collect"]


class Agent(enum.StrEnum):
    """Who acts."""

    dqn = "dqn"
    random = "random"


class Network(enum.StrEnum):
    """What the agent `dqn` learns with."""

    mlp = "mlp"
    nature_dqn = "nature_dqn"


def collect(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An environment, such as bsuite/catch/0 or atari/Asterix.")
    ],
    root: Root,
    name: Annotated[str, typer.Option(metavar="NAME", help="The dataset's name.")],
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Agent steps, over all environments together.")
    ],
    agent: Annotated[Agent, typer.Option(help="Who acts.")] = Agent.dqn,
    noise: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Probability that a uniform action is executed instead.",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the agent and the environments.")] = 0,
    num_envs: Annotated[int, typer.Option(min=1, metavar="N", help="Environments that step together.")] = 16,
    network: Annotated[Network, typer.Option(help="nature_dqn for images.")] = Network.mlp,
    updates_per_step: Annotated[
        float, typer.Option(metavar="X", help="Gradient steps for each agent step.")
    ] = 0.25,
    learning_rate: Annotated[float, typer.Option(metavar="X", help="Of Adam.")] = 1e-3,
) -> None:
    """Make a dataset: an agent acts in the real environment, and every transition is kept.

    The agent `dqn` learns as it acts, from acting at random to acting well; `random` draws every action
    uniformly. Equal options give equal data on one machine.

    Examples:

    - `sweep data collect bsuite/catch/0 --name catch --steps 32768`

    - `sweep data collect bsuite/catch/0 --name catch-random --steps 8192 --agent random`

    - `sweep data collect atari/Asterix --name asterix --steps 20480 --network nature_dqn`
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from search_spaces import Collect, DatasetRecipe
    from sweep.datasets import collect_dataset, collect_spec

    learning: dict[str, Any] = {}
    if agent is Agent.dqn:
        learning = {
            "network": network.value,
            "updates_per_step": updates_per_step,
            "learning_rate": learning_rate,
        }
    recipe = DatasetRecipe(
        name=name,
        env=env,
        collect=Collect(
            agent=agent.value,
            random_action_noise=noise,
            steps=steps,
            seed=seed,
            num_envs=num_envs,
            **learning,
        ),
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=steps, pace="")

        def advance(done: int, total: int, info: dict[str, Any]) -> None:
            bar.update(task, completed=done, pace=f"{info['steps_per_second']:,.0f} agent steps/s")

        fingerprint = collect_dataset(root, name, collect_spec(recipe), advance)
    console.print(f"made {root / 'datasets' / name}, fingerprint {fingerprint[:12]}", highlight=False)
