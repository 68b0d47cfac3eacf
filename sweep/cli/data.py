"""`sweep data`: datasets under the root."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import Json, Root, console, print_json
from sweep.errors import UsageError

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Datasets: list, look at, collect, verify.\n\n`sweep run` collects what its study has a recipe for; these "
        "commands are for data of your own, which a study uses with `existing: true`."
    ),
    no_args_is_help=True,
)
DatasetName = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset's name; `sweep data ls` lists them.")
]


class Agent(enum.StrEnum):
    """Who acts."""

    dqn = "dqn"
    random = "random"


class Network(enum.StrEnum):
    """What the agent `dqn` learns with."""

    mlp = "mlp"
    nature_dqn = "nature_dqn"


@app.command("ls")
def list_all(root: Root, as_json: Json = False) -> None:
    """The datasets under the root.

    Example: `sweep data ls --json`
    """
    from agents.data import list_datasets

    found = list_datasets(root)
    if as_json:
        print_json([_row(one) for one in found])
        return
    if not found:
        console.print(f"no datasets under {root} yet; `sweep data collect` makes one.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("name", "environment", "transitions", "episodes", "return", "size"):
        numbers = header not in ("name", "environment")
        table.add_column(header, justify="right" if numbers else "left", overflow="fold", no_wrap=numbers)
    for one in found:
        row = _row(one)
        if one.manifest is None:
            continue
        mean = row["mean_return"]
        table.add_row(
            row["name"],
            row["env"],
            f"{row['transitions']:,}",
            f"{row['episodes']:,}",
            "" if mean is None else f"{mean:.3g}",
            _size(row["bytes"]),
        )
    console.print(table)
    for one in found:
        if one.problem is not None:
            console.print(f"[red]damaged[/red] {escape(one.problem)}", highlight=False, soft_wrap=True)
    console.print("\nnext: sweep data show NAME, for fingerprint and provenance", highlight=False)


@app.command("show")
def show(name: DatasetName, root: Root, as_json: Json = False) -> None:
    """One dataset: arrays, fingerprint, and how it was made.

    Example: `sweep data show catch-online`
    """
    from agents.data import read_manifest

    manifest = read_manifest(_folder(root, name))
    content = manifest.model_dump(mode="json")
    if as_json:
        print_json(content)
        return
    import yaml

    typer.echo(yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100), nl=False)


@app.command("collect")
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


@app.command("verify")
def verify(name: DatasetName, root: Root) -> None:
    """Read every array again and compare it with the recorded fingerprint.

    Exit status 1 where a bit has changed, with the array's name.

    Example: `sweep data verify catch-online`
    """
    from agents.data import verify as check

    check(_folder(root, name))
    console.print(f"{name}: every array is as recorded")


def _folder(root: Path, name: str) -> Path:
    """The dataset's folder. Raises UsageError for a name that is none, or that no dataset has."""
    from agents.data.manifest import check_name, read_manifest
    from agents.errors import DatasetError

    folder = root / "datasets" / name
    try:
        check_name(name)
        if not folder.is_dir():
            read_manifest(folder)
    except DatasetError as error:
        raise UsageError(str(error)) from error
    return folder


def _row(listing: Any) -> dict[str, Any]:
    manifest = listing.manifest
    if manifest is None:
        return {"name": listing.name, "problem": listing.problem}
    recipe = manifest.provenance.get("recipe") or {}
    return {
        "name": listing.name,
        "env": manifest.env,
        "transitions": manifest.transitions,
        "episodes": manifest.episodes,
        "mean_return": manifest.mean_return,
        "bytes": manifest.size_bytes,
        "fingerprint": manifest.fingerprint,
        "source": f"collected by {recipe['agent']}" if "agent" in recipe else "unknown",
    }


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
