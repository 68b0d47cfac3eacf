"""`sweep data subset`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from sweep.cli.common import Root, console, dataset_folder
from sweep.errors import UsageError

__all__ = ["subset"]

_CHOSEN = "selections in the order given"


def _note(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    # Callbacks are called in the order of the options on the command line, which their values do not tell.
    if value is not None:
        context.meta.setdefault(_CHOSEN, []).append((param.name, value))
    return value


def subset(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The dataset to take a part of.", show_default=False)
    ],
    root: Root,
    new: Annotated[
        str, typer.Option("--name", metavar="NEW", help="The new dataset's name.", show_default=False)
    ],
    fraction: Annotated[
        float | None,
        typer.Option(metavar="F", callback=_note, help="The share F of transitions, drawn at random."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the draw.")] = 0,
    prefix: Annotated[
        float | None,
        typer.Option(metavar="P", callback=_note, help="The first share P: what was collected first."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="A:B", callback=_note, help="What training checkpoints A to B collected, both included."
        ),
    ] = None,
    returns: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            callback=_note,
            help="Completed episodes whose return lies between two quantiles of all returns; kept whole.",
        ),
    ] = None,
) -> None:
    """Make a dataset that is a part of another; frames are shared, so that it costs little room.

    Several selections are made one after the other, as they stand on the command line from left to right.

    Examples:

    - `sweep data subset asterix --name asterix-tenth --fraction 0.1 --seed 1`

    - `sweep data subset asterix --name asterix-early --prefix 0.2`

    - `sweep data subset pong --name pong-best --checkpoints 40:49 --returns 0.9:1`
    """
    from agents.data import read_manifest
    from agents.data.subset import Checkpoints, Fraction, Prefix, Returns, Selection, describe, make_subset
    from sweep.dataset_making import open_dataset
    from sweep.dataset_upload import made_in_place
    from sweep.store.places import is_local

    chosen: list[Selection] = []
    for kind, value in context.meta.get(_CHOSEN, []):
        if kind == "fraction":
            chosen.append(Fraction(value, seed))
        elif kind == "prefix":
            chosen.append(Prefix(value))
        elif kind == "checkpoints":
            chosen.append(Checkpoints(*_two(value, int, "--checkpoints", "40:49")))
        else:
            chosen.append(Returns(*_two(value, float, "--returns", "0.9:1")))
    if not chosen:
        raise UsageError("give at least one of --fraction, --prefix, --checkpoints and --returns.")
    if seed and fraction is None:
        raise UsageError("--seed is of the draw of --fraction: give --fraction too, or leave --seed out.")
    dataset_folder(root, name)
    parent = open_dataset(root, name)
    asked = json.dumps([parent.fingerprint, [describe(one) for one in chosen]])
    with made_in_place(root, new, asked) as path:
        if is_local(root) or not path.exists():
            make_subset(parent, path, chosen)
    made = read_manifest(root / "datasets" / new)
    mean = made.mean_return
    console.print(
        f"made {root / 'datasets' / new}: {made.transitions:,} transitions of {made.episodes:,} completed episodes"
        + ("" if mean is None else f", mean return {mean:.3g}")
        + f", fingerprint {made.fingerprint[:12]}",
        highlight=False,
    )


def _two(text: str, kind: type, option: str, example: str) -> list[Any]:
    try:
        first, last = (kind(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"{option} {text!r}: give two numbers with a colon, such as {example}.") from None
    return [first, last]
