"""`sweep list` and `sweep show`: what could be run. Both answer in under a second and start nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sweep.cli.common import CHOOSE, Json, Root, Scale, StudyName, console, print_json
from sweep.cli.limits import MaxGpuHours, MaxHours, Workers, budget_of

if TYPE_CHECKING:
    from sweep.preview import Preview

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("list", rich_help_panel=CHOOSE)(list_studies)
    app.command("show", rich_help_panel=CHOOSE)(show)


def list_studies(root: Root, as_json: Json = False) -> None:
    """The named studies, paper by paper, and which sweeps of them the root holds.

    A study of your own is a YAML file; its path works wherever a study's name does. A paper's studies have
    three scales: `--scale paper|workstation|laptop` of `sweep show`, `run` and `submit`.

    Example: `sweep list`, then `sweep show NAME`
    """
    from search_spaces import named_studies

    sweeps = _sweeps_by_study(root)
    found = [{**study._asdict(), "sweeps": sweeps.get(study.name, [])} for study in named_studies()]
    if as_json:
        print_json(found)
        return
    for paper in dict.fromkeys(one["paper"] for one in found):
        if paper is not None:
            console.print(f"\n[bold]{escape(paper)}[/bold]", highlight=False)
        console.print(_studies(found, paper))
    console.print(f"\nnext: sweep show {found[0]['name']}", highlight=False)


def show(
    study: StudyName,
    root: Root,
    scale: Scale = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Estimate for this card, by the name PyTorch gives it."),
    ] = None,
    workers: Workers = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    packs: Annotated[bool, typer.Option("--packs", help="List every pack too.")] = False,
    as_json: Json = False,
) -> None:
    """Preview a study: trials, axes, packs, gradient steps, time and cost. Nothing is started.

    Time and cost come from packs trained before under this root, else from a table of measured machines
    that comes with Rankscope. Where nothing like it was measured they are unknown, and said to be.

    A paper's study is shown at the paper's own size, which needs none of its data; `--scale laptop` shows
    what runs here, and what was changed for it.

    Examples:

    - `sweep show demo`

    - `sweep show gulcehre2022/atari-dqn-256-2m --gpu "NVIDIA H200"`, and again with `--scale laptop`

    - `sweep show my-study.yaml --max-concurrent 16 --packs`

    - `sweep show demo --max-hours 0.1` says how far it would come in that time

    - `sweep show demo --gpu "NVIDIA H200" --json`
    """
    from search_spaces import load_study
    from sweep.preview import preview

    budget = budget_of(max_hours, max_gpu_hours)
    found = preview(load_study(study, scale and scale.value), root, gpu, workers, budget)
    if as_json:
        print_json(found.as_json())
        return
    console.print(f"[bold]{escape(found.study)}[/bold]  {escape(found.title)}", highlight=False)
    console.print(escape(found.question), highlight=False)
    if found.paper:
        console.print(escape(found.paper), style="dim", highlight=False)
    console.print()
    console.print(_spaces(found))
    console.print()
    console.print(_totals(found), highlight=False)
    if found.changed:
        console.print(f"\nchanged from the paper's scale, for --scale {found.scale}:", highlight=False)
        console.print(_changed(found))
    if packs:
        console.print()
        console.print(_packs(found))
    at = f" --scale {scale.value}" if scale else ""
    console.print(f"\nnext: sweep run {study}{at}", highlight=False, markup=False, soft_wrap=True)


def _studies(found: list[dict[str, Any]], paper: str | None) -> Table:
    """The studies of a paper; as wide for each, so that their columns stand under one another."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=paper is None)
    table.add_column("study", no_wrap=True, min_width=max(len(one["name"]) for one in found))
    table.add_column("title")
    table.add_column("sweeps here" if any(one["sweeps"] for one in found) else "")
    for one in found:
        if one["paper"] == paper:
            table.add_row(one["name"], escape(one["title"]), ", ".join(one["sweeps"]))
    return table


def _spaces(found: Preview) -> Table:
    table = _table("space", "trials", "design", "seeds", "axes")
    for space in found.spaces:
        axes = "\n".join(f"{name}: {_listed(values)}" for name, values in space["axes"].items())
        table.add_row(space["name"], f"{space['trials']:,}", space["design"], str(len(space["seeds"])), axes)
    return table


def _totals(found: Preview) -> Table:
    from sweep.cli.display import duration

    grid = Table.grid(padding=(0, 2, 0, 0))
    shared = f"; {found.shared:,} are in more than one space and run once" if found.shared else ""
    if found.scale:
        grid.add_row("scale", found.scale)
    grid.add_row("trials", f"{found.trials:,} in {_count(len(found.packs), 'pack')}{shared}")
    grid.add_row("steps", f"{found.gradient_steps:,} gradient steps")
    for one in found.datasets:
        state = (
            f"{one['transitions']:,} transitions"
            if one["transitions"]
            else f"{one['to_make']} (not in the time below)"
        )
        grid.add_row("data", escape(f"{one['name']}: {one['env']}, {state}"))
    if found.seconds is None or found.worker_hours is None:
        grid.add_row("time", f"unknown: {escape(found.speed_source)}")
        grid.add_row("cost", "unknown")
        _add_stop(grid, found)
        return grid
    place = f"{_count(found.workers, 'worker')} ({escape(found.device)})"
    grid.add_row("time", f"about {duration(found.seconds)} on {place}, {found.speed_source}")
    unit = "core-hours" if found.card_hours is None else f"worker-hours, {found.card_hours:.2f} card-hours"
    grid.add_row("cost", f"{found.worker_hours:.2f} {unit}")
    _add_stop(grid, found)
    return grid


def _add_stop(grid: Table, found: Preview) -> None:
    """What a budget leaves of the sweep."""
    from sweep.cli.display import duration

    if found.stops is None:
        return
    limits, done, packs = found.stops["limits"], found.stops["done"], len(found.packs)
    if done is None:
        text = f"{limits}: nobody knows how many packs that is"
    elif done == packs:
        text = f"{limits}: that is enough for all {_count(packs, 'pack')}"
    else:
        text = (
            f"{limits}: about {done:,} of {_count(packs, 'pack')} done, {found.stops['begun']:,} under way, after "
            f"{duration(found.stops['seconds'])}; the rest stays planned"
        )
    grid.add_row("limit", text)


def _changed(found: Preview) -> Table:
    rows = _table("what", "paper", "here")
    for change in found.changed:
        rows.add_row(*(escape(change[key]) for key in ("what", "paper", "here")))
    return rows


def _packs(found: Preview) -> Table:
    from sweep.cli.display import duration

    rows = _table("pack", "trials", "size", "steps", "about")
    for pack in found.packs:
        rows.add_row(
            pack["pack_id"],
            str(pack["trials"]),
            str(pack["size"]),
            f"{pack['steps']:,}",
            duration(pack["seconds"]),
        )
    return rows


def _sweeps_by_study(root: Any) -> dict[str, list[str]]:
    from sweep.errors import SweepError
    from sweep.store import Store

    store, found = Store(root), dict[str, list[str]]()
    for name in store.sweeps():
        try:
            record = store.sweep(name).sweep_record()
        except SweepError:
            continue  # a damaged record must not hide the studies; `sweep doctor` says it
        if record:
            found.setdefault(record.get("study", ""), []).append(name)
    return found


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listed(values: Any) -> str:
    if isinstance(values, dict):
        return f"{values['low']:g} … {values['high']:g} ({values['scale']})"
    return ", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
