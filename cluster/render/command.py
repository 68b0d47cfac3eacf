"""`sweep cluster render` and `sweep cluster example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.common import Json, console, print_json

__all__ = ["example", "register", "render"]


def register(app: typer.Typer) -> None:
    """Add both to `app`, the commands of `sweep cluster`."""
    app.command("render")(render)
    app.command("example")(example)


def render(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="kuberay, aws, gcp, onprem, slurm, docker or compose.")
    ],
    description: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The cluster, in YAML. [default: what `sweep cluster example` prints]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files. [default: ./KIND]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a cluster's files from its description: KubeRay, Ray's launcher, Slurm, an image, compose.

    Files of the same name in the folder are replaced. No secret is read or written: the files say under which
    names secrets are found.

    Examples:

    - `sweep cluster render kuberay --description cluster.yaml --out k8s`

    - `sweep cluster render compose`
    """
    from cluster.description import load_cluster
    from cluster.render.targets import render as render_files
    from cluster.render.targets import write_files

    folder = Path(kind) if out is None else out
    written = write_files(render_files(load_cluster(description), kind), folder)
    if as_json:
        print_json({"kind": kind, "files": [str(file) for file in written]})
        return
    for file in written:
        console.print(str(file), markup=False, highlight=False, soft_wrap=True)


def example() -> None:
    """Print a description of a cluster, with comments, to begin with.

    Examples:

    - `sweep cluster example > cluster.yaml`
    """
    from cluster.description import example_text

    typer.echo(example_text(), nl=False)
