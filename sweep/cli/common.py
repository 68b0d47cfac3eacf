"""Options and output that commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sweep.settings import default_root
from sweep.store.files import local_root

__all__ = ["Json", "Root", "SweepName", "console", "print_json"]

console = Console()

Root = Annotated[
    Path,
    typer.Option(
        "--root",
        help="Folder of datasets, store, MLflow and reports; $SWEEP_ROOT, else ./sweeps.",
        metavar="DIR",
        # Not a plain path: pathlib would make the folder `s3:/bucket` of an address that we refuse.
        parser=local_root,
        default_factory=default_root,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
SweepName = Annotated[str, typer.Argument(help="A sweep's name; `sweep status` lists them.")]
StudyName = Annotated[str, typer.Argument(help="A name from `sweep list`, or a path to a YAML file.")]


def print_json(value: Any) -> None:
    """`value` on standard output, NaN as null."""
    typer.echo(json.dumps(_plain(value), indent=1, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value != value:
        return None
    return value
