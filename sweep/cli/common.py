"""Options and output that commands share."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sweep.errors import UsageError
from sweep.settings import columns_of_pipes, default_root
from sweep.store.places import root_place

__all__ = [
    "AROUND",
    "CHOOSE",
    "Json",
    "MlflowUri",
    "RESULTS",
    "RUN",
    "Root",
    "Scale",
    "SkipCorrupt",
    "StudyName",
    "SweepName",
    "console",
    "dataset_folder",
    "listed",
    "print_json",
    "say_left_out",
]

CHOOSE, RUN, RESULTS, AROUND = "Choose a study", "Run it", "Look at results", "Data and machine"
"""Panels of `sweep --help`."""

console = Console(width=None if sys.stdout.isatty() else columns_of_pipes())
"""Standard output; wide where it goes to a file or a pipe, so that tables are not cut there."""

WIDE = 110
"""Columns from which a table shows its longest column too; narrower, that follows in lines of its own."""

Root = Annotated[
    Path,
    typer.Option(
        "--root",
        help="Where datasets, sweeps and reports are: a folder, or s3://BUCKET/FOLDER or gs://BUCKET/FOLDER. "
        "[default: $SWEEP_ROOT, else ./sweeps]",
        metavar="DIR",
        # Not a plain path: pathlib would make the folder `s3:/bucket` of an address.
        parser=root_place,
        default_factory=default_root,
        show_default=False,
    ),
]


def _tracking_uri(text: str) -> str:
    from sweep.mirror.servers import given_tracking_uri

    return given_tracking_uri(text)


MlflowUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="An MLflow server. [default: the root's own SQLite]",
        # Refused before anything starts, not when the mirror does.
        parser=_tracking_uri,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="A sweep's name; `sweep status` lists them.")]
SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave damaged segments out, and say which.")
]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A name from `sweep list`, a YAML file, or FILE.yaml:STUDY where a file holds several.",
    ),
]


class ScaleChoice(enum.StrEnum):
    """How large a study of a paper is."""

    paper = "paper"
    workstation = "workstation"
    laptop = "laptop"


Scale = Annotated[
    ScaleChoice | None,
    typer.Option(
        "--scale",
        help="Size of a paper's study: the design is kept; games, steps, sizes and seeds change. "
        "[default: paper]",
        show_default=False,
    ),
]


def dataset_folder(root: Path, name: str) -> Path:
    """The dataset's folder. Raises UsageError for a name that is none, or that no dataset has."""
    from agents.data.manifest import check_name, dataset_exists, read_manifest
    from agents.errors import DatasetError

    folder = root / "datasets" / name
    try:
        check_name(name)
        if not dataset_exists(folder):
            read_manifest(folder)
    except DatasetError as error:
        raise UsageError(str(error)) from error
    return folder


def print_json(value: Any) -> None:
    """`value` on standard output, NaN as null."""
    typer.echo(json.dumps(_plain(value), indent=1, default=str))


def listed(text: str) -> list[str]:
    """The parts of a list by commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def say_left_out(root: Path, name: str) -> None:
    """Name the damaged files of a sweep, beside the output and not in it."""
    from sweep.store import Store

    for error in Store(root).sweep(name).corrupt_segments():
        typer.echo(f"left out, damaged: {error.path}", err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value != value:
        return None
    return value
