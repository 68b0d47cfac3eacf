"""The commands that this package adds to `sweep`."""

from __future__ import annotations

import typer

from cluster import cli_cluster, cli_logs, cli_stop, cli_submit

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`; loaded through the entry points `rankscope.commands`."""
    for module in (cli_submit, cli_logs, cli_stop, cli_cluster):
        module.register(app)
