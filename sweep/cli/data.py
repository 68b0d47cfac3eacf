"""`sweep data`: datasets under the root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sweep.cli.common import Json, Root, console, print_json

__all__ = ["app"]

app = typer.Typer(help="Datasets: list, look at, collect, verify.", no_args_is_help=True)
DatasetName = Annotated[str, typer.Argument(help="A dataset's name; `sweep data ls` lists them.")]


@app.command("ls")
def list_all(root: Root, as_json: Json = False) -> None:
    """The datasets under the root."""
    from agents.data import list_datasets

    found = list_datasets(root)
    if as_json:
        print_json([_row(one) for one in found])
        return
    if not found:
        console.print(f"no datasets under {root} yet; `sweep data collect` makes one.")
        return
    table = Table(
        "name",
        "environment",
        "transitions",
        "episodes",
        "mean return",
        "size",
        "fingerprint",
        "source",
        box=None,
    )
    for one in found:
        row = _row(one)
        if one.manifest is None:
            table.add_row(one.name, f"[red]{one.problem}[/red]")
            continue
        mean = row["mean_return"]
        table.add_row(
            row["name"],
            row["env"],
            f"{row['transitions']:,}",
            f"{row['episodes']:,}",
            "" if mean is None else f"{mean:.3g}",
            _size(row["bytes"]),
            row["fingerprint"][:12],
            row["source"],
        )
    console.print(table)


@app.command("show")
def show(name: DatasetName, root: Root, as_json: Json = False) -> None:
    """One dataset: arrays, fingerprint, and how it was made."""
    from agents.data import read_manifest

    manifest = read_manifest(root / "datasets" / name)
    content = manifest.model_dump(mode="json")
    if as_json:
        print_json(content)
        return
    import yaml

    console.print(yaml.safe_dump(content, sort_keys=False), highlight=False, markup=False)


@app.command("collect")
def collect(
    env: Annotated[str, typer.Argument(help="An environment, such as bsuite/catch/0 or atari/Asterix.")],
    root: Root,
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    steps: Annotated[int, typer.Option(min=1, help="Agent steps, over all environments together.")],
    agent: Annotated[str, typer.Option(help="dqn or random.")] = "dqn",
    noise: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of a uniform action in place of any.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    num_envs: Annotated[int, typer.Option(min=1, help="Environments that step together.")] = 16,
    network: Annotated[str, typer.Option(help="mlp, or nature_dqn for images.")] = "mlp",
    updates_per_step: Annotated[float, typer.Option(help="Gradient steps for each agent step.")] = 0.25,
    learning_rate: Annotated[float, typer.Option()] = 1e-3,
) -> None:
    """Make a dataset: an agent acts in the real environment, and every transition is kept."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from search_spaces import Collect, DatasetRecipe
    from sweep.datasets import collect_dataset, collect_spec

    learning: dict[str, Any] = {}
    if agent == "dqn":
        learning = {
            "network": network,
            "updates_per_step": updates_per_step,
            "learning_rate": learning_rate,
            "random_action_noise": noise,
        }
    recipe = DatasetRecipe(
        name=name,
        env=env,
        collect=Collect(agent=agent, steps=steps, seed=seed, num_envs=num_envs, **learning),  # type: ignore[arg-type]
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
    """Read every array again and compare it with the recorded fingerprint."""
    from agents.data import verify as check

    check(Path(root) / "datasets" / name)
    console.print(f"{name}: every array is as recorded")


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
