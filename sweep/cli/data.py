"""`sweep data`: datasets under the root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import WIDE, Json, Root, console, dataset_folder, print_json
from sweep.cli.data_collect import collect
from sweep.cli.data_envs import envs
from sweep.cli.data_import import how_to_go_on, import_data, size
from sweep.cli.data_subset import subset
from sweep.node_folder import node_folder

if TYPE_CHECKING:
    from agents.data.unfinished import Unfinished

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Datasets: list, look at, collect, import, verify.\n\n`sweep run` makes what its study has a recipe for; "
        "these commands are for data of your own, which a study uses with `existing: true`."
    ),
    no_args_is_help=True,
)
DatasetName = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset's name; `sweep data ls` lists them.")
]

app.command("collect")(collect)
app.command("import")(import_data)
app.command("envs")(envs)
app.command("subset")(subset)


@app.command("ls")
def list_all(root: Root, as_json: Json = False) -> None:
    """The datasets under the root: what they hold, how well their policies played, where they came from.

    Return is the mean of completed episodes; a size counts frames that subsets share each time.

    Example: `sweep data ls --json`
    """
    from agents.data import list_datasets
    from agents.data.unfinished import list_unfinished

    found, unfinished = list_datasets(root), list_unfinished(node_folder(root))
    if as_json:
        print_json(
            [*map(_row, found), *({"name": one.name, "problem": _progress(one)} for one in unfinished)]
        )
        return
    if not found and not unfinished:
        console.print(f"no datasets under {root} yet; `sweep data collect` or `sweep data import` makes one.")
        return
    rows = [row for row in map(_row, found) if "problem" not in row]
    if rows:
        _print_listing(rows)
    for one in found:
        if problem := _row(one).get("problem"):
            console.print(f"[red]damaged[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    for unready in unfinished:
        console.print(
            f"[yellow]{unready.name}[/yellow] {escape(_progress(unready))}", highlight=False, soft_wrap=True
        )
    console.print("\nnext: sweep data show NAME, for arrays and provenance", highlight=False)


@app.command("show")
def show(name: DatasetName, root: Root, as_json: Json = False) -> None:
    """One dataset: arrays, fingerprint, and how it was made.

    Where transitions know the training checkpoint of the policy that made them, also the mean return of each (of a
    bucket's dataset only where this node has a copy).

    Example: `sweep data show catch-online`
    """
    from agents.data import read_manifest
    from agents.data.remote import cached_dataset, linked_url
    from sweep.settings import cache_folder

    folder = dataset_folder(root, name)
    manifest = read_manifest(folder)
    content = manifest.model_dump(mode="json")
    if url := linked_url(folder):
        content["remote"] = url
    elif "checkpoint" in manifest.arrays and (here := cached_dataset(folder, cache_folder())):
        content["quality"] = _quality(here)
    if as_json:
        print_json(content)
        return
    import yaml

    typer.echo(yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100), nl=False)


@app.command("verify")
def verify(name: DatasetName, root: Root) -> None:
    """Read every array again and compare it with the recorded fingerprint.

    Exit status 1 where a bit has changed, with the array's name. In a bucket it is the bucket's arrays that are read.

    Example: `sweep data verify catch-online`
    """
    from agents.data import verify as check
    from agents.data.remote import linked_url, local_dataset, verify_remote
    from sweep.settings import cache_folder
    from sweep.store.places import is_local

    folder = dataset_folder(root, name)
    if is_local(folder) or linked_url(folder):
        # Of a dataset that lies elsewhere this node's copy is read; it is fetched where there is none yet.
        check(local_dataset(folder, cache_folder()))
    else:
        with console.status("reading the bucket") as spinner:
            verify_remote(str(folder), lambda done, of: spinner.update(f"{size(done)} of {size(of)}"))
    console.print(f"{name}: every array is as recorded")


def _quality(folder: Path) -> list[dict[str, Any]]:
    from agents.data import Dataset
    from agents.data.episode_returns import returns_by_checkpoint

    return returns_by_checkpoint(Dataset.open(folder))


def _print_listing(rows: list[dict[str, Any]]) -> None:
    """A table; sources are long, so where the terminal is not wide they follow in lines of their own."""
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    headers = ["name", "environment", "transitions", "episodes", "return", "size", "fingerprint"]
    for header in headers:
        numbers = header not in ("name", "environment")
        table.add_column(header, justify="right" if numbers else "left", no_wrap=True)
    if wide:
        table.add_column("source", overflow="fold")
    for row in rows:
        mean = row["mean_return"]
        cells = (
            row["name"],
            row["env"],
            f"{row['transitions']:,}",
            f"{row['episodes']:,}",
            "" if mean is None else f"{mean:.3g}",
            size(row["bytes"]),
            row["fingerprint"][: 12 if wide else 8],
        )
        table.add_row(*cells, *([escape(row["source"])] if wide else []))
    console.print(table)
    if not wide:
        console.print("\nsource")
        for row in rows:
            console.print(f"  {row['name']}: {escape(row['source'])}", highlight=False, soft_wrap=True)


def _row(listing: Any) -> dict[str, Any]:
    from agents.errors import DatasetError

    manifest = listing.manifest
    if manifest is None:
        return {"name": listing.name, "problem": listing.problem}
    try:
        source = _source(manifest.provenance, listing.path)
    except DatasetError as error:
        return {"name": listing.name, "problem": str(error)}
    return {
        "name": listing.name,
        "env": manifest.env,
        "transitions": manifest.transitions,
        "episodes": manifest.episodes,
        "mean_return": manifest.mean_return,
        "bytes": manifest.size_bytes,
        "fingerprint": manifest.fingerprint,
        "source": source,
    }


def _source(provenance: dict[str, Any], path: Path) -> str:
    from agents.data.remote import linked_url

    if url := linked_url(path):
        return f"at {url}"
    if cut := provenance.get("subset"):
        return f"part of {cut['of']}: {', '.join(one['kind'] for one in cut['selections'])}"
    recipe, imported = provenance.get("recipe") or {}, provenance.get("import") or {}
    if "agent" in recipe:
        return f"collected by {recipe.get('policy') or recipe['agent']}"
    return f"{imported['format']} {imported['source']}" if "format" in imported else "unknown"


def _progress(one: Unfinished) -> str:
    if "format" not in one.asked:
        return f"unfinished: {one.transitions:,} transitions so far; delete {one.path} to discard them"
    done = f"{len(one.state.get('shards', []))} of {one.state.get('of', '?')} files"
    so_far = f"{done}, {one.transitions:,} transitions"
    if one.running:
        return f"is being imported: {so_far} so far"
    return f"unfinished import: {so_far}. `{how_to_go_on(one)}` goes on; --begin-again with it starts anew"
